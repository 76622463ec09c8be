"""Results as JSON of the HTTP API: the record of ``suraksha segment``, contours and images."""

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
from suraksha.web.annotations import lesion_records
from suraksha.web.schemas import Part

CORRECTED = "corrected by a person"


def frame_record(
    result: Result, *, name: str, frame: int = 0, corrected: bool = False
) -> dict[str, Any]:
    """The record of one frame.

    Args:
        result: The result, or its correction.
        name: The server's name for the image.
        frame: Index of the frame in the file, from 0.
        corrected: Whether a person drew the mask. The record then has no review flag, which
            refers to the prediction of the network.
    """
    record = {"image": name, "frame_index": frame, **result_record(result)}
    record["contours"] = lesion_records(result.lesions)["contours"]
    record["scans"] = [
        {
            "box": list(scan.box),
            "spacing_mm": scan.spacing and [scan.spacing.row_mm, scan.spacing.col_mm],
            "why_no_spacing": scan.unscaled,
        }
        for scan in result.image.scans
    ]
    if corrected:
        del record["needs_review"], record["review"]
        record["made_by"] = CORRECTED
    return record


def optional_parts(result: Result, parts: Sequence[Part], *, segment: Segmenter) -> dict[str, Any]:
    """The parts of a record that a request asks for, by key."""
    record: dict[str, Any] = {}
    if "image" in parts:
        record["image_png"] = encode_image(result.image)
    if "mask" in parts:
        record["mask_png"] = encode_png(result.mask.astype(np.uint8) * 255)
    if "overlay" in parts:
        record["overlay_png"] = encode_png(render_overlay(result))
    if "attention" in parts:
        record["attention"] = _attention(result.image, segment)
    if "classes" in parts and result.classes is not None:
        record |= support_record(result.classes)
    return record


def render_overlay(result: Result) -> NDArray[np.uint8]:
    """The image with contours, axes and sizes; (H, W, 3) uint8."""
    return overlay(result.image, result.mask, lesions=result.lesions)


def encode_image(image: Image) -> str:
    """An image as 8-bit PNG in base64."""
    channels = image.pixels.shape[2] if image.pixels.ndim == 3 else 1
    return encode_png(to_uint8(image.pixels, channels))


def encode_png(pixels: NDArray[np.uint8]) -> str:
    """Pixels as PNG in base64."""
    return base64.b64encode(png_bytes(pixels)).decode()


def _attention(image: Image, segment: Segmenter) -> dict[str, Any]:
    """The attention maps in grey, and the box of the image that they cover."""
    maps = {}
    for name, weights in segment.explain(image).items():
        low, span = float(weights.min()), float(np.ptp(weights))
        unit = (weights - low) / span if span else np.zeros_like(weights)
        grey = np.rint(255 * unit).astype(np.uint8)
        maps[name] = {"png": encode_png(grey), "min": low, "max": low + span}
    return {"box": list(image.scans[0].box), "maps": maps}
