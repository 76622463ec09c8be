"""The Basic Application Level Confidentiality Profile (PS3.15 E.1) for ultrasound images.

What is done with each attribute stands in ``ps315.csv``. Where the table leaves a choice, the
attribute is removed if ultrasound objects can be without it, and emptied else. Beyond the table,
what it does not know is removed: private and unknown attributes, curves and overlays, names of
persons, dates and times.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import cast
from uuid import UUID

from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

# X remove, Z empty, D dummy, U another UID, U* keep the sequence, with other UIDs in it
CHOICES = {"X/Z": "Z", "X/D": "X", "X/Z/D": "X", "Z/D": "Z", "X/Z/U*": "U*"}
STANDARD_UIDS = "1.2.840.10008."
CURVES, OVERLAYS = range(0x5000, 0x5100), range(0x6000, 0x6100)
PATIENT = ("PatientID", "PatientName")
TIMES, UNKNOWN = ("DA", "DT", "TM"), ("UN", "OB", "OW", "OF", "OD", "OL", "OV")
DUMMIES = {"DA": "19000101", "DT": "19000101000000", "TM": "000000", "AS": "000Y"}
LARGE_DATA = ("PixelData",)
MAX_NESTING = 32


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Names that stand for others: the same ones always for the same secret.

    Args:
        secret: Whoever knows it can tell which UID became which; keep it or throw it away.
    """

    secret: bytes

    def uid(self, uid: str) -> str:
        """A UID below 2.25 in place of another one."""
        return f"2.25.{UUID(bytes=self._digest('uid', uid)[:16], version=5).int}"

    def patient(self, patient_id: str) -> str:
        """A name in place of a patient's ID; empty for none."""
        if not patient_id.strip():
            return ""
        return f"ANON-{b32encode(self._digest('patient', patient_id.strip())[:10]).decode()}"

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.digest(self.secret, f"{kind}\0{text}".encode(), "sha256")


@cache
def actions() -> dict[int, str]:
    """What is done with each attribute of the table, by tag."""
    lines = (
        files("suraksha.dicom.deidentify")
        .joinpath("ps315.csv")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    rows = [line.split(",") for line in lines if line[0] not in "#t"]
    return {int(tag, 16): CHOICES.get(action, action) for tag, action, _ in rows}


def apply_profile(dataset: Dataset, names: Pseudonyms, *, level: int = 0) -> None:
    """Change a dataset so that it names nobody; nested ones too.

    Args:
        dataset: Changed in place.
        names: What stands for UIDs and for the patient.
        level: How deep it lies in others.

    Raises:
        ValueError: Sequences nested too deep.
    """
    if level > MAX_NESTING:
        raise ValueError("it is nested too deep")
    patient = names.patient(str(dataset.get("PatientID") or ""))
    for tag in list(dataset.keys()):
        action = _action(dataset[tag])
        if action == "X":
            del dataset[tag]
        else:
            _change(dataset[tag], action, names=names, level=level)
    for name in PATIENT:
        if name in dataset:
            setattr(dataset, name, patient)


def _action(element: DataElement) -> str:
    tag = element.tag
    unknown = tag.is_private or not dictionary_has_tag(tag)
    if unknown or tag.group in CURVES or tag.group in OVERLAYS:
        return "X"
    told = actions().get(int(tag))
    if told is not None:
        return told
    if element.VR == "PN":
        return "Z"
    if element.VR in TIMES or (element.VR in UNKNOWN and element.keyword not in LARGE_DATA):
        return "X"
    return "U" if element.VR == "UI" else "keep"


def _change(element: DataElement, action: str, *, names: Pseudonyms, level: int) -> None:
    if action == "Z":
        element.value = [] if element.VR == "SQ" else None
    elif element.VR == "SQ":
        for item in element.value:
            apply_profile(item, names, level=level + 1)
    elif element.VR == "UI":
        element.value = _other_uids(element.value, names)
    elif action == "D":
        element.value = DUMMIES.get(element.VR, "ANONYMIZED")


def _other_uids(value: object, names: Pseudonyms) -> object:
    """The same kind of value with other UIDs; those of the standard itself stay."""
    if isinstance(value, str):
        return value if value.startswith(STANDARD_UIDS) or not value else names.uid(value)
    if value is None:
        return None
    return [_other_uids(each, names) for each in cast(Iterable[object], value)]
