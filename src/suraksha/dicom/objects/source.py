"""The image that a result belongs to, in the form that writers of DICOM objects need."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from suraksha.dicom.objects.codes import uid_of
from suraksha.dicom.objects.sanitize import FRAME_ELEMENTS, sanitize
from suraksha.errors import InputError
from suraksha.io.dicom import Origin
from suraksha.io.dicom_guard import SECONDARY_CAPTURE, ULTRASOUND, suppress_pydicom_warnings
from suraksha.types import Result

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

# elements that writers copy; an image may lack them, an object may have them empty
MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A result and the image of a DICOM study that it belongs to.

    Args:
        result: The result.
        header: The image's elements, a sanitized copy, as those of a single frame.
        whole: The same for all frames.
        sop_class: The image's original SOP class, which may be retired.
        frame: Number of the frame, from 1, in a multi-frame image; else None.
        corrected: Whether a person corrected the mask.
        content: A hash of the result's content.
    """

    result: Result
    header: Dataset
    whole: Dataset
    sop_class: str
    frame: int | None
    corrected: bool
    content: str

    def uid(self, kind: str) -> str:
        """The UID of an object, or of a part of one, for this result of this image."""
        instance, frame = str(self.header.SOPInstanceUID), str(self.frame or "")
        return uid_of(kind, instance, frame, self.result.card.model_sha256, self.content)

    def series_uid(self, kind: str) -> str:
        """The UID of the series of such objects for the image's series."""
        card = self.result.card
        return uid_of(f"{kind} series", str(self.header.SeriesInstanceUID), card.model_sha256)

    @property
    def laterality(self) -> str:
        """``L``, ``R`` or empty."""
        for name in ("ImageLaterality", "Laterality"):
            value = str(self.header.get(name) or "").strip().upper()
            if value in ("L", "R"):
                return value
        return ""

    @property
    def instance_number(self) -> int:
        """The image's Instance Number, at least 1."""
        try:
            return max(1, int(self.header.get("InstanceNumber") or 1))
        except (TypeError, ValueError):
            return 1


def source_of(result: Result, *, corrected: bool = False) -> Source:
    """The image of a DICOM study that a result belongs to.

    Raises:
        InputError: The image was not read from a DICOM file, or that file has no study, series or
            instance UID.
    """
    origin = result.image.origin
    name = result.image.name
    if not isinstance(origin, Origin):
        raise InputError(
            f"cannot write a DICOM object for '{name}'",
            "it was not read from a DICOM file, so its patient and study are unknown",
            "Segment the DICOM file itself, or export PNG, GeoJSON, NRRD, CSV or JSON",
        )
    missing = [name for name in REQUIRED if not origin.header.get(name)]
    if missing:
        raise InputError(
            f"cannot write a DICOM object for '{name}'",
            f"its file lacks {', '.join(missing)}",
            "Export the image again from the scanner or archive",
        )
    with suppress_pydicom_warnings():
        whole = sanitize(_copy(origin.header), frames=origin.frames)
        header = _as_single_frame(whole)
    return Source(
        result=result,
        header=header,
        whole=whole,
        sop_class=str(origin.header.SOPClassUID),
        frame=(origin.frame or 1) if "NumberOfFrames" in whole else None,
        corrected=corrected,
        content=_content_hash(result, corrected),
    )


def _content_hash(result: Result, corrected: bool) -> str:
    """A hash of what the objects contain: mask, spacing, confidences, review, correction."""
    digest = hashlib.sha256(result.mask.tobytes())
    spacings = [scan.spacing for scan in result.image.scans]
    confidences = [
        None if lesion.confidence is None else round(lesion.confidence, 3)
        for lesion in result.lesions
    ]
    digest.update(repr((spacings, confidences, result.review, corrected)).encode())
    return digest.hexdigest()


def _copy(header: Dataset, without: Sequence[str] = ()) -> Dataset:
    from pydicom import Dataset

    made = Dataset()
    made.file_meta = header.file_meta
    for element in header:
        if element.keyword not in without:
            made.add(copy.deepcopy(element))  # elements are shared and mutable
    for name in MAY_BE_EMPTY:
        if name not in made:
            setattr(made, name, "")
    return made


def _as_single_frame(header: Dataset) -> Dataset:
    """A copy as an image of one frame: highdicom makes a SEG without coordinates only for these."""
    made = _copy(header, FRAME_ELEMENTS)
    if "NumberOfFrames" in header:
        is_capture = str(header.SOPClassUID).startswith(SECONDARY_CAPTURE)
        made.SOPClassUID = SECONDARY_CAPTURE if is_capture else ULTRASOUND
    return made


def restore_sop_class(dataset: Dataset, source: Source) -> None:
    """Set the original SOP class in all references to the image."""

    def restore(item: Dataset, element: DataElement) -> None:
        is_image = item.get("ReferencedSOPInstanceUID") == source.header.SOPInstanceUID
        if element.keyword == "ReferencedSOPClassUID" and is_image:
            element.value = source.sop_class

    if {source.header.SOPClassUID, source.whole.SOPClassUID} != {source.sop_class}:
        dataset.walk(restore)
