"""The codes and texts that Suraksha writes into DICOM objects: one table for all of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import suraksha
from suraksha.types import Result

if TYPE_CHECKING:
    import highdicom as hd

MANUFACTURER = "Suraksha"
MODEL_NAME = "Suraksha"
NOTICE = "Research use only"
CORRECTED = "Mask corrected by a person"
SEGMENT_LABEL = "Lesion"
# series numbers above those that scanners use
SERIES_NUMBERS = {"SEG": 9101, "SR": 9102, "SC": 9103, "RTSTRUCT": 9104}
SERIES_DESCRIPTIONS = {
    "SEG": f"Suraksha lesion segmentation ({NOTICE})",
    "SR": f"Suraksha measurements ({NOTICE})",
    "SC": f"Suraksha overlay ({NOTICE})",
    "RTSTRUCT": f"Suraksha contours ({NOTICE})",
}
# the orange of the overlays
DISPLAY_COLOUR = (230, 159, 0)


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept.

    Args:
        value: Code value.
        scheme: Coding scheme designator, such as ``SCT``, ``DCM`` or ``LN``.
        meaning: The text for readers.
    """

    value: str
    scheme: str
    meaning: str


# PS3.16 and SNOMED CT; the private codes of Suraksha have the scheme 99SURAKSHA
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
# the calibrated confidence of a lesion: the probability that the region is a lesion, in percent
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
    """A UID that depends only on its parts, in the arc 2.25 of UUIDs (PS3.5 B.2).

    The same image and bundle always give the same objects, so that an object that is made and sent
    twice is stored once.
    """
    digest = hashlib.sha256("\0".join(("suraksha", *parts)).encode()).digest()[:16]
    return f"2.25.{int.from_bytes(digest)}"


def software_version() -> str:
    """The Software Versions element of all objects."""
    return suraksha.__version__


def concept(code: Code) -> hd.sr.CodedConcept:
    """A code as highdicom's type."""
    import highdicom as hd

    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)


def _algorithm_version(result: Result) -> str:
    return f"{software_version()} / {result.card.name} {result.card.model_sha256[:12]}"


def segment_algorithm(result: Result) -> hd.AlgorithmIdentificationSequence:
    """The algorithm of a SEG segment: program, bundle and SHA-256 of the network."""
    import highdicom as hd
    from pydicom.sr.codedict import codes as standard

    return hd.AlgorithmIdentificationSequence(
        name="Suraksha",
        version=_algorithm_version(result),
        family=standard.DCM.ArtificialIntelligence,
        source=MANUFACTURER,
        parameters={"bundle": result.card.name, "network-sha256": result.card.model_sha256},
    )


def report_algorithm(result: Result, *, corrected: bool) -> hd.sr.AlgorithmIdentification:
    """The algorithm as a content item of an SR (TID 4019), and whether the mask was corrected."""
    import highdicom as hd
    from pydicom.sr.codedict import codes as standard

    return hd.sr.AlgorithmIdentification(
        name="Suraksha",
        version=_algorithm_version(result),
        family=standard.DCM.ArtificialIntelligence,
        parameters=[
            f"bundle={result.card.name}",
            f"network-sha256={result.card.model_sha256}",
            *([CORRECTED] if corrected else []),
            NOTICE,
        ],
    )
