"""Results as text and bytes that every door gives alike: records, CSV, PNG."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import fields
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL.PngImagePlugin import PngInfo

from suraksha.inference.card import DECISION_SUPPORT
from suraksha.types import Lesion, Result

DIGITS = 4
MADE_BY = "Suraksha, research use only"
NOT_IN_RECORD = ("contour",)
CSV_LESION = tuple(
    f.name
    for f in fields(Lesion)
    if f.name not in (*NOT_IN_RECORD, "bbox", "centroid", "long_axis_ends", "short_axis_ends")
)
CSV_COLUMNS = (
    *("image", "rows", "columns"),
    *CSV_LESION,
    *("needs_review", "bundle", "total_ms", "error", "made_by"),
)
# key of a record that holds class probabilities, there only where they were asked for
SUPPORT = "decision_support"


def png_bytes(pixels: NDArray[np.uint8], *, comment: str = "") -> bytes:
    """An image as PNG that says what made it."""
    file, info = BytesIO(), PngInfo()
    info.add_text("Software", MADE_BY)
    if comment:
        info.add_text("Comment", comment)
    PilImage.fromarray(pixels).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def lesion_record(lesion: Lesion) -> dict[str, Any]:
    """A lesion as JSON takes it, without its contour, lengths to 0.0001."""
    return {
        f.name: _rounded(getattr(lesion, f.name))
        for f in fields(Lesion)
        if f.name not in NOT_IN_RECORD
    }


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any field of a lesion
    if isinstance(value, tuple):
        return [_rounded(part) for part in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def result_record(result: Result) -> dict[str, Any]:
    """What a result tells of its image, as JSON takes it; without its name and its masks."""
    image, spacing = result.image, result.image.spacing
    record: dict[str, Any] = {
        "shape": list(image.shape),
        "spacing_mm": None if spacing is None else [spacing.row_mm, spacing.col_mm],
        "spacing_source": None if spacing is None else spacing.source,
        "lesions": [lesion_record(lesion) for lesion in result.lesions],
        "needs_review": result.needs_review,
        "review": list(result.review),
        "bundle": result.card.name,
        "model_sha256": result.card.model_sha256,
        "patches": [{"box": list(p.box), "size": list(p.size)} for p in result.patches],
        "latency_ms": {stage: round(ms, 3) for stage, ms in result.latency_ms.items()},
    }
    if spacing is None and image.unscaled:
        record["why_no_spacing"] = image.unscaled
    if image.regions:
        record["regions"] = [list(region.box) for region in image.regions]
    frame = getattr(image.origin, "frame", None)
    if frame is not None:
        record["frame"] = frame
    return record


def support_record(classes: Mapping[str, float]) -> dict[str, Any]:
    """Class probabilities as JSON takes them, to 0.0001, and what they are for."""
    shares = {name: round(fraction, DIGITS) for name, fraction in classes.items()}
    return {SUPPORT: {"use": DECISION_SUPPORT, "classes": shares}}


def _support_columns(record: Mapping[str, Any]) -> dict[str, float]:
    classes = record.get(SUPPORT, {}).get("classes", {})
    return {f"{DECISION_SUPPORT}: {name}": fraction for name, fraction in classes.items()}


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """A row a lesion; an image without one, or that failed, has a row of its own."""
    text = io.StringIO()
    told = dict.fromkeys(name for record in records for name in _support_columns(record))
    columns = (*CSV_COLUMNS, *told)
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for record in records:
        image = {key: record.get(key) for key in ("image", "bundle", "error")}
        image["made_by"] = record.get("made_by", MADE_BY)
        if "shape" in record:
            image |= dict(zip(("rows", "columns"), record["shape"], strict=True))
            image["needs_review"] = record.get("needs_review")
            image["total_ms"] = record["latency_ms"]["total"]
            image |= _support_columns(record)
        for lesion in record.get("lesions") or [{}]:
            writer.writerow({**image, **lesion})
    return text.getvalue()
