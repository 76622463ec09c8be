"""Bundles: one file with the network, its card and their hashes.

A ``.busi`` file is a zip archive of exactly ``model.onnx``, ``card.json`` and ``SHA256SUMS``. Sizes
are checked before anything is read, and again while it is inflated.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from suraksha.errors import BundleError, UnknownNameError
from suraksha.files import write_bytes
from suraksha.inference.onnx_model import check_model

if TYPE_CHECKING:
    from suraksha.inference.card import Card

SUFFIX = ".busi"
MODEL, CARD, SUMS = "model.onnx", "card.json", "SHA256SUMS"
MIB = 1 << 20
# bytes of each member, inflated
MAX_BYTES = MappingProxyType({MODEL: 512 * MIB, CARD: MIB, SUMS: MIB})
# weights hardly compress; a file that shrinks more than this is not a network
MAX_MODEL_RATIO = 100
CHUNK = MIB
# everything that zipfile and zlib raise on damaged bytes
UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
# the end of a zip archive's directory, without a comment, and the mark of a zip64 one before it
END, END_MARK, ZIP64_BYTES, ZIP64_MARK = struct.Struct("<4s4H2LH"), b"PK\5\6", 20, b"PK\6\7"
MAX_DIRECTORY_BYTES = 4096

# name -> SHA-256 of the file that ships with the package; the first is the default
BUNDLES = MappingProxyType(
    {"suraksha-lite": "dea6abbca897e2904f09620daa4cc567128da1133fa6cbe97d74cc10e3f44e95"}
)
DEFAULT_BUNDLE = next(iter(BUNDLES))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory, its hashes verified.

    Args:
        card: Its card.
        model: The bytes of ``model.onnx``.
        sha256: SHA-256 of the whole file.
    """

    card: Card
    model: bytes
    sha256: str


def list_bundles() -> tuple[str, ...]:
    """The names of the bundles that ship with the package; the first is the default."""
    return tuple(BUNDLES)


def sha256_of(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def bundle_path(path: str | Path) -> Path:
    """The path of a bundle that is to be written.

    Raises:
        BundleError: It does not end in ``.busi``.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise BundleError(
            f"{path} is not a valid name for a bundle",
            f"it does not end in {SUFFIX}",
            "Add that ending",
        )
    return path


def write_bundle(path: Path, model: bytes, *, card: Card) -> Path:
    """Write a bundle, whole or not at all. The same content gives the same bytes.

    Raises:
        BundleError: The path does not end in ``.busi``, the card belongs to another network, or
            the network would be refused when it is read (`suraksha.inference.onnx_model`).
    """
    path = bundle_path(path)
    if card.model_sha256 != sha256_of(model):
        raise _other_network(str(path), "Make the card from the exported file")
    check_model(model)
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
        BundleError: There is no such file.
    """
    wanted = DEFAULT_BUNDLE if bundle is None else str(bundle)
    if wanted.endswith(SUFFIX):
        path = Path(wanted)
        if not path.is_file():
            raise BundleError(
                f"bundle {path} was not found",
                "there is no such file",
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
        BundleError: The file is missing, no bundle, damaged, altered, too large or made for another
            version, or its network is refused (`suraksha.inference.onnx_model`).
    """
    # here, so that the names of the bundles can be listed without numpy and scipy
    from suraksha.inference.card import read_card

    path = find_bundle(bundle)
    try:
        with path.open("rb") as file:
            members = _read_members(file)
            file.seek(0)
            whole = hashlib.file_digest(file, "sha256").hexdigest()
        lines = [line.split("  ", 1) for line in members[SUMS].decode().splitlines()]
        sums = {name: digest for digest, name in lines}
    except UNREADABLE as error:
        raise BundleError(
            f"{path} is not a valid bundle", str(error), "Get the file again"
        ) from error
    shipped = BUNDLES.get(str(bundle or DEFAULT_BUNDLE), whole)
    if whole != shipped or any(sums.get(n) != sha256_of(members[n]) for n in (MODEL, CARD)):
        raise BundleError(
            f"bundle {path} was damaged or altered",
            "its content does not match its hashes",
            "Get the file again from a source that you trust",
        )
    card = read_card(members[CARD], source=f"{CARD} of {path}")
    if card.model_sha256 != sums[MODEL]:
        raise _other_network(str(path), "Get the file again from a source that you trust")
    check_model(members[MODEL])
    return Bundle(card, members[MODEL], whole)


def _other_network(path: str, fix: str) -> BundleError:
    return BundleError(
        f"the card of {path} belongs to another network",
        "its model_sha256 is not that of model.onnx",
        fix,
    )


def _read_members(file: BinaryIO) -> dict[str, bytes]:
    """The members of a bundle, refused before they are read where they are not as expected.

    Raises:
        ValueError: What is wrong.
    """
    _check_directory(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if sorted(names) != sorted(MAX_BYTES):
            raise ValueError(f"it does not hold exactly {', '.join(MAX_BYTES)}")
        for entry in entries:
            _check_entry(entry)
        return {entry.filename: _inflated(archive, entry) for entry in entries}


def _check_directory(file: BinaryIO) -> None:
    """Check the zip directory's size before `zipfile` reads it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - END.size - ZIP64_BYTES))
    tail = file.read()
    if len(tail) < END.size + ZIP64_BYTES or not tail[-END.size :].startswith(END_MARK):
        raise ValueError("it is not a zip archive, or it was cut short")
    _, _, _, _, entries, directory, _, _ = END.unpack(tail[-END.size :])
    if entries != len(MAX_BYTES) or directory > MAX_DIRECTORY_BYTES or tail.startswith(ZIP64_MARK):
        raise ValueError(f"it does not hold exactly {', '.join(MAX_BYTES)}")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name, most = entry.filename, MAX_BYTES[entry.filename]
    if max(entry.file_size, entry.compress_size) > most:
        raise ValueError(f"{name} has more than {most // MIB} MiB")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed by method {entry.compress_type}, not by deflate")
    if name == MODEL and entry.file_size > MAX_MODEL_RATIO * entry.compress_size:
        raise ValueError(f"{name} inflates to more than {MAX_MODEL_RATIO} times its size")


def _inflated(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The content of a member, inflated piece by piece: the size in the directory may be wrong."""
    content = bytearray()
    with archive.open(entry) as member:
        while piece := member.read(CHUNK):
            content += piece
            if len(content) > entry.file_size:
                raise ValueError(f"{entry.filename} is larger than its directory says")
    if len(content) != entry.file_size:
        raise ValueError(f"{entry.filename} is smaller than its directory says")
    return bytes(content)
