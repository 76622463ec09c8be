"""The codes and names that Suraksha writes into DICOM objects. One table for all of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import suraksha

MANUFACTURER = "Suraksha"
MODEL_NAME = "Suraksha"
NOTICE = "Research use only"
CORRECTED = "mask corrected by a person"
SEGMENT_LABEL = "Lesion"
# series numbers of what is written, above those that scanners use
SERIES_NUMBERS = {"SEG": 9101, "SR": 9102, "SC": 9103, "RTSTRUCT": 9104}
SERIES_DESCRIPTIONS = {
    "SEG": "Suraksha lesion mask (research use only)",
    "SR": "Suraksha measurements (research use only)",
    "SC": "Suraksha overlay (research use only)",
    "RTSTRUCT": "Suraksha contours (research use only)",
}


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept.

    Args:
        value: Code value.
        scheme: Coding scheme designator, such as ``SCT``, ``DCM`` or ``LN``.
        meaning: What people read.
    """

    value: str
    scheme: str
    meaning: str


# PS3.16 and SNOMED CT; those of Suraksha's own are of the private scheme 99SURAKSHA
LESION = Code("52988006", "SCT", "Lesion")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
BREAST = Code("76752008", "SCT", "Breast")
LEFT, RIGHT = Code("7771000", "SCT", "Left"), Code("24028007", "SCT", "Right")
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
PERPENDICULAR_AXIS = Code("131189007", "SCT", "Perpendicular Axis")
AREA = Code("42798000", "SCT", "Area")
PERIMETER = Code("131191004", "SCT", "Perimeter")
DEPTH = Code("131197000", "SCT", "Depth")
US_BREAST = Code("24601-7", "LN", "US Breast")
# the mean probability of the lesion's pixels
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
PRESENT, ABSENT = Code("52101004", "SCT", "Present"), Code("2667000", "SCT", "Absent")
YES, NO = Code("373066001", "SCT", "Yes"), Code("373067005", "SCT", "No")
REVIEW = Code("needs-review", "99SURAKSHA", "Needs review")
LESIONS_FOUND = Code("lesions-found", "99SURAKSHA", "Number of lesions found")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "square millimeter")
PIXEL = Code("{pixels}", "UCUM", "pixels")
PERCENT = Code("%", "UCUM", "Percent")
COUNT = Code("{lesions}", "UCUM", "lesions")


def uid_of(*parts: str) -> str:
    """A UID that depends on its parts alone, in the arc 2.25 of UUIDs (PS3.5 B.2).

    The same image by the same bundle then always gives the same objects: what is made and sent
    twice is stored once.
    """
    digest = hashlib.sha256("\0".join(("suraksha", *parts)).encode()).digest()[:16]
    return f"2.25.{int.from_bytes(digest)}"


def software_version() -> str:
    """What stands as software version in every object."""
    return suraksha.__version__
