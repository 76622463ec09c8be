"""Results as JSON records, CSV and PNG, the same in the command line, web page and API."""

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
    "image",
    "rows",
    "columns",
    *CSV_LESION,
    "needs_review",
    "bundle",
    "total_ms",
    "error",
    "made_by",
)
# key of the class probabilities in a record, present only if they were requested
SUPPORT = "decision_support"


def png_bytes(pixels: NDArray[np.uint8], *, comment: str = "") -> bytes:
    """An image as PNG, with the software named in its metadata."""
    file, info = BytesIO(), PngInfo()
    info.add_text("Software", MADE_BY)
    if comment:
        info.add_text("Comment", comment)
    PilImage.fromarray(pixels).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def lesion_record(lesion: Lesion) -> dict[str, Any]:
    """A lesion for JSON, without its contour, floats rounded to 4 decimals."""
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
    """A result for JSON, without the image's name and the arrays."""
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
    """Class probabilities for JSON, rounded to 4 decimals, with their intended use."""
    probabilities = {name: round(probability, DIGITS) for name, probability in classes.items()}
    return {SUPPORT: {"use": DECISION_SUPPORT, "classes": probabilities}}


def _support_columns(record: Mapping[str, Any]) -> dict[str, float]:
    classes = record.get(SUPPORT, {}).get("classes", {})
    return {f"{DECISION_SUPPORT}: {name}": probability for name, probability in classes.items()}


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """One row per lesion; an image without a lesion, or that failed, has one row."""
    text = io.StringIO()
    classes = dict.fromkeys(name for record in records for name in _support_columns(record))
    columns = (*CSV_COLUMNS, *classes)
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
