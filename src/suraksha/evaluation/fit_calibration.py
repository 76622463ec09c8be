"""Fit on validation images how far an answer can be trusted; see `suraksha.inference.calibration`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from suraksha.inference.calibration import PROBABILITY_EPS, ConfidenceCalibration, logit, sigmoid
from suraksha.inference.ood import fit_bounds, image_features
from suraksha.inference.postprocessing import PostProcessing, lesion_mask
from suraksha.inference.prediction import Prediction
from suraksha.measurement.components import components
from suraksha.measurement.measure import measure
from suraksha.types import Image

LEAST, GREATEST = 0.2, 5.0
# pixels of each image that the temperature is fitted on, evenly spread
PIXELS = 4000
# Dice with the truth from which a region marks a lesion, and a lesion image is answered well
RIGHT = 0.5
# greatest fraction of the images that may ask for review
MAX_REVIEWED = 0.25
UNSEEN = (*(n / 20 for n in range(1, 20)), 2.0)
BINS = 5

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationCase:
    """One image of a fit.

    Args:
        image: The image.
        told: What the network tells of it, at the image's own size, temperature 1.
        truth: (H, W) bool.
    """

    image: Image
    told: Prediction
    truth: Mask


def fit_calibration(
    cases: Sequence[CalibrationCase],
    *,
    threshold: float,
    rule: PostProcessing,
    like: Iterable[Image] = (),
) -> tuple[ConfidenceCalibration, float, PostProcessing]:
    """Temperature, confidence, review and looks.

    The temperature makes the pixels most likely, each image counting alike. The confidence is
    fitted to whether a region has Dice 0.5 with the lesions that it touches. The review rule is
    that of which most poor answers (Dice below 0.5, or a normal with anything marked) ask for
    review while at most a quarter of the images do.

    Args:
        cases: Images that the training did not see.
        threshold: Probability from which a pixel is lesion, at temperature 1.
        rule: The presence rule, fitted at temperature 1.
        like: More images that are ultrasound, for what one looks like.

    Returns:
        What was found, and threshold and rule as they are at the new temperature.
    """
    temperature = fit_pixel_temperature(cases)
    scaled = [replace(case, told=temperature_scaled(case.told, temperature)) for case in cases]
    cut = temperature_scaled_level(threshold, temperature)
    changed = replace(rule, min_peak=temperature_scaled_level(rule.min_peak, temperature))
    answers = [answer(case, threshold=cut, rule=changed) for case in scaled]
    regions = [region for one in answers for region in one.regions]
    intercept, slope = _platt(regions)
    plain = ConfidenceCalibration(temperature, intercept, slope)
    review_below_confidence, review_unmarked_above = _review(answers, plain)
    found = [image_features(image) for image in like] + [
        image_features(case.image) for case in cases
    ]
    confidence_calibration = replace(
        plain,
        review_below_confidence=review_below_confidence,
        review_unmarked_above=review_unmarked_above,
        feature_bounds=fit_bounds(found) if found else {},
    )
    facts = {
        "images": len(cases),
        "ultrasound_images": len(found),
        **measured(answers, confidence_calibration),
    }
    return replace(confidence_calibration, fit=facts), cut, changed


def temperature_scaled(told: Prediction, temperature: float) -> Prediction:
    """The same at a temperature."""
    kept = np.clip(told.probability.astype(np.float64), PROBABILITY_EPS, 1 - PROBABILITY_EPS)
    logits = np.log(kept / (1 - kept))
    return replace(told, probability=expit(logits / temperature).astype(np.float32))


def temperature_scaled_level(level: float, temperature: float) -> float:
    """What a probability becomes at a temperature; 0, which asks for nothing, stays 0."""
    return sigmoid(logit(level) / temperature) if level and temperature != 1 else level


def fit_pixel_temperature(cases: Sequence[CalibrationCase]) -> float:
    """The temperature from 0.2 to 5 that makes the truth of the pixels most likely."""
    logits, truths = [], []
    for case in cases:
        step = max(1, case.truth.size // PIXELS)
        kept = np.clip(
            case.told.probability.ravel()[::step], PROBABILITY_EPS, 1 - PROBABILITY_EPS
        ).astype(float)
        logits.append(np.log(kept / (1 - kept)))
        truths.append(case.truth.ravel()[::step])

    def nll(exponent: float) -> float:
        scale = math.exp(-exponent)
        means = [
            np.logaddexp(0, np.where(truth, -scale, scale) * one).mean()
            for one, truth in zip(logits, truths, strict=True)
        ]
        return float(np.mean(means))

    if not cases:
        return 1.0
    bounds = (math.log(LEAST), math.log(GREATEST))
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return round(math.exp(float(found.x)), 4) if found.fun < nll(0.0) else 1.0


@dataclass(frozen=True, slots=True)
class Region:
    """A marked region.

    Args:
        mean: Mean probability of its pixels.
        right: Whether its Dice with the lesions that it touches is 0.5 or more.
    """

    mean: float
    right: bool


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """An answer and whether it is poor.

    Args:
        regions: What is marked.
        lesion: Probability of any lesion by the second output; 0 where there is none.
        poor: Dice below 0.5, or an image without lesion on which anything is marked.
    """

    regions: tuple[Region, ...]
    lesion: float
    poor: bool

    def reviewed(self, confidence_calibration: ConfidenceCalibration) -> bool:
        """Whether it asks for review."""
        told = [confidence_calibration.confidence(region.mean) for region in self.regions]
        low = bool(told) and min(told) < confidence_calibration.review_below_confidence
        return low or (not told and self.lesion >= confidence_calibration.review_unmarked_above)


def answer(case: CalibrationCase, *, threshold: float, rule: PostProcessing) -> CalibrationResult:
    """What is marked on an image, and whether that is right.

    Args:
        case: The image, with tempered probabilities.
        threshold: Probability from which a pixel is lesion.
        rule: The presence rule at that temperature.
    """
    mask, truth = (
        lesion_mask(
            case.told.probability,
            threshold=threshold,
            rule=rule,
            lesion_probability=case.told.lesion_probability,
        ),
        case.truth,
    )
    lesions = measure(mask, probability=case.told.probability)
    parts = [_right(component, truth) for component in components(mask)]
    regions = tuple(
        Region(float(lesion.confidence or 0), right)
        for lesion, right in zip(lesions, parts, strict=True)
    )
    both = int(mask.sum()) + int(truth.sum())
    dice = 2 * int((mask & truth).sum()) / both if both else 1.0
    poor = bool(mask.any()) if not truth.any() else dice < RIGHT
    return CalibrationResult(
        regions, case.told.lesion_probability if case.told.classes else 0.0, poor
    )


def _right(component: Any, truth: Mask) -> bool:  # noqa: ANN401 - a Component
    top, left, bottom, right = component.bbox
    mask = np.zeros(truth.shape, bool)
    mask[top:bottom, left:right] = component.pixels
    touched = np.zeros(truth.shape, bool)
    for lesion in components(truth):
        r0, c0, r1, c1 = lesion.bbox
        if (mask[r0:r1, c0:c1] & lesion.pixels).any():
            touched[r0:r1, c0:c1] |= lesion.pixels
    both = int(mask.sum()) + int(touched.sum())
    return 2 * int((mask & touched).sum()) / both >= RIGHT


def _platt(regions: Sequence[Region]) -> tuple[float, float]:
    """Intercept and slope of the confidence; those that change nothing without regions.

    Platt 1999 with his smoothed targets; the slope is held to 0 or more.
    """
    right = np.array([region.right for region in regions], float)
    if not len(right):
        return 0.0, 1.0
    x = np.array([logit(region.mean) for region in regions])
    good, bad = right.sum(), len(right) - right.sum()
    target = np.where(right > 0, (good + 1) / (good + 2), 1 / (bad + 2))

    def nll(at: NDArray[np.float64]) -> float:
        z = at[0] + at[1] * x
        return float((np.logaddexp(0, z) - target * z).mean())

    found = minimize(nll, np.array([0.0, 1.0]), bounds=[(-20, 20), (0, 20)], method="L-BFGS-B")
    return round(float(found.x[0]), 4), round(float(found.x[1]), 4)


def _review(
    answers: Sequence[CalibrationResult], confidence_calibration: ConfidenceCalibration
) -> tuple[float, float]:
    """The two bounds of the review rule."""
    told = sorted(
        {confidence_calibration.confidence(r.mean) for one in answers for r in one.regions}
    )
    bounds = [0.0, *(math.ceil(1000 * value) / 1000 for value in told)]
    best, chosen = (-1, 0.0), (0.0, 2.0)
    for below in dict.fromkeys(min(1.0, bound) for bound in bounds):
        for unseen in UNSEEN:
            tried = replace(
                confidence_calibration, review_below_confidence=below, review_unmarked_above=unseen
            )
            asked = [one.reviewed(tried) for one in answers]
            if sum(asked) > MAX_REVIEWED * len(answers):
                continue
            caught = sum(one.poor for one, ask in zip(answers, asked, strict=True) if ask)
            if (caught, -sum(asked)) > best:
                best, chosen = (caught, -sum(asked)), (below, unseen)
    return chosen


def measured(
    answers: Sequence[CalibrationResult], confidence_calibration: ConfidenceCalibration
) -> dict[str, Any]:
    """What confidence and review give on images, as JSON takes it.

    Args:
        answers: What is marked on them.
        trust: What was fitted.
    """
    asked = [one.reviewed(confidence_calibration) for one in answers]
    pairs = list(zip(answers, asked, strict=True))
    regions = [
        (confidence_calibration.confidence(r.mean), r.right) for one in answers for r in one.regions
    ]
    bins = []
    for n in range(BINS):
        low, high = n / BINS, (n + 1) / BINS
        held = [(c, r) for c, r in regions if low <= c < high or (c == 1 == high)]
        if held:
            told, right = (float(np.mean([one[at] for one in held])) for at in (0, 1))
            bins.append({"low": low, "high": high, "lesions": len(held),
                         "mean_confidence": told, "observed": right})  # fmt: skip
    total = len(regions)
    gaps = [one["lesions"] * abs(one["mean_confidence"] - one["observed"]) for one in bins]
    return {
        "reviewed": sum(asked),
        "poor": sum(one.poor for one in answers),
        "poor_reviewed": sum(one.poor for one, ask in pairs if ask),
        "lesions": total,
        "lesions_right": sum(right for _, right in regions),
        "lesion_calibration_error": sum(gaps) / total if total else None,
        "lesion_brier": float(np.mean([(c - r) ** 2 for c, r in regions])) if total else None,
        "lesion_bins": bins,
    }
