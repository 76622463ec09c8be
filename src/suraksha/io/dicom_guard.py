"""Checks on a DICOM file before anything is decoded.

pydicom alone inflates a file of 1 MB to 2 GB, and a header of 1 KB can ask for a gigabyte of
pixels. The guard checks size, transfer syntax, SOP class, nesting and decoded size first, and reads
at most `MAX_HEADER` bytes. The pixel data are not read.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from suraksha.errors import MissingExtraError, UnreadableError
from suraksha.io.guards import (
    DECODER_ERRORS,
    HEAD_BYTES,
    check_is_file,
    has_dicom_prefix,
    one_line,
)

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FILE, MAX_HEADER = 512 << 20, 4 << 20
MAX_SIDE, MAX_FRAME_PIXELS, MAX_FRAMES = 8192, 16_000_000, 20_000
# a longer element of a header is not read
MAX_VALUE = 1 << 18
MAX_NESTING = 32

_UID = "1.2.840.10008."
NATIVE = (f"{_UID}1.2", f"{_UID}1.2.1")
RLE = f"{_UID}1.2.5"
# JPEG baseline and extended, lossless, JPEG-LS, JPEG 2000; deflated and big-endian are refused
CODED = tuple(f"{_UID}1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91))
TRANSFER_SYNTAXES = (*NATIVE, RLE, *CODED)
ULTRASOUND, ULTRASOUND_CINE = f"{_UID}5.1.4.1.1.6.1", f"{_UID}5.1.4.1.1.3.1"
SECONDARY_CAPTURE, SECONDARY_CAPTURE_FRAMES = f"{_UID}5.1.4.1.1.7", f"{_UID}5.1.4.1.1.7.2"
# ultrasound SOP classes that were retired in 1993 -> their replacements
RETIRED = {f"{_UID}5.1.4.1.1.6": ULTRASOUND, f"{_UID}5.1.4.1.1.3": ULTRASOUND_CINE}
# US and US Multi-frame (current and retired), Secondary Capture with one and with several frames
SOP_CLASSES = (
    ULTRASOUND,
    ULTRASOUND_CINE,
    *RETIRED,
    SECONDARY_CAPTURE,
    *(f"{_UID}5.1.4.1.1.7.{n}" for n in (2, 3, 4)),
)
EXPORT = "Export the image again from the scanner or archive"


@dataclass(frozen=True, slots=True, eq=False)
class Guarded:
    """A DICOM file whose header was read and passed the checks.

    Args:
        header: All elements before the pixel data.
        offset: Byte offset of the pixel data element.
        size: Length of the file in bytes.
        rows: Height of a frame in pixels.
        columns: Width of a frame in pixels.
        frames: Number of frames.
    """

    header: Dataset
    offset: int
    size: int
    rows: int
    columns: int
    frames: int

    @property
    def transfer_syntax(self) -> str:
        """UID of the encoding of the pixel data."""
        return str(self.header.file_meta.TransferSyntaxUID)


class _Bounded(io.RawIOBase):
    """A file of which at most `MAX_HEADER` bytes can be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, MAX_HEADER

    def read(self, size: int = -1) -> bytes:
        self._left -= size
        if size < 0 or self._left < 0:
            raise ValueError(f"its header is longer than {MAX_HEADER >> 20} MiB")
        return self._stream.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(place, whence)


def open_source(path: Path, content: bytes | None = None) -> BinaryIO:
    """The bytes of a DICOM file: ``content`` if it is already in memory, else the file itself."""
    return path.open("rb") if content is None else io.BytesIO(content)


def guard(path: Path, *, content: bytes | None = None) -> Guarded:
    """Read and check the header of a DICOM file in bounded time and memory.

    Args:
        path: The file; with ``content`` only its name, for messages.
        content: The bytes of the file, if they are already in memory.

    Raises:
        InputError: The file is missing, too large, not DICOM, of an unsupported SOP class or
            transfer syntax, damaged, nested too deeply, without pixels, or its pixel data do not
            match the header.
        MissingExtraError: pydicom is not installed.
    """
    errors = (*DECODER_ERRORS, pydicom_errors().InvalidDicomError)
    if content is None:
        check_is_file(path)
    try:
        with open_source(path, content) as stream, suppress_pydicom_warnings():
            return _guarded(path, stream)
    except PermissionError as error:
        raise UnreadableError(
            path, "there is no permission to read it", "Change its permissions"
        ) from error
    except RecursionError as error:
        raise UnreadableError(path, "its header is nested too deeply", EXPORT) from error
    except errors as error:
        raise UnreadableError(
            path, f"its DICOM header is invalid ({one_line(error)})", EXPORT
        ) from error


class _Suppression:
    """A counter of threads; the settings are process-wide, so the last thread resets them."""

    def __init__(self) -> None:
        self._lock, self._threads, self._settings = Lock(), 0, ExitStack()

    def enter(self) -> None:
        from pydicom.config import disable_value_validation

        with self._lock:
            if not self._threads:
                self._settings.enter_context(warnings.catch_warnings(action="ignore"))
                self._settings.enter_context(disable_value_validation())
            self._threads += 1

    def leave(self) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._settings.close()


_SUPPRESSION = _Suppression()


@contextmanager
def suppress_pydicom_warnings() -> Iterator[None]:
    """Keep values from a file out of warnings, because they can be patient data."""
    _SUPPRESSION.enter()
    try:
        yield
    finally:
        _SUPPRESSION.leave()


def pydicom_errors() -> Any:  # noqa: ANN401 - a module of pydicom
    """The module `pydicom.errors`.

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    try:
        from pydicom import errors
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading DICOM files", "dicom", str(error.name)) from error
    return errors


def _guarded(path: Path, stream: BinaryIO) -> Guarded:
    from pydicom import dcmread
    from pydicom.filereader import read_dataset

    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size > MAX_FILE:
        raise UnreadableError(
            path, f"it is larger than {MAX_FILE >> 20} MiB", "Send a shorter clip"
        )
    if not has_dicom_prefix(stream.read(HEAD_BYTES)):
        raise UnreadableError(path, "it is not a DICOM file", EXPORT)
    meta = read_dataset(_bounded(stream), False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    _check_meta(path, meta)
    stream.seek(0)
    header = dcmread(_bounded(stream), stop_before_pixels=True, defer_size=MAX_VALUE)
    offset = stream.tell()
    _drop_unusable(header)
    rows, columns, frames = _check_shape(path, header)
    _check_length(path, header, shape=(rows, columns, frames), rest=size - offset)
    return Guarded(header, offset, size, rows, columns, frames)


def _bounded(stream: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", _Bounded(stream))


def _check_meta(path: Path, meta: Dataset) -> None:
    syntax = str(meta.get("TransferSyntaxUID") or "none")
    if syntax not in TRANSFER_SYNTAXES:
        raise UnreadableError(
            path,
            f"its DICOM transfer syntax ({syntax}) is not supported",
            "Send it as Explicit VR Little Endian, RLE, JPEG, JPEG-LS or JPEG 2000",
        )


def _drop_unusable(dataset: Dataset, level: int = 0) -> None:
    """Read every element; drop those that are too long or cannot be read.

    Raises:
        RecursionError: Sequences nested too deeply.
    """
    from pydicom.dataelem import RawDataElement

    if level > MAX_NESTING:
        raise RecursionError
    for tag in list(dataset.keys()):
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.value is None and raw.length:
            del dataset[tag]
            continue
        try:
            element = dataset[tag]
        except RecursionError:
            raise
        except DECODER_ERRORS:
            del dataset[tag]
            continue
        if element.VR == "SQ":
            for item in element.value:
                _drop_unusable(item, level + 1)


def _check_shape(path: Path, header: Dataset) -> tuple[int, int, int]:
    """(rows, columns, frames), each plausible."""
    sop_class = str(header.get("SOPClassUID") or "(none)")
    if sop_class not in SOP_CLASSES:
        raise UnreadableError(
            path,
            f"its SOP class {sop_class} is neither ultrasound nor Secondary Capture",
            "Send US Image, US Multi-frame or Secondary Capture",
        )
    rows, columns = number(header, "Rows"), number(header, "Columns")
    frames = number(header, "NumberOfFrames", missing=1)
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE and 0 < frames <= MAX_FRAMES):
        raise UnreadableError(
            path,
            f"its header declares {frames} frames of {rows} x {columns} pixels",
            f"At most {MAX_FRAMES} frames and {MAX_SIDE} pixels per side are supported",
        )
    if rows * columns > MAX_FRAME_PIXELS:
        raise UnreadableError(
            path, f"a frame has more than {MAX_FRAME_PIXELS} pixels", "Crop it to the scan"
        )
    return rows, columns, frames


def _check_length(path: Path, header: Dataset, *, shape: tuple[int, int, int], rest: int) -> None:
    """Refuse pixel data that are shorter than the header declares."""
    rows, columns, frames = shape
    if rest < 8:
        raise UnreadableError(path, "it contains no pixel data", EXPORT)
    syntax = header.file_meta.TransferSyntaxUID
    needed = frames * frame_bytes(header, rows * columns) if syntax in NATIVE else 8 * frames
    if rest - 8 < needed:
        raise UnreadableError(
            path,
            f"its pixel data are truncated: {needed} bytes are needed, {rest - 8} are present",
            EXPORT,
        )


def number(dataset: Dataset, name: str, *, missing: int = 0) -> int:
    """An integer of a header, or ``missing`` if the element is absent or empty.

    Raises:
        ValueError: The element is not an integer.
    """
    value = dataset.get(name)
    if value is None or value == "":
        return missing
    try:
        return int(value)
    except TypeError as error:
        raise ValueError(f"{name} is not an integer") from error


def frame_bytes(header: Dataset, pixels: int) -> int:
    """Length in bytes of an uncompressed frame with that many pixels.

    Raises:
        ValueError: Bits or samples per pixel that are not supported.
    """
    bits, samples = number(header, "BitsAllocated"), number(header, "SamplesPerPixel", missing=1)
    if bits not in (8, 16) or samples not in (1, 3):
        raise ValueError(f"{samples} samples of {bits} bits per pixel are not supported")
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":
        return pixels * bits // 8 * 2
    return pixels * bits // 8 * samples
