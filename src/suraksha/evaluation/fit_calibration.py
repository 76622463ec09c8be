"""Fit the confidence of lesions and the review rule on validation images.

See `suraksha.inference.calibration` for what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from suraksha.inference.calibration import ConfidenceCalibration, logit
from suraksha.inference.postprocessing import Segmentation
from suraksha.measurement.components import Component, components
from suraksha.measurement.measure import measure

# Dice from which a region counts as correct, and a result on a lesion image as good
MIN_DICE = 0.5
# maximum fraction of the images that may ask for review
MAX_REVIEWED = 0.25
UNMARKED_LEVELS = (*(n / 20 for n in range(1, 20)), 2.0)
BINS = 5

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Region:
    """A predicted region.

    Args:
        mean: Mean probability of its pixels.
        correct: Whether its Dice with the lesions that it touches is 0.5 or more.
    """

    mean: float
    correct: bool


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """The result on one image, and whether it is poor.

    Args:
        regions: The predicted regions.
        unmarked_probability: `Segmentation.unmarked_probability`.
        poor: Dice below 0.5, or a false positive on an image without a lesion.
    """

    regions: tuple[Region, ...]
    unmarked_probability: float
    poor: bool

    def reviewed(self, calibration: ConfidenceCalibration) -> bool:
        """Whether it asks for review."""
        confidences = [calibration.confidence(region.mean) for region in self.regions]
        low = bool(confidences) and min(confidences) < calibration.review_below_confidence
        return low or self.unmarked_probability >= calibration.review_unmarked_above


def calibration_result(segmentation: Segmentation, truth: Mask) -> CalibrationResult:
    """The regions of a predicted mask, and whether they are correct.

    Args:
        segmentation: Prediction and mask.
        truth: (H, W) bool.
    """
    mask = segmentation.mask
    lesions = measure(mask, probability=segmentation.prediction.probability)
    correct = [_is_correct(component, truth) for component in components(mask)]
    regions = tuple(
        Region(float(lesion.confidence or 0), right)
        for lesion, right in zip(lesions, correct, strict=True)
    )
    total = int(mask.sum()) + int(truth.sum())
    dice = 2 * int((mask & truth).sum()) / total if total else 1.0
    poor = bool(mask.any()) if not truth.any() else dice < MIN_DICE
    return CalibrationResult(regions, segmentation.unmarked_probability, poor)


def _is_correct(component: Component, truth: Mask) -> bool:
    top, left, bottom, right = component.bbox
    mask = np.zeros(truth.shape, bool)
    mask[top:bottom, left:right] = component.pixels
    touched = np.zeros(truth.shape, bool)
    for lesion in components(truth):
        r0, c0, r1, c1 = lesion.bbox
        if (mask[r0:r1, c0:c1] & lesion.pixels).any():
            touched[r0:r1, c0:c1] |= lesion.pixels
    total = int(mask.sum()) + int(touched.sum())
    return 2 * int((mask & touched).sum()) / total >= MIN_DICE


def fit_confidence(
    results: Sequence[CalibrationResult], *, temperature: float
) -> ConfidenceCalibration:
    """Fit confidence and review rule.

    The confidence is fitted to whether a region is correct. The review rule is the one that
    catches most poor results while at most a quarter of the images ask for review.

    Args:
        results: On images outside the training set, with the temperature applied.
        temperature: Of the mask's logits; it becomes part of the calibration.
    """
    regions = [region for one in results for region in one.regions]
    intercept, slope = _platt(regions)
    plain = ConfidenceCalibration(temperature, intercept, slope)
    below, unmarked = _review(results, plain)
    fitted = replace(plain, review_below_confidence=below, review_unmarked_above=unmarked)
    return replace(fitted, fit=calibration_metrics(results, fitted))


def _platt(regions: Sequence[Region]) -> tuple[float, float]:
    """Intercept and slope of the confidence; (0, 1) without regions.

    Platt scaling with smoothed targets (Platt 1999, Advances in Large Margin Classifiers, MIT
    Press, pp. 61-74); the slope is 0 or more.
    """
    correct = np.array([region.correct for region in regions], float)
    if not len(correct):
        return 0.0, 1.0
    x = np.array([logit(region.mean) for region in regions])
    positive, negative = correct.sum(), len(correct) - correct.sum()
    target = np.where(correct > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def nll(parameters: NDArray[np.float64]) -> float:
        z = parameters[0] + parameters[1] * x
        return float((np.logaddexp(0, z) - target * z).mean())

    found = minimize(nll, np.array([0.0, 1.0]), bounds=[(-20, 20), (0, 20)], method="L-BFGS-B")
    return round(float(found.x[0]), 4), round(float(found.x[1]), 4)


def _review(
    results: Sequence[CalibrationResult], calibration: ConfidenceCalibration
) -> tuple[float, float]:
    """The two limits of the review rule."""
    confidences = sorted({calibration.confidence(r.mean) for one in results for r in one.regions})
    limits = [0.0, *(math.ceil(1000 * value) / 1000 for value in confidences)]
    best, chosen = (-1, 0.0), (0.0, 2.0)
    for below in dict.fromkeys(min(1.0, limit) for limit in limits):
        for unmarked in UNMARKED_LEVELS:
            tried = replace(
                calibration, review_below_confidence=below, review_unmarked_above=unmarked
            )
            asked = [one.reviewed(tried) for one in results]
            if sum(asked) > MAX_REVIEWED * len(results):
                continue
            caught = sum(one.poor for one, ask in zip(results, asked, strict=True) if ask)
            if (caught, -sum(asked)) > best:
                best, chosen = (caught, -sum(asked)), (below, unmarked)
    return chosen


def calibration_metrics(
    results: Sequence[CalibrationResult], calibration: ConfidenceCalibration
) -> dict[str, Any]:
    """How well confidence and review rule work on images, as plain numbers for JSON.

    Args:
        results: The results on the images.
        calibration: What was fitted.
    """
    asked = [one.reviewed(calibration) for one in results]
    regions = [(calibration.confidence(r.mean), r.correct) for one in results for r in one.regions]
    bins = []
    for n in range(BINS):
        low, high = n / BINS, (n + 1) / BINS
        held = [(c, r) for c, r in regions if low <= c < high or (c == 1 == high)]
        if held:
            bins.append(
                {
                    "low": low,
                    "high": high,
                    "lesions": len(held),
                    "mean_confidence": float(np.mean([c for c, _ in held])),
                    "observed": float(np.mean([r for _, r in held])),
                }
            )
    total = len(regions)
    gaps = [one["lesions"] * abs(one["mean_confidence"] - one["observed"]) for one in bins]
    return {
        "images": len(results),
        "reviewed": sum(asked),
        "poor": sum(one.poor for one in results),
        "poor_reviewed": sum(one.poor for one, ask in zip(results, asked, strict=True) if ask),
        "lesions": total,
        "lesions_right": sum(correct for _, correct in regions),
        "lesion_calibration_error": sum(gaps) / total if total else None,
        "lesion_brier": float(np.mean([(c - r) ** 2 for c, r in regions])) if total else None,
        "lesion_bins": bins,
    }
