"""Files of typed records: TOML and JSON, decoded strictly by msgspec.

An unknown key, a missing key and a value of another type are errors that name the file and the
key. The size of a file is checked before it is read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

import msgspec

from suraksha.errors import DataError, UnknownNameError

MAX_BYTES = 64 << 20

Record = TypeVar("Record", bound=msgspec.Struct)


def read_capped(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: It has more than ``max_bytes`` bytes.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise DataError(
            f"{path} cannot be read",
            f"it has more than {max_bytes} bytes",
            "Give the file that Suraksha wrote, or a smaller one",
        )
    return content


def decode_toml(path: Path, kind: type[Record], *, max_bytes: int = 1 << 20) -> Record:
    """Decode a TOML file.

    Args:
        path: The file.
        kind: The record that it must hold.
        max_bytes: Maximum size.

    Raises:
        DataError: A file that cannot be read, is too large, is not TOML, lacks a key, or holds a
            value of another type.
        UnknownNameError: A key that the record does not have.
    """
    try:
        content = read_capped(path, max_bytes=max_bytes)
        return msgspec.toml.decode(content, type=kind, strict=True)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise (_unknown_key(path, kind, error) or _unusable(path, error)) from error


def decode_json(content: bytes, kind: type[Record], *, path: Path) -> Record:
    """Decode JSON that was read from ``path``, which errors name.

    Raises:
        DataError: It is not JSON, lacks a key, has one that the record does not have, or holds a
            value of another type.
    """
    try:
        return msgspec.json.decode(content, type=kind, strict=True)
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _unusable(path, error) from error


def _unknown_key(path: Path, kind: type[Record], error: Exception) -> UnknownNameError | None:
    found = re.fullmatch(r"Object contains unknown field `([^`]*)`", str(error))
    if found is None:
        return None
    return UnknownNameError(f"key in {path.name}", found.group(1), kind.__struct_encode_fields__)


def _unusable(path: Path, error: Exception) -> DataError:
    """Say which key is wrong, without the ``$`` with which msgspec begins its path."""
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        text = text.replace("`$", "`").replace("`.", "`")
    return DataError(f"{path} cannot be used", text, "Correct the file, or make it again")
