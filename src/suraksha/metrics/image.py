"""The scores of one image."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.metrics.boundary import (
    TOLERANCE_PX,
    diagonal,
    hd95_of,
    nsd_of,
    surface_distances,
)
from suraksha.metrics.detection import Detection, detection
from suraksha.metrics.overlap import Counts, counts, score_counts

PER_IMAGE = ("dice", "iou", "precision", "recall", "hd95_px", "nsd", "hd95_mm")


@dataclass(frozen=True, slots=True)
class ImageScore:
    """The scores of one predicted mask. Scores are NaN if both masks are empty.

    Args:
        name: Name of the image, by which two models are paired.
        label: Class of the image, such as ``"benign"``.
        group: Group of near-duplicates; the name of the image if it has none.
        counts: Numbers of pixels.
        dice: Dice, 0..1.
        iou: Intersection over union, 0..1.
        precision: Fraction of the predicted pixels that are true, 0..1.
        recall: Fraction of the true pixels that are predicted, 0..1.
        hd95_px: 95th percentile Hausdorff distance in pixels; the diagonal if one mask is empty.
        hd95_mm: The same distance in mm; NaN if the spacing is unknown.
        nsd: Normalised surface distance at the tolerance, 0..1.
        lesions: Numbers of found, missed and false lesions.
    """

    name: str
    label: str
    group: str
    counts: Counts
    dice: float
    iou: float
    precision: float
    recall: float
    hd95_px: float
    nsd: float
    hd95_mm: float = math.nan
    lesions: Detection = field(default_factory=Detection)

    @property
    def both_empty(self) -> bool:
        """Whether both masks are empty, so that there is nothing to score."""
        return self.counts.tp + self.counts.fp + self.counts.fn == 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-compatible values, with None for NaN."""
        return jsonable(asdict(self))


def score_image(
    prediction: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    *,
    name: str,
    label: str = "",
    group: str | None = None,
    tolerance_px: float = TOLERANCE_PX,
) -> ImageScore:
    """Score one predicted mask.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool, the union of all lesions.
        name: Name of the image.
        label: Class of the image.
        group: Group of near-duplicates; None for a group of one.
        tolerance_px: Maximum distance that NSD counts as agreement, in pixels.

    Raises:
        InputError: The arrays are not two bool masks of the same shape.
        UsageError: The tolerance is negative or not finite.
    """
    counted = counts(prediction, truth)
    overlap = score_counts(np.array([counted.tp, counted.fp, counted.fn, counted.tn]))
    distances = surface_distances(prediction, truth)
    return ImageScore(
        name=name,
        label=label,
        group=name if group is None else group,
        counts=counted,
        dice=float(overlap["dice"]),
        iou=float(overlap["iou"]),
        precision=float(overlap["precision"]),
        recall=float(overlap["recall"]),
        hd95_px=hd95_of(distances, diagonal(truth.shape)),
        nsd=nsd_of(distances, tolerance_px),
        lesions=detection(prediction, truth),
    )


def jsonable(record: dict[str, Any]) -> dict[str, Any]:
    """A nested dict with None in place of NaN and infinity, which JSON does not have."""
    plain: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            plain[key] = jsonable(value)
        elif isinstance(value, float) and not math.isfinite(value):
            plain[key] = None
        else:
            plain[key] = value
    return plain
