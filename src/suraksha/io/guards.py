"""Checks that every reader runs before it decodes a file, and the errors that decoders raise."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from PIL import Image as PilImage

from suraksha.errors import UnreadableError

PathLike = str | os.PathLike[str]

# Bytes that identify a file: the DICOM prefix ends at 132.
HEAD_BYTES = 132
JPEG2000_CODESTREAM = b"\xff\x4f\xff\x51"
# Where the code stream of a JPEG 2000 file is searched for.
CODESTREAM_WITHIN = 1 << 16

# Everything that Pillow, pydicom and their decoders are known to raise on hostile bytes. Warnings
# are included because the caller may have turned warnings into errors.
DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, AttributeError, LookupError,
    ArithmeticError, RuntimeError, AssertionError, MemoryError, struct.error, zlib.error,
    PilImage.DecompressionBombError, Warning,
)  # fmt: skip


def one_line(error: BaseException) -> str:
    """The message of an error in one line of at most 160 characters."""
    return " ".join(str(error).split()).rstrip(".")[:160] or type(error).__name__


def check_is_file(path: Path) -> None:
    """Check that a path is a regular file.

    Raises:
        InputError: The path does not exist, or is a folder, a pipe or a device.
    """
    if path.is_file():
        return
    if not path.exists():
        raise UnreadableError(path, "there is no such file", "Check the name and the folder")
    kind = "a folder" if path.is_dir() else "not a regular file"
    raise UnreadableError(path, f"it is {kind}", "Give the path of an image file")


def has_dicom_prefix(head: bytes) -> bool:
    """Whether the first `HEAD_BYTES` bytes of a file are those of a DICOM file."""
    return head[128:HEAD_BYTES] == b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether a file starts with the DICOM prefix; False if it cannot be read."""
    try:
        if not path.is_file():  # opening a pipe would block
            return False
        with path.open("rb") as stream:
            return has_dicom_prefix(stream.read(HEAD_BYTES))
    except (OSError, ValueError):
        return False


def jpeg2000_size(coded: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG 2000 code stream declares, or None if none is found.

    Args:
        coded: A code stream, or a JP2 file that contains one in its first 64 KiB.
    """
    start = coded.find(JPEG2000_CODESTREAM, 0, CODESTREAM_WITHIN)
    if start < 0 or len(coded) < start + 24:
        return None
    right, bottom, left, top = (
        int.from_bytes(coded[start + at : start + at + 4]) for at in (8, 12, 16, 20)
    )
    return bottom - top, right - left


def webp_size(head: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a WebP header declares, or None if it is not a valid header.

    Args:
        head: The first 30 bytes of the file or more.
    """
    if len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8X":  # canvas, 24 bits each, minus one
            width = int.from_bytes(head[24:27], "little") + 1
            height = int.from_bytes(head[27:30], "little") + 1
        case b"VP8L":  # 14 bits each, minus one, after a signature byte
            bits = int.from_bytes(head[21:25], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":  # 14 bits each, after the frame tag and start code
            width = int.from_bytes(head[26:28], "little") & 0x3FFF
            height = int.from_bytes(head[28:30], "little") & 0x3FFF
        case _:
            return None
    return height, width
