"""From a result, or from a whole DICOM file, to the DICOM objects that tell of it."""

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

# what highdicom and pydicom raise over a header that they cannot tell in an object
WRITER_ERRORS = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError)
MAKERS = {"SEG": make_seg, "SR": make_sr, "SC": make_capture, "RTSTRUCT": make_rtstruct}


def object_bytes(result: Result, kind: str, *, corrected: bool = False) -> bytes:
    """A DICOM file about a result.

    Its patient and study are those of the image. Its UIDs follow from the image, the bundle,
    the kind and what is told, so that what is made or sent twice is stored once.

    Args:
        result: A result of an image that came from a DICOM file.
        kind: One of ``MAKERS``: ``SEG``, ``SR``, ``SC`` (the overlay as a Secondary Capture) or
            ``RTSTRUCT``.
        corrected: Whether a person changed the mask.

    Raises:
        InputError: The image did not come from DICOM, or the result cannot be told in this kind.
        MissingExtraError: The extra ``[dicom]`` is not installed.
    """
    return _as_bytes(_made(kind, source_of(result, corrected=corrected)), kind)


def _made(kind: str, source: Source) -> Dataset:
    try:
        return MAKERS[kind](source)
    except WRITER_ERRORS as error:
        raise _refused(kind, source.result.image.name, error) from None


def _as_bytes(dataset: Dataset, kind: str) -> bytes:
    buffer = BytesIO()
    try:
        dataset.save_as(buffer, enforce_file_format=True)
    except WRITER_ERRORS as error:
        raise _refused(kind, "the image", error) from None
    return buffer.getvalue()


def _refused(kind: str, name: str, error: Exception) -> InputError:
    """What is told, without the error's own words: they may quote the patient."""
    return InputError(
        f"no DICOM {kind} can be written about '{name}'",
        f"something in the header of its file cannot be told in one ({type(error).__name__})",
        "Export the image again from the scanner or archive, or export PNG, CSV or JSON",
    )


def seg_bytes(result: Result, *, corrected: bool = False) -> bytes:
    """The mask as a DICOM SEG; see `object_bytes`."""
    return object_bytes(result, "SEG", corrected=corrected)


def sr_bytes(result: Result, *, corrected: bool = False) -> bytes:
    """The measurements as a DICOM SR; see `object_bytes`."""
    return object_bytes(result, "SR", corrected=corrected)


def write_seg(result: Result, path: str | Path) -> None:
    """Write the mask of a result as a DICOM SEG, whole or not at all.

    Raises:
        InputError: As for `object_bytes`, and a result without a lesion.
        MissingExtraError: The extra ``[dicom]`` is not installed.
        OSError: A place that cannot be written.
    """
    write_bytes(Path(path), seg_bytes(result))


def write_sr(result: Result, path: str | Path) -> None:
    """Write the measurements of a result as a DICOM SR, whole or not at all; see `write_seg`.

    A result without a lesion gives a report that says so.
    """
    write_bytes(Path(path), sr_bytes(result))


def key_result(file: DicomFile, segment: Callable[[Image], Result]) -> Result:
    """The result of a file's image; of a cine, that of the frame with the largest lesion.

    Frames of a cine that do not look like ultrasound, such as black ones, are passed over.

    Args:
        file: A DICOM file; its frames are read one by one.
        segment: A `suraksha.Segmenter`.

    Raises:
        InputError: A frame that cannot be decoded.
        UnsuitableError: No frame looks like ultrasound.
    """
    best: Result | None = None
    unsuitable: UnsuitableError | None = None
    for image in file:
        try:
            result = segment(image)
        except UnsuitableError as error:
            unsuitable = error
            continue
        if best is None or _largest(result) > _largest(best):
            best = result
    if best is None and unsuitable is not None:
        raise unsuitable
    return best if best is not None else segment(file.image())


def _largest(result: Result) -> int:
    return max((lesion.area_px for lesion in result.lesions), default=0)


def result_objects(
    file: str | Path | DicomFile, segment: Callable[[Image], Result]
) -> list[Dataset]:
    """Segment a DICOM file and make what is to be sent on: one SR, and a SEG if there is a lesion.

    Of a cine, both are about the frame with the largest lesion.

    Args:
        file: The file or its path.
        segment: A `suraksha.Segmenter`.

    Raises:
        InputError: A file that cannot be used; see `suraksha.io.dicom_guard.guard`.
    """
    opened = file if isinstance(file, DicomFile) else DicomFile(file)
    source = source_of(key_result(opened, segment))
    kinds = ("SR", "SEG") if source.result.lesions else ("SR",)
    return [_made(kind, source) for kind in kinds]
