"""The picture that a result belongs to, as writers of DICOM objects need it."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from suraksha.core import Result
from suraksha.dicom.codes import uid_of
from suraksha.errors import InputError
from suraksha.imaging.dicom import Origin
from suraksha.imaging.guard import (
    RETIRED,
    SECONDARY_CAPTURE,
    SECONDARY_CAPTURE_FRAMES,
    ULTRASOUND,
    ULTRASOUND_CINE,
    quiet,
)

if TYPE_CHECKING:
    from pydicom import Dataset

# elements that writers copy and that a source may lack; they may be empty, not missing
MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"),
    *("StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
SEXES = ("M", "F", "O", "")
TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
# the classes of one frame, and those of several that stand for them where a file has several
SEVERAL = {ULTRASOUND: ULTRASOUND_CINE, SECONDARY_CAPTURE: SECONDARY_CAPTURE_FRAMES}
OF_FRAMES = ("NumberOfFrames", "FrameIncrementPointer", "FrameTime", "FrameTimeVector")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A result and the picture of a DICOM study that it was made from.

    Args:
        result: The result.
        header: The picture's elements, a copy that writers can take, as those of one frame.
        whole: The same of all frames.
        sop_class: The picture's own SOP class, which may be a retired one.
        frame: Number of the frame, from 1, of a picture of several; else None.
        corrected: Whether a person changed the mask.
        answer: A hash of what is told of the picture.
    """

    result: Result
    header: Dataset
    whole: Dataset
    sop_class: str
    frame: int | None
    corrected: bool
    answer: str

    def uid(self, kind: str) -> str:
        """The UID of an object, or a part of one, that tells this answer about this picture."""
        place = str(self.header.SOPInstanceUID), str(self.frame or "")
        return uid_of(kind, *place, self.result.card.model_sha256, self.answer)

    def series_uid(self, kind: str) -> str:
        """The UID of the series that such objects about this picture's series go into."""
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
        """The picture's own, at least 1."""
        try:
            return max(1, int(self.header.get("InstanceNumber") or 1))
        except (TypeError, ValueError):
            return 1


def source_of(result: Result, *, corrected: bool = False) -> Source:
    """The picture of a DICOM study that a result was made from.

    Raises:
        InputError: The picture did not come from a DICOM file, or that file does not say which
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
            "Export the picture again from the scanner or archive",
        )
    with quiet():
        whole = _usable(_copied(origin.header), frames=origin.frames)
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


def _usable(made: Dataset, *, frames: int) -> Dataset:
    """A copied header without what ordinary scanners get wrong and writers stumble over.

    What is no date, time or sex becomes empty, a code of characters that begins with the default is
    told by its name, and a class that is retired, or that has no frames though the file has, by the
    one of today that fits; references to the picture name its own again (`name_own_class`).
    """
    for element in made:
        clean = _CLEAN.get(element.VR)
        if clean is not None and isinstance(element.value, str):
            element.value = clean(element.value.strip())
    if str(made.PatientSex or "") not in SEXES:
        made.PatientSex = ""
    if "SpecificCharacterSet" in made:
        _name_default_characters(made)
    sop_class = RETIRED.get(str(made.SOPClassUID), str(made.SOPClassUID))
    if frames > 1 and sop_class in SEVERAL:
        sop_class = SEVERAL[sop_class]
    made.SOPClassUID = sop_class
    if sop_class in SEVERAL:
        for name in OF_FRAMES:
            if name in made:
                del made[name]
    else:
        made.NumberOfFrames = frames
    return made


def _name_default_characters(made: Dataset) -> None:
    told = made.SpecificCharacterSet
    if not told:
        del made.SpecificCharacterSet
    elif not isinstance(told, str) and not told[0]:
        made.SpecificCharacterSet = ["ISO 2022 IR 6", *told[1:]]


def _date(text: str) -> str:
    """A date as it is, of the older form without its dots, or nothing."""
    digits = text.replace(".", "") if re.fullmatch(r"\d{4}\.\d\d\.\d\d", text) else text
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return ""
    return digits if re.fullmatch(r"\d{8}", digits) else ""


def _time(text: str) -> str:
    """A time as it is, of the older form without its colons, or nothing."""
    digits = text.replace(":", "")
    return digits if TIME.fullmatch(digits) else ""


_CLEAN: dict[str, Callable[[str], str]] = {"DA": _date, "TM": _time}


def _single_frame(header: Dataset) -> Dataset:
    """As a picture of one frame, of which alone highdicom makes a SEG without coordinates."""
    made = _copied(header, OF_FRAMES)
    if "NumberOfFrames" in header:
        capture = str(header.SOPClassUID).startswith(SECONDARY_CAPTURE)
        made.SOPClassUID = SECONDARY_CAPTURE if capture else ULTRASOUND
    return made


def name_own_class(dataset: Dataset, source: Source) -> None:
    """Let all references to the picture name its own SOP class again."""

    def mend(item: Dataset, element: Any) -> None:  # noqa: ANN401 - an element of pydicom
        about = item.get("ReferencedSOPInstanceUID") == source.header.SOPInstanceUID
        if element.keyword == "ReferencedSOPClassUID" and about:
            element.value = source.sop_class

    if {source.header.SOPClassUID, source.whole.SOPClassUID} != {source.sop_class}:
        dataset.walk(mend)
