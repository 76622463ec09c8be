"""The image that a result belongs to, as writers of DICOM objects need it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from suraksha.dicom.objects.codes import uid_of
from suraksha.dicom.objects.sanitize import OF_FRAMES, usable
from suraksha.errors import InputError
from suraksha.io.dicom import Origin
from suraksha.io.dicom_guard import SECONDARY_CAPTURE, ULTRASOUND, suppress_pydicom_warnings
from suraksha.types import Result

if TYPE_CHECKING:
    from pydicom import Dataset

# elements that writers copy and that a source may lack; they may be empty, not missing
MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"),
    *("StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A result and the image of a DICOM study that it was made from.

    Args:
        result: The result.
        header: The image's elements, a copy that writers can take, as those of one frame.
        whole: The same of all frames.
        sop_class: The image's own SOP class, which may be a retired one.
        frame: Number of the frame, from 1, of an image of several; else None.
        corrected: Whether a person changed the mask.
        answer: A hash of what is told of the image.
    """

    result: Result
    header: Dataset
    whole: Dataset
    sop_class: str
    frame: int | None
    corrected: bool
    answer: str

    def uid(self, kind: str) -> str:
        """The UID of an object, or a part of one, that tells this answer about this image."""
        place = str(self.header.SOPInstanceUID), str(self.frame or "")
        return uid_of(kind, *place, self.result.card.model_sha256, self.answer)

    def series_uid(self, kind: str) -> str:
        """The UID of the series that such objects about this image's series go into."""
        card = self.result.card
        return uid_of(f"{kind} series", str(self.header.SeriesInstanceUID), card.model_sha256)

    @property
    def laterality(self) -> str:
        """``L``, ``R`` or empty."""
        for name in ("ImageLaterality", "Laterality"):
            told = str(self.header.get(name) or "").strip().upper()
            if told in ("L", "R"):
                return told
        return ""

    @property
    def instance_number(self) -> int:
        """The image's own, at least 1."""
        try:
            return max(1, int(self.header.get("InstanceNumber") or 1))
        except (TypeError, ValueError):
            return 1


def source_of(result: Result, *, corrected: bool = False) -> Source:
    """The image of a DICOM study that a result was made from.

    Raises:
        InputError: The image did not come from a DICOM file, or that file does not say which
            study, series and instance it is.
    """
    origin = result.image.origin
    if not isinstance(origin, Origin):
        raise InputError(
            f"no DICOM object can be written about '{result.image.name}'",
            "it did not come from a DICOM file, so there is no patient or study to file it under",
            "Segment the DICOM file itself, or export PNG, GeoJSON, NRRD, CSV or JSON",
        )
    missing = [name for name in NEEDED if not origin.header.get(name)]
    if missing:
        raise InputError(
            f"no DICOM object can be written about '{result.image.name}'",
            f"its file has no {', '.join(missing)}",
            "Export the image again from the scanner or archive",
        )
    with suppress_pydicom_warnings():
        whole = usable(_copied(origin.header), frames=origin.frames)
        header = _single_frame(whole)
    frame = (origin.frame or 1) if "NumberOfFrames" in whole else None
    own = str(origin.header.SOPClassUID)
    return Source(result, header, whole, own, frame, corrected, _told(result, corrected))


def _told(result: Result, corrected: bool) -> str:
    """A hash of all that objects tell of a result: mask, sizes, confidences, review, by whom."""
    digest = hashlib.sha256(result.mask.tobytes())
    spacings = [scan.spacing for scan in result.image.scans]
    confidences = [
        None if lesion.confidence is None else round(lesion.confidence, 3)
        for lesion in result.lesions
    ]
    digest.update(repr((spacings, confidences, result.review, corrected)).encode())
    return digest.hexdigest()


def _copied(header: Dataset, without: Sequence[str] = ()) -> Dataset:
    from pydicom import Dataset

    made = Dataset()
    made.file_meta = header.file_meta
    for element in header:
        if element.keyword not in without:
            made.add(copy.deepcopy(element))  # else what is set in the copy is set in the original
    for name in MAY_BE_EMPTY:
        if name not in made:
            setattr(made, name, "")
    return made


def _single_frame(header: Dataset) -> Dataset:
    """As an image of one frame, of which alone highdicom makes a SEG without coordinates."""
    made = _copied(header, OF_FRAMES)
    if "NumberOfFrames" in header:
        capture = str(header.SOPClassUID).startswith(SECONDARY_CAPTURE)
        made.SOPClassUID = SECONDARY_CAPTURE if capture else ULTRASOUND
    return made


def name_own_class(dataset: Dataset, source: Source) -> None:
    """Let all references to the image name its own SOP class again."""

    def mend(item: Dataset, element: Any) -> None:  # noqa: ANN401 - an element of pydicom
        about = item.get("ReferencedSOPInstanceUID") == source.header.SOPInstanceUID
        if element.keyword == "ReferencedSOPClassUID" and about:
            element.value = source.sop_class

    if {source.header.SOPClassUID, source.whole.SOPClassUID} != {source.sop_class}:
        dataset.walk(mend)
