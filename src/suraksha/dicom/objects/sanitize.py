"""Headers as scanners write them, made into what writers of DICOM objects can take."""

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
# the classes of one frame, and those of several that stand for them where a file has several
SEVERAL = {ULTRASOUND: ULTRASOUND_CINE, SECONDARY_CAPTURE: SECONDARY_CAPTURE_FRAMES}
OF_FRAMES = ("NumberOfFrames", "FrameIncrementPointer", "FrameTime", "FrameTimeVector")


def usable(made: Dataset, *, frames: int) -> Dataset:
    """A copied header without what ordinary scanners get wrong and writers stumble over.

    What is no date, time or sex becomes empty, a code of characters that begins with the default is
    told by its name, and a class that is retired, or that has no frames though the file has, by the
    one of today that fits; references to the image name its own again (`name_own_class`).
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
