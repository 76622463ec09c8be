"""Results as the HTTP interface tells them: the record of ``suraksha segment`` and more."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.inference.segmenter import Segmenter
from suraksha.preprocessing import to_uint8
from suraksha.reporting.overlay import overlay
from suraksha.reporting.records import png_bytes, result_record, support_record
from suraksha.types import Image, Result
from suraksha.web.annotations import measured
from suraksha.web.schemas import Part

CORRECTED = "corrected by a person"


def record_of(
    result: Result, *, name: str, frame: int = 0, by_hand: bool = False
) -> dict[str, Any]:
    """What is told of one frame.

    Args:
        result: The answer.
        name: Our own name of the image.
        frame: Which frame of it.
        by_hand: Whether a person drew the mask.
    """
    image = result.image
    record = {"image": name, "frame_index": frame, **result_record(result)}
    record["contours"] = measured(result.lesions)["contours"]
    record["scans"] = [
        {
            "box": list(scan.box),
            "spacing_mm": scan.spacing and [scan.spacing.row_mm, scan.spacing.col_mm],
            "why_no_spacing": scan.unscaled,
        }
        for scan in image.scans
    ]
    if by_hand:  # the rule asks about the network's answer, of which nothing is left
        del record["needs_review"], record["review"]
        record["made_by"] = CORRECTED
    return record


def parts_of(result: Result, parts: Sequence[Part], *, segment: Segmenter) -> dict[str, Any]:
    """What else was asked for, by its key in the record."""
    told: dict[str, Any] = {}
    if "image" in parts:
        told["image_png"] = image_text(result.image)
    if "mask" in parts:
        told["mask_png"] = _text(result.mask.astype(np.uint8) * 255)
    if "overlay" in parts:
        told["overlay_png"] = _text(drawn(result))
    if "attention" in parts:
        told["attention"] = _attention(result.image, segment)
    if "classes" in parts and result.classes is not None:
        told |= support_record(result.classes)
    return told


def drawn(result: Result) -> NDArray[np.uint8]:
    """The image with mask, calipers and sizes over it."""
    return overlay(result.image, result.mask, lesions=result.lesions)


def image_text(image: Image) -> str:
    """An image as PNG of 8 bit, in base64."""
    return _text(to_uint8(image.pixels, image.pixels.shape[2] if image.pixels.ndim == 3 else 1))


def _text(pixels: NDArray[np.uint8]) -> str:
    return base64.b64encode(png_bytes(pixels)).decode()


def _attention(image: Image, segment: Segmenter) -> dict[str, Any]:
    """The maps of where the network looked, grey, and the part of the image that they cover."""
    maps = {}
    for name, weights in segment.explain(image).items():
        low, span = float(weights.min()), float(np.ptp(weights))
        unit = (weights - low) / span if span else np.zeros_like(weights)
        grey = np.rint(255 * unit).astype(np.uint8)
        maps[name] = {"png": _text(grey), "least": low, "greatest": low + span}
    return {"box": list(image.scans[0].box), "maps": maps}
