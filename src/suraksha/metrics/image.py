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
    """How well one predicted mask agrees with the truth. Scores are NaN where both are empty.

    Args:
        name: The image's name, by which two models are paired.
        label: Its class, such as ``"benign"``.
        group: Its group of near-duplicates; its own name where it has none.
        counts: Pixels by kind.
        dice: Dice, 0..1.
        iou: Intersection over union, 0..1.
        precision: Share of the predicted pixels that are true, 0..1.
        recall: Share of the true pixels that are predicted, 0..1.
        hd95_px: 95th percentile Hausdorff distance in pixels; the diagonal where one is empty.
        hd95_mm: The same distance in mm; NaN where the spacing is unknown.
        nsd: Normalised surface distance at the tolerance, 0..1.
        lesions: Lesions found, missed and made up.
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
        """Whether neither mask has a pixel, so that there is nothing to score."""
        return self.counts.tp + self.counts.fp + self.counts.fn == 0

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON takes it, with None for NaN."""
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
        name: The image's name.
        label: Its class.
        group: Its group of near-duplicates; None makes it a group of its own.
        tolerance_px: Distance that NSD still counts as agreement, in pixels.

    Raises:
        InputError: Not two bool masks of one shape.
        UsageError: A tolerance that is negative or not finite.
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
    """A nested dict as JSON takes it: None in the place of NaN and infinity."""
    plain: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            plain[key] = jsonable(value)
        elif isinstance(value, float) and not math.isfinite(value):
            plain[key] = None
        else:
            plain[key] = value
    return plain
