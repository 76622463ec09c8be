"""Write DICOM objects for a result, or for a whole DICOM file."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from suraksha.dicom.objects.rtstruct import make_rtstruct
from suraksha.dicom.objects.sc import make_capture
from suraksha.dicom.objects.seg import make_seg
from suraksha.dicom.objects.source import Source, source_of
from suraksha.dicom.objects.sr import make_sr
from suraksha.errors import InputError, UnsuitableError
from suraksha.files import write_bytes
from suraksha.io.dicom import DicomFile
from suraksha.types import Image, Result

if TYPE_CHECKING:
    from pydicom import Dataset

# what highdicom and pydicom raise on header elements that they cannot write
WRITER_ERRORS = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError)
MAKERS = {"SEG": make_seg, "SR": make_sr, "SC": make_capture, "RTSTRUCT": make_rtstruct}


def object_bytes(result: Result, kind: str, *, corrected: bool = False) -> bytes:
    """A DICOM object for a result, as the content of a file.

    Patient and study are those of the image. The UIDs depend on the image, the bundle, the kind
    and the content, so that an object that is made or sent twice is stored once.

    Args:
        result: A result of an image that was read from a DICOM file.
        kind: A key of ``MAKERS``: ``SEG``, ``SR``, ``SC`` (the overlay as a Secondary Capture) or
            ``RTSTRUCT``.
        corrected: Whether a person corrected the mask.

    Raises:
        InputError: The image was not read from DICOM, or the result cannot be written as this kind.
        MissingExtraError: The extra ``[dicom]`` is not installed.
    """
    return _encode(_make(kind, source_of(result, corrected=corrected)), kind)


def _make(kind: str, source: Source) -> Dataset:
    try:
        return MAKERS[kind](source)
    except WRITER_ERRORS as error:
        raise _cannot_write(kind, source.result.image.name, error) from None


def _encode(dataset: Dataset, kind: str) -> bytes:
    buffer = BytesIO()
    try:
        dataset.save_as(buffer, enforce_file_format=True)
    except WRITER_ERRORS as error:
        raise _cannot_write(kind, "the image", error) from None
    return buffer.getvalue()


def _cannot_write(kind: str, name: str, error: Exception) -> InputError:
    """An error without the text of the cause, which may quote patient data."""
    return InputError(
        f"cannot write DICOM {kind} for '{name}'",
        f"invalid header element ({type(error).__name__})",
        "Export the image again from the scanner or archive, or export PNG, CSV or JSON",
    )


def write_seg(result: Result, path: str | Path) -> None:
    """Write the mask of a result as a DICOM SEG file, complete or not at all.

    Raises:
        InputError: As for `object_bytes`, and a result without a lesion.
        MissingExtraError: The extra ``[dicom]`` is not installed.
        OSError: The file cannot be written.
    """
    write_bytes(Path(path), object_bytes(result, "SEG"))


def write_sr(result: Result, path: str | Path) -> None:
    """Write the measurements of a result as a DICOM SR file, complete or not at all.

    A result without a lesion gives a report that states so. Errors: see `write_seg`.
    """
    write_bytes(Path(path), object_bytes(result, "SR"))


def key_result(file: DicomFile, segment: Callable[[Image], Result]) -> Result:
    """The result of a file's image; for a cine, of the frame with the largest lesion.

    Frames of a cine that are not ultrasound, such as black ones, are skipped.

    Args:
        file: A DICOM file; its frames are read one by one.
        segment: A `suraksha.Segmenter`.

    Raises:
        InputError: A frame cannot be decoded.
        UnsuitableError: No frame is an ultrasound image.
    """
    best: Result | None = None
    unsuitable: UnsuitableError | None = None
    for image in file:
        try:
            result = segment(image)
        except UnsuitableError as error:
            unsuitable = error
            continue
        if best is None or _largest_area_px(result) > _largest_area_px(best):
            best = result
    if best is None and unsuitable is not None:
        raise unsuitable
    return best if best is not None else segment(file.image())


def _largest_area_px(result: Result) -> int:
    return max((lesion.area_px for lesion in result.lesions), default=0)


def result_objects(
    file: str | Path | DicomFile, segment: Callable[[Image], Result]
) -> list[Dataset]:
    """Segment a DICOM file and make the objects to send: an SR, and a SEG if there is a lesion.

    For a cine, both describe the frame with the largest lesion.

    Args:
        file: The file or its path.
        segment: A `suraksha.Segmenter`.

    Raises:
        InputError: The file cannot be used; see `suraksha.io.dicom_guard.guard`.
    """
    opened = file if isinstance(file, DicomFile) else DicomFile(file)
    source = source_of(key_result(opened, segment))
    kinds = ("SR", "SEG") if source.result.lesions else ("SR",)
    return [_make(kind, source) for kind in kinds]
