"""Replace header values of scanners that writers of DICOM objects reject."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

from suraksha.io.dicom_guard import (
    RETIRED,
    SECONDARY_CAPTURE,
    SECONDARY_CAPTURE_FRAMES,
    ULTRASOUND,
    ULTRASOUND_CINE,
)

if TYPE_CHECKING:
    from pydicom import Dataset

SEXES = ("M", "F", "O", "")
TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
# single-frame SOP classes, and the multi-frame classes that replace them for several frames
MULTI_FRAME = {ULTRASOUND: ULTRASOUND_CINE, SECONDARY_CAPTURE: SECONDARY_CAPTURE_FRAMES}
FRAME_ELEMENTS = ("NumberOfFrames", "FrameIncrementPointer", "FrameTime", "FrameTimeVector")


def sanitize(made: Dataset, *, frames: int) -> Dataset:
    """Correct a copied header in place, and return it.

    Invalid dates, times and sexes become empty. A character set that starts with an empty value
    gets the name of the default set. A retired SOP class, or a single-frame class with several
    frames, becomes the current class; `restore_sop_class` sets the original one in references.

    Args:
        made: The copied header.
        frames: Number of frames of the file.
    """
    for element in made:
        clean = _CLEAN.get(element.VR)
        if clean is not None and isinstance(element.value, str):
            element.value = clean(element.value.strip())
    if str(made.PatientSex or "") not in SEXES:
        made.PatientSex = ""
    if "SpecificCharacterSet" in made:
        _name_default_character_set(made)
    sop_class = RETIRED.get(str(made.SOPClassUID), str(made.SOPClassUID))
    if frames > 1 and sop_class in MULTI_FRAME:
        sop_class = MULTI_FRAME[sop_class]
    made.SOPClassUID = sop_class
    if sop_class in MULTI_FRAME:
        for name in FRAME_ELEMENTS:
            if name in made:
                del made[name]
    else:
        made.NumberOfFrames = frames
    return made


def _name_default_character_set(made: Dataset) -> None:
    value = made.SpecificCharacterSet
    if not value:
        del made.SpecificCharacterSet
    elif not isinstance(value, str) and not value[0]:
        made.SpecificCharacterSet = ["ISO 2022 IR 6", *value[1:]]


def _date(text: str) -> str:
    """A valid date, also from the older form with dots; else empty."""
    digits = text.replace(".", "") if re.fullmatch(r"\d{4}\.\d\d\.\d\d", text) else text
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return ""
    return digits if re.fullmatch(r"\d{8}", digits) else ""


def _time(text: str) -> str:
    """A valid time, also from the older form with colons; else empty."""
    digits = text.replace(":", "")
    return digits if TIME.fullmatch(digits) else ""


_CLEAN: dict[str, Callable[[str], str]] = {"DA": _date, "TM": _time}
