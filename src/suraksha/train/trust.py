"""Fit on validation pictures how far an answer can be trusted; see `suraksha.runtime.trust`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from suraksha.core import Image
from suraksha.imaging.looks import fit_limits, looks
from suraksha.measure import measure
from suraksha.measure.components import components
from suraksha.measure.presence import PresenceRule
from suraksha.runtime.told import Told
from suraksha.runtime.trust import CERTAIN, Trust, logit, sigmoid

LEAST, GREATEST = 0.2, 5.0
# pixels of each picture that the temperature is fitted on, evenly spread
PIXELS = 4000
# Dice with the truth from which a region marks a lesion, and a lesion picture is answered well
RIGHT = 0.5
# greatest share of the pictures that may ask for review
MOST_REVIEWED = 0.25
UNSEEN = (*(n / 20 for n in range(1, 20)), 2.0)
BINS = 5

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TrustCase:
    """One picture of a fit.

    Args:
        image: The picture.
        told: What the network tells of it, at the picture's own size, temperature 1.
        truth: (H, W) bool.
    """

    image: Image
    told: Told
    truth: Mask


def fit_trust(
    cases: Sequence[TrustCase],
    *,
    threshold: float,
    rule: PresenceRule,
    like: Iterable[Image] = (),
) -> tuple[Trust, float, PresenceRule]:
    """Temperature, confidence, review and looks.

    The temperature makes the pixels most likely, each picture counting alike. The confidence is
    fitted to whether a region has Dice 0.5 with the lesions that it touches. The review rule is
    that of which most poor answers (Dice below 0.5, or a normal with anything marked) ask for
    review while at most a quarter of the pictures do.

    Args:
        cases: Pictures that the training did not see.
        threshold: Probability from which a pixel is lesion, at temperature 1.
        rule: The presence rule, fitted at temperature 1.
        like: More pictures that are ultrasound, for what one looks like.

    Returns:
        What was found, and threshold and rule as they are at the new temperature.
    """
    temperature = fit_pixel_temperature(cases)
    cooled = [replace(case, told=tempered(case.told, temperature)) for case in cases]
    cut = tempered_level(threshold, temperature)
    changed = replace(rule, peak=tempered_level(rule.peak, temperature))
    answers = [answer(case, threshold=cut, rule=changed) for case in cooled]
    regions = [region for one in answers for region in one.regions]
    intercept, slope = _platt(regions)
    plain = Trust(temperature, intercept, slope)
    review_below, review_unseen = _review(answers, plain)
    found = [looks(image) for image in like] + [looks(case.image) for case in cases]
    trust = replace(
        plain,
        review_below=review_below,
        review_unseen=review_unseen,
        looks=fit_limits(found) if found else {},
    )
    facts = {"pictures": len(cases), "looks_pictures": len(found), **measured(answers, trust)}
    return replace(trust, fit=facts), cut, changed


def tempered(told: Told, temperature: float) -> Told:
    """The same at a temperature."""
    kept = np.clip(told.probability.astype(np.float64), CERTAIN, 1 - CERTAIN)
    logits = np.log(kept / (1 - kept))
    return replace(told, probability=expit(logits / temperature).astype(np.float32))


def tempered_level(level: float, temperature: float) -> float:
    """What a probability becomes at a temperature; 0, which asks for nothing, stays 0."""
    return sigmoid(logit(level) / temperature) if level and temperature != 1 else level


def fit_pixel_temperature(cases: Sequence[TrustCase]) -> float:
    """The temperature from 0.2 to 5 that makes the truth of the pixels most likely."""
    logits, truths = [], []
    for case in cases:
        step = max(1, case.truth.size // PIXELS)
        kept = np.clip(case.told.probability.ravel()[::step], CERTAIN, 1 - CERTAIN).astype(float)
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
class TrustAnswer:
    """An answer and whether it is poor.

    Args:
        regions: What is marked.
        lesion: Probability of any lesion by the second output; 0 where there is none.
        poor: Dice below 0.5, or a picture without lesion on which anything is marked.
    """

    regions: tuple[Region, ...]
    lesion: float
    poor: bool

    def reviewed(self, trust: Trust) -> bool:
        """Whether it asks for review."""
        told = [trust.confidence(region.mean) for region in self.regions]
        low = bool(told) and min(told) < trust.review_below
        return low or (not told and self.lesion >= trust.review_unseen)


def answer(case: TrustCase, *, threshold: float, rule: PresenceRule) -> TrustAnswer:
    """What is marked on a picture, and whether that is right.

    Args:
        case: The picture, with tempered probabilities.
        threshold: Probability from which a pixel is lesion.
        rule: The presence rule at that temperature.
    """
    mask, truth = case.told.mask(threshold, rule), case.truth
    lesions = measure(mask, probability=case.told.probability)
    parts = [_right(component, truth) for component in components(mask)]
    regions = tuple(
        Region(float(lesion.confidence or 0), right)
        for lesion, right in zip(lesions, parts, strict=True)
    )
    both = int(mask.sum()) + int(truth.sum())
    dice = 2 * int((mask & truth).sum()) / both if both else 1.0
    poor = bool(mask.any()) if not truth.any() else dice < RIGHT
    return TrustAnswer(regions, case.told.lesion if case.told.classes else 0.0, poor)


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


def _review(answers: Sequence[TrustAnswer], trust: Trust) -> tuple[float, float]:
    """The two bounds of the review rule."""
    told = sorted({trust.confidence(r.mean) for one in answers for r in one.regions})
    bounds = [0.0, *(math.ceil(1000 * value) / 1000 for value in told)]
    best, chosen = (-1, 0.0), (0.0, 2.0)
    for below in dict.fromkeys(min(1.0, bound) for bound in bounds):
        for unseen in UNSEEN:
            tried = replace(trust, review_below=below, review_unseen=unseen)
            asked = [one.reviewed(tried) for one in answers]
            if sum(asked) > MOST_REVIEWED * len(answers):
                continue
            caught = sum(one.poor for one, ask in zip(answers, asked, strict=True) if ask)
            if (caught, -sum(asked)) > best:
                best, chosen = (caught, -sum(asked)), (below, unseen)
    return chosen


def measured(answers: Sequence[TrustAnswer], trust: Trust) -> dict[str, Any]:
    """What confidence and review give on pictures, as JSON takes it.

    Args:
        answers: What is marked on them.
        trust: What was fitted.
    """
    asked = [one.reviewed(trust) for one in answers]
    pairs = list(zip(answers, asked, strict=True))
    regions = [(trust.confidence(r.mean), r.right) for one in answers for r in one.regions]
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
