"""Bundles: one file with the network, its card and their hashes.

A ``.busi`` file is a zip archive of ``model.onnx``, ``card.json`` and ``SHA256SUMS``.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from suraksha.errors import BundleError, UnknownNameError
from suraksha.files import write_bytes
from suraksha.inference.card import Card, read_card

SUFFIX = ".busi"
MODEL, CARD, SUMS = "model.onnx", "card.json", "SHA256SUMS"
MAX_MEMBER_BYTES = 1 << 30
# all that zipfile and zlib raise on damaged bytes
UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
ZIP_DATE = (1980, 1, 1, 0, 0, 0)

# name -> SHA-256 of the file that ships with the package; the first is the default
BUNDLES = MappingProxyType(
    {"suraksha-lite": "e8acf59e06864729f43044ec9f2b85b224cee1df51390f708b305ae892dd0bae"}
)
DEFAULT_BUNDLE = next(iter(BUNDLES))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory, its hashes verified.

    Args:
        card: What it says of itself.
        model: The bytes of ``model.onnx``.
        sha256: SHA-256 of the whole file.
    """

    card: Card
    model: bytes
    sha256: str


def list_bundles() -> tuple[str, ...]:
    """The names of the shipped bundles, the default first."""
    return tuple(BUNDLES)


def sha256_of(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def bundle_path(path: str | Path) -> Path:
    """The path, if it is one for a bundle.

    Raises:
        BundleError: It does not end in ``.busi``.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise BundleError(
            f"{path} is no name for a bundle", f"it does not end in {SUFFIX}", "Add that ending"
        )
    return path


def write_bundle(path: Path, model: bytes, *, card: Card) -> Path:
    """Write a bundle, whole or not at all. The same content gives the same bytes.

    Raises:
        BundleError: The path does not end in ``.busi``, or the card names another network.
    """
    path = bundle_path(path)
    if card.model_sha256 != sha256_of(model):
        raise BundleError(
            f"the card of {path} belongs to another network",
            "its model_sha256 is not that of the network's bytes",
            "Make the card from the exported file",
        )
    members = {MODEL: model, CARD: card.to_json().encode()}
    sums = "".join(f"{sha256_of(content)}  {name}\n" for name, content in members.items())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {**members, SUMS: sums.encode()}.items():
            file.writestr(zipfile.ZipInfo(name, ZIP_DATE), content, zipfile.ZIP_DEFLATED)
    write_bytes(path, archive.getvalue())
    return path


def find_bundle(bundle: str | Path | None = None) -> Path:
    """The file of a bundle: a shipped name, a path that ends in ``.busi``, or None for the default.

    Raises:
        UnknownNameError: No shipped bundle has that name.
        BundleError: No file has that path.
    """
    wanted = DEFAULT_BUNDLE if bundle is None else str(bundle)
    if wanted.endswith(SUFFIX):
        path = Path(wanted)
        if not path.is_file():
            raise BundleError(
                f"bundle {path} is not there",
                "no file has that path",
                f"Give a path, or one of: {', '.join(BUNDLES)}",
            )
        return path
    if wanted not in BUNDLES:
        raise UnknownNameError("bundle", wanted, BUNDLES)
    with resources.as_file(resources.files("suraksha") / "bundles" / f"{wanted}{SUFFIX}") as path:
        return path


def read_bundle(bundle: str | Path | None = None) -> Bundle:
    """Read a bundle and verify every hash; a shipped one also against the package's own table.

    Raises:
        UnknownNameError: No shipped bundle has that name.
        BundleError: The file is missing, no bundle, damaged, altered or made for another version.
    """
    path = find_bundle(bundle)
    try:
        content = path.read_bytes()
        members = _members(content)
        lines = [line.split("  ", 1) for line in members[SUMS].decode().splitlines()]
        sums = {name: digest for digest, name in lines}
        text = members[CARD].decode()
    except UNREADABLE as error:
        raise BundleError(
            f"{path} is no bundle", f"it cannot be opened as one: {error}", "Get the file again"
        ) from error
    whole = sha256_of(content)
    shipped = BUNDLES.get(str(bundle or DEFAULT_BUNDLE), whole)
    if whole != shipped or any(sums.get(n) != sha256_of(members[n]) for n in (MODEL, CARD)):
        raise BundleError(
            f"bundle {path} was damaged or altered",
            "its content does not have the hashes that it was made with",
            "Get the file again from where you trust it",
        )
    card = read_card(text)
    if card.model_sha256 != sums[MODEL]:
        raise BundleError(
            f"the card of {path} belongs to another network",
            "its model_sha256 is not that of model.onnx",
            "Get the file again from where you trust it",
        )
    return Bundle(card, members[MODEL], whole)


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in (MODEL, CARD, SUMS):
            if archive.getinfo(name).file_size > MAX_MEMBER_BYTES:
                raise ValueError(f"{name} is larger than {MAX_MEMBER_BYTES} bytes")
        return {name: archive.read(name) for name in (MODEL, CARD, SUMS)}
