"""How far an answer can be trusted: calibrated numbers, and when a person must look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from suraksha.errors import UsageError
from suraksha.inference.ood import FeatureBounds
from suraksha.types import Lesion

# odds beyond which a probability counts as certain
CERTAIN = 1e-6


@dataclass(frozen=True, slots=True)
class ConfidenceCalibration:
    """What was fitted on images that the training did not see. The default changes nothing.

    Args:
        temperature: What divides the mask's logits, so that the probability of a pixel means what
            it says (Guo et al. 2017, doi:10.48550/arXiv.1706.04599); above 0.
        intercept: Of the logit of a lesion's confidence.
        slope: Of the same, times the logit of the mean probability of its pixels (Platt scaling);
            not below 0, so that the order of lesions stays.
        review_below: A lesion of lower confidence asks for review.
        review_unseen: Where nothing is marked in a scan, and the second output tells of any lesion
            with at least this probability, the image asks for review; above 1 for never.
        looks: Least and greatest of each feature of `suraksha.inference.ood` that an image of
            ultrasound has; empty where it was not fitted.
        fit: On what it was fitted, and what it gave there.

    Raises:
        UsageError: A number outside its range.
    """

    temperature: float = 1.0
    intercept: float = 0.0
    slope: float = 1.0
    review_below: float = 0.0
    review_unseen: float = 2.0
    image_features: FeatureBounds = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = (self.temperature, self.intercept, self.slope, self.review_unseen)
        fits = all(map(math.isfinite, numbers)) and self.temperature > 0 and self.slope >= 0
        pairs = all(low <= high for low, high in self.image_features.values())
        if not (fits and pairs and 0 <= self.review_below <= 1):
            raise UsageError(
                f"{self} cannot be used",
                "a temperature is above 0, a slope not below, review_below a share, and limits "
                "are pairs of a least and a greatest value",
                "Export the bundle again",
            )

    def confidence(self, mean_probability: float) -> float:
        """The chance that a region marks a lesion, from the mean probability of its pixels, 0..1.

        Fitted for regions of which at least half of what they and the truth cover is right
        (Dice 0.5).
        """
        return sigmoid(self.intercept + self.slope * logit(mean_probability))

    def confident(self, lesions: Sequence[Lesion]) -> tuple[Lesion, ...]:
        """The lesions with calibrated confidences in place of mean probabilities."""
        return tuple(
            lesion
            if lesion.confidence is None
            else replace(lesion, confidence=self.confidence(lesion.confidence))
            for lesion in lesions
        )

    def review(self, lesions: Sequence[Lesion], *, unseen: float) -> tuple[str, ...]:
        """Why a person must look at an answer; empty where nothing speaks for it.

        Args:
            lesions: Those of the answer, with calibrated confidences.
            unseen: Probability of any lesion, by the second output, in a scan in which nothing is
                marked; 0 where there is no such scan, or it tells none.
        """
        told = [one.confidence for one in lesions if one.confidence is not None]
        reasons = []
        if told and min(told) < self.review_below:
            reasons.append(f"a lesion's confidence is below {self.review_below:.2f}")
        if unseen >= self.review_unseen:
            chance = f"{self.review_unseen:.2f}"
            where = " in one of the scans" if lesions else ""
            reasons.append(
                f"nothing is marked{where}, but the chance of a lesion is at least {chance}"
            )
        return tuple(reasons)


def logit(probability: float) -> float:
    """log(p / (1 - p)) of p in 0..1, within +-13.8."""
    kept = min(max(probability, CERTAIN), 1 - CERTAIN)
    return math.log(kept / (1 - kept))


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), for any value."""
    if value < 0:
        return 1 - sigmoid(-value)
    return 1 / (1 + math.exp(-value))
