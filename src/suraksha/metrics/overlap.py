"""Scores from counted pixels, of one image or pooled over many.

The empty rule, here and everywhere: where prediction and truth are both empty there is nothing to
score, and Dice, IoU, precision and recall are NaN; where exactly one is empty, all four are 0.
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
    """Pixels counted by kind. Counts of several images add up: ``a + b``.

    Args:
        tp: Lesion in both.
        fp: Lesion in the prediction alone.
        fn: Lesion in the truth alone.
        tn: Background in both.

    Raises:
        InputError: A negative number.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __post_init__(self) -> None:
        if min(self.tp, self.fp, self.fn, self.tn) < 0:
            raise InputError(
                f"{self} cannot be", "a number of pixels is never negative", "Count them again"
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
    """Refuse two arrays that are not masks of one image.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.

    Raises:
        InputError: An array that is not bool or not 2-D or has no pixels, or two shapes.
    """
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.size == 0:
            raise InputError(
                f"the {name} of shape {mask.shape} and type {mask.dtype} is no mask",
                "metrics compare (H, W) bool masks",
                "Compare with a threshold first, for example probability >= 0.5 or mask > 0",
            )
    if prediction.shape != truth.shape:
        raise InputError(
            f"a prediction of shape {prediction.shape} cannot be compared",
            f"the truth has shape {truth.shape}",
            "Restore the prediction to the image's own size first",
        )


def counts(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Counts:
    """Count the pixels of each kind.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.

    Raises:
        InputError: Not two bool masks of one shape.
    """
    check_pair(prediction, truth)
    tp = int(np.count_nonzero(prediction & truth))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(truth)) - tp
    return Counts(tp, fp, fn, truth.size - tp - fp - fn)


def score_counts(table: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """All overlap scores of many counts at once: the one place of the formulas.

    Args:
        table: (..., 4) tp, fp, fn, tn.

    Returns:
        Each name of `OVERLAP` with its scores, (...) float64 in 0..1 or NaN by the empty rule.
        Accuracy is NaN only where there are no pixels at all.
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
    """The fraction of a whole: 0 where the whole is empty, NaN where nothing is present at all."""
    ratio = part / np.where(whole > 0, whole, 1.0)
    return np.where(present > 0, ratio, np.nan)


def _score(name: str, of: Counts) -> float:
    return float(score_counts(np.array([of.tp, of.fp, of.fn, of.tn]))[name])


def dice(of: Counts) -> float:
    """2 TP / (2 TP + FP + FN), the F1 score (Dice 1945, doi:10.2307/1932409); empty rule above."""
    return _score("dice", of)


def iou(of: Counts) -> float:
    """TP / (TP + FP + FN) (Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x); empty rule."""
    return _score("iou", of)


def precision(of: Counts) -> float:
    """TP / (TP + FP); 0 where the prediction alone is empty, NaN where both are."""
    return _score("precision", of)


def recall(of: Counts) -> float:
    """TP / (TP + FN), the sensitivity; 0 where the truth alone is empty, NaN where both are."""
    return _score("recall", of)


def accuracy(of: Counts) -> float:
    """(TP + TN) / all pixels; NaN only without pixels. "All background" scores 0.9 on BUSI."""
    return _score("accuracy", of)
