"""Calibration: what a lesion's confidence means, and when a result asks for review."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from suraksha.errors import UsageError
from suraksha.inference.ood import FeatureBounds
from suraksha.types import Lesion

# probabilities are clipped to this distance from 0 and 1 before the logit
PROBABILITY_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class ConfidenceCalibration:
    """Calibration that was fitted on images outside the training set. The default changes nothing.

    Args:
        temperature: Divides the logits of the mask (temperature scaling, Guo et al. 2017,
            doi:10.48550/arXiv.1706.04599); above 0.
        intercept: Of the logit of a lesion's confidence (Platt scaling).
        slope: Factor of the logit of the mean probability of its pixels; not below 0, so that the
            order of lesions stays the same.
        review_below_confidence: A lesion of lower confidence asks for review, 0..1.
        review_unmarked_above: A scan with an empty mask asks for review where its lesion
            probability (classification head) is at least this; above 1 for never.
        feature_bounds: Minimum and maximum of each feature of `suraksha.inference.ood` in
            ultrasound images; empty where it was not fitted.
        fit: Facts about the fit: its images and its results on them.

    Raises:
        UsageError: A number outside its range.
    """

    temperature: float = 1.0
    intercept: float = 0.0
    slope: float = 1.0
    review_below_confidence: float = 0.0
    review_unmarked_above: float = 2.0
    feature_bounds: FeatureBounds = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = (self.temperature, self.intercept, self.slope, self.review_unmarked_above)
        in_range = all(map(math.isfinite, numbers)) and self.temperature > 0 and self.slope >= 0
        ordered = all(low <= high for low, high in self.feature_bounds.values())
        if not (in_range and ordered and 0 <= self.review_below_confidence <= 1):
            raise UsageError(
                f"{self} is not valid",
                "temperature must be above 0, slope not below 0, review_below_confidence in 0..1, "
                "and each of feature_bounds a (minimum, maximum)",
                "Export the bundle again",
            )

    def confidence(self, mean_probability: float) -> float:
        """The calibrated confidence of a region from the mean probability of its pixels, 0..1.

        It estimates the chance that the region and the lesions that it touches have a Dice of at
        least 0.5.
        """
        return sigmoid(self.intercept + self.slope * logit(mean_probability))

    def calibrated(self, lesions: Sequence[Lesion]) -> tuple[Lesion, ...]:
        """The lesions with calibrated confidences in place of mean probabilities."""
        return tuple(
            lesion
            if lesion.confidence is None
            else replace(lesion, confidence=self.confidence(lesion.confidence))
            for lesion in lesions
        )

    def review(self, lesions: Sequence[Lesion], *, unmarked_probability: float) -> tuple[str, ...]:
        """The reasons for which a result asks for review; empty without one.

        Args:
            lesions: Those of the result, with calibrated confidences.
            unmarked_probability: Highest lesion probability (classification head) of a scan with
                an empty mask; 0 where there is no such scan or no classification head.
        """
        confidences = [one.confidence for one in lesions if one.confidence is not None]
        reasons = []
        if confidences and min(confidences) < self.review_below_confidence:
            reasons.append(f"lesion confidence below {self.review_below_confidence:.2f}")
        if unmarked_probability >= self.review_unmarked_above:
            where = "in one of the scans" if lesions else "found"
            reasons.append(
                f"no lesion {where}, but the classification head gives a lesion probability of "
                f"at least {self.review_unmarked_above:.2f}"
            )
        return tuple(reasons)


def logit(probability: float) -> float:
    """log(p / (1 - p)) of p in 0..1, within +-13.8."""
    clipped = min(max(probability, PROBABILITY_EPS), 1 - PROBABILITY_EPS)
    return math.log(clipped / (1 - clipped))


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), for any value."""
    if value < 0:
        return 1 - sigmoid(-value)
    return 1 / (1 + math.exp(-value))
