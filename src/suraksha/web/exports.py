"""A result as a file to take away: PNG, mask, CSV, JSON, DICOM SEG and SR, correction."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import numpy as np

import suraksha
from suraksha.errors import MissingExtraError
from suraksha.reporting.records import MADE_BY, csv_text, png_bytes
from suraksha.types import Image, Result
from suraksha.web.responses import CORRECTED, drawn, record_of

CORRECTION_FORMAT = "suraksha-correction/1"


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """What is exported.

    Args:
        result: The answer, or what a person made of it.
        name: Our own name of the image.
        frame: Which frame of it.
        by_hand: Whether a person drew the mask.
    """

    result: Result
    name: str
    frame: int
    by_hand: bool

    def record(self) -> dict[str, Any]:
        """What is told of it."""
        told = record_of(self.result, name=self.name, frame=self.frame, by_hand=self.by_hand)
        return {"made_by": MADE_BY, "version": suraksha.__version__, **told}


@dataclass(frozen=True, slots=True)
class Export:
    """A kind of file.

    Args:
        suffix: What its name ends in.
        media_type: What it is to a browser.
        content: Makes it.
    """

    suffix: str
    media_type: str
    content: Callable[[Exported], bytes]


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _png(exported: Exported) -> bytes:
    return png_bytes(drawn(exported.result), comment=CORRECTED if exported.by_hand else "")


def _mask(exported: Exported) -> bytes:
    return png_bytes(exported.result.mask.astype(np.uint8) * 255)


def _csv(exported: Exported) -> bytes:
    return csv_text([exported.record()]).encode()


def _record(exported: Exported) -> bytes:
    return _json(exported.record())


def _seg(exported: Exported) -> bytes:
    return _dicom(exported, "SEG")


def _sr(exported: Exported) -> bytes:
    return _dicom(exported, "SR")


def _dicom(exported: Exported, kind: str) -> bytes:
    """A DICOM object; what writes it is loaded when it is asked for.

    Raises:
        MissingExtraError: The extra ``[dicom]`` is not installed.
        InputError: The image did not come from DICOM, or there is nothing to write.
    """
    try:
        from suraksha.dicom.objects.results import object_bytes
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing DICOM objects", "dicom", str(error.name)) from error
    return object_bytes(exported.result, kind, corrected=exported.by_hand)


def _correction(exported: Exported) -> bytes:
    """What a person drew, and of which image and bundle, without the image."""
    record = exported.record()
    return _json(
        {
            "format": CORRECTION_FORMAT,
            "notice": "Research use only.",
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "image_sha256": image_hash(exported.result.image),
            "corrected": exported.by_hand,
            "polygons": record.pop("contours"),
            **record,
        }
    )


def image_hash(image: Image) -> str:
    """SHA-256 of an image's size and pixels."""
    pixels = np.ascontiguousarray(image.pixels)
    head = f"{pixels.shape} {pixels.dtype.str}\n".encode()
    return sha256(head + pixels.tobytes()).hexdigest()


JSON, DICOM = "application/json", "application/dicom"
EXPORTS = {
    "png": Export("overlay.png", "image/png", _png),
    "mask": Export("mask.png", "image/png", _mask),
    "csv": Export("lesions.csv", "text/csv; charset=utf-8", _csv),
    "json": Export("result.json", JSON, _record),
    "seg": Export("seg.dcm", DICOM, _seg),
    "sr": Export("sr.dcm", DICOM, _sr),
    "correction": Export("correction.json", JSON, _correction),
}
