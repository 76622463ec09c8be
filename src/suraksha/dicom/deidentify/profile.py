"""The Basic Application Level Confidentiality Profile (PS3.15 E.1) for ultrasound images.

The action for each attribute is in ``ps315.csv``. Where the standard leaves a choice, the attribute
is removed if ultrasound objects do not need it, and emptied otherwise. Attributes that are not in
the table are removed if they are private or unknown, curves, overlays, dates or times; names of
persons are emptied.
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

# X remove, Z empty, D dummy value, U replace the UID, U* keep the sequence and replace its UIDs
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
    """Replacements of UIDs and patient IDs; the same secret gives the same ones.

    Args:
        secret: Allows to link originals and pseudonyms; keep it confidential or delete it.
    """

    secret: bytes

    def uid(self, uid: str) -> str:
        """The pseudonym of a UID, in the arc 2.25."""
        return f"2.25.{UUID(bytes=self._digest('uid', uid)[:16], version=5).int}"

    def patient(self, patient_id: str) -> str:
        """The pseudonym of a patient ID; empty for an empty one."""
        if not patient_id.strip():
            return ""
        return f"ANON-{b32encode(self._digest('patient', patient_id.strip())[:10]).decode()}"

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.digest(self.secret, f"{kind}\0{text}".encode(), "sha256")


@cache
def actions() -> dict[int, str]:
    """The action for each attribute of the table, by tag."""
    lines = (
        files("suraksha.dicom.deidentify")
        .joinpath("ps315.csv")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    rows = [line.split(",") for line in lines if line[0] not in "#t"]
    return {int(tag, 16): CHOICES.get(action, action) for tag, action, _ in rows}


def apply_profile(dataset: Dataset, pseudonyms: Pseudonyms, *, level: int = 0) -> None:
    """De-identify a dataset and its nested datasets in place.

    Args:
        dataset: The dataset.
        pseudonyms: The replacements of UIDs and patient IDs.
        level: Nesting level of the dataset.

    Raises:
        ValueError: Sequences are nested too deep.
    """
    if level > MAX_NESTING:
        raise ValueError("sequences are nested too deep")
    patient = pseudonyms.patient(str(dataset.get("PatientID") or ""))
    for tag in list(dataset.keys()):
        action = _action(dataset[tag])
        if action == "X":
            del dataset[tag]
        else:
            _change(dataset[tag], action, pseudonyms=pseudonyms, level=level)
    for name in PATIENT:
        if name in dataset:
            setattr(dataset, name, patient)


def _action(element: DataElement) -> str:
    tag = element.tag
    unknown = tag.is_private or not dictionary_has_tag(tag)
    if unknown or tag.group in CURVES or tag.group in OVERLAYS:
        return "X"
    action = actions().get(int(tag))
    if action is not None:
        return action
    if element.VR == "PN":
        return "Z"
    if element.VR in TIMES or (element.VR in UNKNOWN and element.keyword not in LARGE_DATA):
        return "X"
    return "U" if element.VR == "UI" else "keep"


def _change(element: DataElement, action: str, *, pseudonyms: Pseudonyms, level: int) -> None:
    if action == "Z":
        element.value = [] if element.VR == "SQ" else None
    elif element.VR == "SQ":
        for item in element.value:
            apply_profile(item, pseudonyms, level=level + 1)
    elif element.VR == "UI":
        element.value = _replaced_uids(element.value, pseudonyms)
    elif action == "D":
        element.value = DUMMIES.get(element.VR, "ANONYMIZED")


def _replaced_uids(value: object, pseudonyms: Pseudonyms) -> object:
    """The value, one UID or several, with pseudonyms; UIDs of the standard are kept."""
    if isinstance(value, str):
        is_kept = value.startswith(STANDARD_UIDS) or not value
        return value if is_kept else pseudonyms.uid(value)
    if value is None:
        return None
    return [_replaced_uids(each, pseudonyms) for each in cast(Iterable[object], value)]
