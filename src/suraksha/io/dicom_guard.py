"""In front of pydicom: what a DICOM file may be before anything is decoded.

pydicom alone inflates a file of 1 MB to 2 GB, and a header of 1 KB can ask for a gigabyte of
pixels. Here size, transfer syntax, SOP class, nesting and decoded size are looked at first, while
no more than `MAX_HEADER` bytes are read. Pixel data stay on the disk.
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
from suraksha.io.images import DECODER_ERRORS, check_is_file, one_line

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FILE, MAX_HEADER = 512 << 20, 4 << 20
MAX_SIDE, MAX_FRAME_PIXELS, MAX_FRAMES = 8192, 16_000_000, 20_000
# an element of a header that is longer stays on the disk
MAX_VALUE = 1 << 18
MAX_NESTING = 32

_UID = "1.2.840.10008."
NATIVE = (f"{_UID}1.2", f"{_UID}1.2.1")
RLE = f"{_UID}1.2.5"
# JPEG baseline and extended, lossless, JPEG-LS, JPEG 2000; deflated and big-endian are left out
CODED = tuple(f"{_UID}1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91))
TRANSFER_SYNTAXES = (*NATIVE, RLE, *CODED)
ULTRASOUND, ULTRASOUND_CINE = f"{_UID}5.1.4.1.1.6.1", f"{_UID}5.1.4.1.1.3.1"
SECONDARY_CAPTURE, SECONDARY_CAPTURE_FRAMES = f"{_UID}5.1.4.1.1.7", f"{_UID}5.1.4.1.1.7.2"
# the classes of ultrasound as they were before 1993 -> those of today
RETIRED = {f"{_UID}5.1.4.1.1.6": ULTRASOUND, f"{_UID}5.1.4.1.1.3": ULTRASOUND_CINE}
# US, US Multi-frame (and both as they were before 1993), Secondary Capture of one frame and of many
SOP_CLASSES = (
    *(ULTRASOUND, ULTRASOUND_CINE, *RETIRED, SECONDARY_CAPTURE),
    *(f"{_UID}5.1.4.1.1.7.{n}" for n in (2, 3, 4)),
)
EXPORT = "Export the image again from the scanner or archive"


@dataclass(frozen=True, slots=True, eq=False)
class Guarded:
    """A DICOM file whose header was read and found usable.

    Args:
        header: All elements in front of the pixel data.
        offset: Where the element of the pixel data begins, in bytes.
        size: Length of the file in bytes.
        rows: Height of a frame, in pixels.
        columns: Width of a frame, in pixels.
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
        """UID of how the pixel data are coded."""
        return str(self.header.file_meta.TransferSyntaxUID)


class _Bounded(io.RawIOBase):
    """A file of which only so many bytes can be read."""

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


def guard(path: Path) -> Guarded:
    """Read a DICOM file's header, in bounded time and memory, and check what it says.

    Args:
        path: The file.

    Raises:
        InputError: A file that is missing, too large, no DICOM, of another kind than ultrasound or
            Secondary Capture, of another transfer syntax, damaged, nested too deep, without pixels,
            or whose pixels cannot be what the header says.
        MissingExtraError: pydicom is not installed.
    """
    errors = (*DECODER_ERRORS, pydicom_errors().InvalidDicomError)
    check_is_file(path)
    try:
        with path.open("rb") as stream, suppress_pydicom_warnings():
            return _guarded(path, stream)
    except PermissionError as error:
        raise UnreadableError(
            path, "there is no permission to read it", "Change its rights"
        ) from error
    except RecursionError as error:
        raise UnreadableError(path, "its header is nested too deep", EXPORT) from error
    except errors as error:
        raise UnreadableError(
            path, f"its DICOM header is damaged ({one_line(error)})", EXPORT
        ) from error


class _Hush:
    """pydicom's settings and Python's warnings are the process's; the last thread resets them."""

    def __init__(self) -> None:
        self._lock, self._inside, self._held = Lock(), 0, ExitStack()

    def enter(self) -> None:
        from pydicom.config import disable_value_validation

        with self._lock:
            if not self._inside:
                self._held.enter_context(warnings.catch_warnings(action="ignore"))
                self._held.enter_context(disable_value_validation())
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._held.close()


_HUSH = _Hush()


@contextmanager
def suppress_pydicom_warnings() -> Iterator[None]:
    """Keep pydicom from telling values of a file, which can be a patient's, to anyone."""
    _HUSH.enter()
    try:
        yield
    finally:
        _HUSH.leave()


def pydicom_errors() -> Any:  # noqa: ANN401 - a module of pydicom
    """`pydicom.errors`.

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

    size = os.fstat(stream.fileno()).st_size
    if size > MAX_FILE:
        raise UnreadableError(
            path, f"it is larger than {MAX_FILE >> 20} MiB", "Send a shorter clip"
        )
    if stream.read(132)[128:] != b"DICM":
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
    syntax = str(meta.get("TransferSyntaxUID", "none"))
    if syntax not in TRANSFER_SYNTAXES:
        raise UnreadableError(
            path,
            f"its DICOM transfer syntax ({syntax}) is not taken",
            "Send it as Explicit VR Little Endian, RLE, JPEG, JPEG-LS or JPEG 2000",
        )


def _drop_unusable(dataset: Dataset, level: int = 0) -> None:
    """Read every element; what stays on the disk or cannot be read is left out.

    Raises:
        RecursionError: Sequences nested too deep.
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
    sop_class = str(header.get("SOPClassUID", "none"))
    if sop_class not in SOP_CLASSES:
        raise UnreadableError(
            path,
            f"its SOP class {sop_class} is no ultrasound and no Secondary Capture",
            "Send US Image, US Multi-frame or Secondary Capture",
        )
    rows, columns = number(header, "Rows"), number(header, "Columns")
    frames = number(header, "NumberOfFrames", missing=1)
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE and 0 < frames <= MAX_FRAMES):
        raise UnreadableError(
            path,
            f"it tells of {frames} frames of {rows} x {columns} pixels",
            f"At most {MAX_FRAMES} frames and {MAX_SIDE} pixels a side are taken",
        )
    if rows * columns > MAX_FRAME_PIXELS:
        raise UnreadableError(
            path, f"a frame has more than {MAX_FRAME_PIXELS} pixels", "Crop it to the scan"
        )
    return rows, columns, frames


def _check_length(path: Path, header: Dataset, *, shape: tuple[int, int, int], rest: int) -> None:
    """Refuse pixel data that are shorter than what the header tells of."""
    rows, columns, frames = shape
    if rest < 8:
        raise UnreadableError(path, "it holds no pixel data", EXPORT)
    syntax = header.file_meta.TransferSyntaxUID
    needed = frames * frame_bytes(header, rows * columns) if syntax in NATIVE else 8 * frames
    if rest - 8 < needed:
        raise UnreadableError(
            path,
            f"its pixel data are cut off: {needed} bytes are needed, {rest - 8} are there",
            EXPORT,
        )


def number(dataset: Dataset, name: str, *, missing: int = 0) -> int:
    """A whole number of a header; ``missing`` where it is not there or empty.

    Raises:
        ValueError: It is there and no whole number.
    """
    value = dataset.get(name)
    if value is None or value == "":
        return missing
    try:
        return int(value)
    except TypeError as error:
        raise ValueError(f"{name} is no whole number") from error


def frame_bytes(header: Dataset, pixels: int) -> int:
    """Length of a native frame of so many pixels.

    Raises:
        ValueError: Bits or samples that no ultrasound image has.
    """
    bits, samples = number(header, "BitsAllocated"), number(header, "SamplesPerPixel", missing=1)
    if bits not in (8, 16) or samples not in (1, 3):
        raise ValueError(f"{samples} samples of {bits} bits a pixel are not taken")
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":
        return pixels * bits // 8 * 2
    return pixels * bits // 8 * samples
