"""How well predicted masks agree with true masks."""

from suraksha.metrics.baseline import mean_mask
from suraksha.metrics.boundary import hd95, nsd
from suraksha.metrics.detection import Detection, detection
from suraksha.metrics.image import ImageScore, score_image
from suraksha.metrics.overlap import Counts, accuracy, counts, dice, iou, precision, recall
from suraksha.metrics.summary import (
    COLUMNS,
    Difference,
    Summary,
    batch_pooled,
    paired_difference,
    summarise,
    table_row,
)

__all__ = [
    "COLUMNS",
    "Counts",
    "Difference",
    "ImageScore",
    "Detection",
    "Summary",
    "accuracy",
    "batch_pooled",
    "counts",
    "dice",
    "hd95",
    "iou",
    "mean_mask",
    "nsd",
    "paired_difference",
    "detection",
    "precision",
    "recall",
    "score_image",
    "summarise",
    "table_row",
]
