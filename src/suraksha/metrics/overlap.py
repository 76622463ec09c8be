"""Overlap scores from pixel counts, of one image or pooled over several.

The empty rule: if prediction and truth are both empty, there is nothing to score, and Dice, IoU,
precision and recall are NaN; if exactly one is empty, all four are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError

OVERLAP = ("dice", "iou", "precision", "recall", "accuracy")


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of pixels. The counts of several images are added with ``a + b``.

    Args:
        tp: Lesion in both.
        fp: Lesion in the prediction only.
        fn: Lesion in the truth only.
        tn: Background in both.

    Raises:
        InputError: A number is negative.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __post_init__(self) -> None:
        if min(self.tp, self.fp, self.fn, self.tn) < 0:
            raise InputError(
                f"{self} is not valid", "pixel counts must not be negative", "Check the counts"
            )

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    @property
    def pixels(self) -> int:
        """All pixels."""
        return self.tp + self.fp + self.fn + self.tn


def check_pair(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    """Check that two arrays are masks of the same shape.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.

    Raises:
        InputError: An array is not 2-D bool or has no pixels, or the shapes differ.
    """
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.size == 0:
            raise InputError(
                f"the {name} of shape {mask.shape} and type {mask.dtype} is not a mask",
                "metrics compare (H, W) bool masks",
                "Compare with a threshold first, for example probability >= 0.5 or mask > 0",
            )
    if prediction.shape != truth.shape:
        raise InputError(
            f"a prediction of shape {prediction.shape} cannot be compared",
            f"the truth has shape {truth.shape}",
            "Resize the prediction to the image first",
        )


def counts(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Counts:
    """Count true and false positives and negatives.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.

    Raises:
        InputError: The arrays are not two bool masks of the same shape.
    """
    check_pair(prediction, truth)
    tp = int(np.count_nonzero(prediction & truth))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(truth)) - tp
    return Counts(tp, fp, fn, truth.size - tp - fp - fn)


def score_counts(table: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """All overlap scores of an array of counts.

    Args:
        table: (..., 4) tp, fp, fn, tn.

    Returns:
        For each name of `OVERLAP` the scores, (...) float64 in 0..1, or NaN by the empty rule.
        Accuracy is NaN only if there are no pixels.
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(table, dtype=np.float64), -1, 0)
    lesion, everything = tp + fp + fn, tp + fp + fn + tn
    return {
        "dice": _fraction(2 * tp, 2 * tp + fp + fn, lesion),
        "iou": _fraction(tp, lesion, lesion),
        "precision": _fraction(tp, tp + fp, lesion),
        "recall": _fraction(tp, tp + fn, lesion),
        "accuracy": _fraction(tp + tn, everything, everything),
    }


def _fraction(
    part: NDArray[np.float64], whole: NDArray[np.float64], present: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``part / whole``; 0 if the whole is 0, NaN if nothing is present."""
    ratio = part / np.where(whole > 0, whole, 1.0)
    return np.where(present > 0, ratio, np.nan)


def _score(name: str, of: Counts) -> float:
    return float(score_counts(np.array([of.tp, of.fp, of.fn, of.tn]))[name])


def dice(of: Counts) -> float:
    """2 TP / (2 TP + FP + FN), the F1 score (Dice 1945, doi:10.2307/1932409)."""
    return _score("dice", of)


def iou(of: Counts) -> float:
    """TP / (TP + FP + FN) (Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x)."""
    return _score("iou", of)


def precision(of: Counts) -> float:
    """TP / (TP + FP); 0 if only the prediction is empty, NaN if both are."""
    return _score("precision", of)


def recall(of: Counts) -> float:
    """TP / (TP + FN), the sensitivity; 0 if only the truth is empty, NaN if both are."""
    return _score("recall", of)


def accuracy(of: Counts) -> float:
    """(TP + TN) / all pixels; NaN only without pixels. An empty mask scores 0.9 on BUSI."""
    return _score("accuracy", of)
