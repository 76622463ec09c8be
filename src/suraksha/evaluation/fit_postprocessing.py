"""Fit the post-processing rule on validation images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import UsageError
from suraksha.inference.postprocessing import PostProcessing, regions
from suraksha.metrics.image import jsonable
from suraksha.metrics.overlap import check_pair
from suraksha.preprocessing import THRESHOLD

MAX_FLAGGED = 0.15
# peaks above the threshold are tried, and no minimum peak
PEAKS = (
    0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94,
    0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 0.999,
)  # fmt: skip
MIN_AREAS = (0.0, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02)
LESIONS = (0.0, 0.02, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 0.98)
# coarser than the rounding error of a mean Dice, so that machines agree on ties
DICE_DECIMALS = 12

Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One image of a fit.

    Args:
        probability: (h, w) float32 in 0..1.
        truth: (h, w) bool.
        lesion_probability: Of the whole image, by the classification head, 0..1; 1 without one.
    """

    probability: NDArray[np.float32]
    truth: NDArray[np.bool_]
    lesion_probability: float = 1.0


@dataclass(frozen=True, slots=True)
class TradePoint:
    """The result of one rule on the images of a fit.

    Args:
        rule: The rule.
        flagged: Fraction of the normal images with a false positive, 0..1; NaN without normals.
        missed: Fraction of the lesion images on which no predicted region touches the lesion,
            0..1; NaN without lesion images.
        dice: Mean Dice per lesion image, 0..1; NaN without lesion images.
    """

    rule: PostProcessing
    flagged: float
    missed: float
    dice: float


@dataclass(frozen=True, slots=True)
class PostProcessingFit:
    """A fitted rule and the data of the fit.

    Args:
        threshold: Probability from which a pixel is lesion.
        max_flagged: Maximum fraction of normal images with a false positive.
        images: Number of images.
        normals: Number of those without a lesion; with 0 the rule was chosen by Dice alone.
        chosen: The chosen rule and its result.
        without: The result without a rule.
        curve: The trade-off: for each fraction of flagged normals the rule with the highest Dice,
            as long as more false positives give a higher Dice; the chosen rule is one of them.
    """

    threshold: float
    max_flagged: float
    images: int
    normals: int
    chosen: TradePoint
    without: TradePoint
    curve: tuple[TradePoint, ...]

    @property
    def rule(self) -> PostProcessing:
        """The chosen rule."""
        return self.chosen.rule

    @property
    def flagged(self) -> int:
        """Number of normal images with a false positive."""
        return round(self.chosen.flagged * self.normals) if self.normals else 0

    @property
    def missed(self) -> int:
        """Number of lesion images whose lesion is missed."""
        lesions = self.images - self.normals
        return round(self.chosen.missed * lesions) if lesions else 0

    def to_dict(self) -> dict[str, Any]:
        """The fit as plain tables for JSON, with None for NaN, without rule and threshold."""
        counted = {"flagged": self.flagged, "missed": self.missed, "dice": self.chosen.dice}
        table = {**asdict(self), **counted}
        curve = [jsonable(point) for point in table.pop("curve")]
        del table["chosen"], table["threshold"]
        return {**jsonable(table), "curve": curve}


def fit_postprocessing(
    cases: Iterable[Case], *, threshold: float = THRESHOLD, max_flagged: float = MAX_FLAGGED
) -> PostProcessingFit:
    """The rule with the highest mean Dice among those that flag few enough normal images.

    Every combination of `PEAKS`, `MIN_AREAS` and `LESIONS` is tried. If none flags few enough, the
    best of those that flag fewest is chosen; without normals, Dice alone decides. Of rules with
    equal Dice the one that flags fewer normals is chosen, then the one with the lower peak, area
    and lesion probability.

    Args:
        cases: The images; they are read once.
        threshold: Probability from which a pixel is lesion, between 0 and 1.
        max_flagged: Maximum fraction of normal images with a false positive, 0..1.

    Raises:
        UsageError: No cases, or a number outside its range.
        InputError: A truth that is not a mask, or has another shape than its map.
    """
    _check(threshold, max_flagged)
    peaks = np.array([0.0, *(peak for peak in PEAKS if peak > threshold)])
    lesions, normals = _scores(cases, threshold, peaks)
    if not lesions and not normals:
        raise UsageError(
            "the post-processing rule cannot be fitted", "there are no images", "Give at least one"
        )
    nothing = np.full((len(peaks), len(MIN_AREAS), len(LESIONS)), math.nan)
    flagged = np.mean(normals, axis=0) if normals else nothing
    dice, missed = np.mean(lesions, axis=0) if lesions else (nothing, nothing)
    grids = np.stack([flagged, missed, dice.round(DICE_DECIMALS)], axis=-1)

    def point(place: Sequence[int]) -> TradePoint:
        peak, area, lesion = place
        rule = PostProcessing(float(peaks[peak]), MIN_AREAS[area], LESIONS[lesion])
        return TradePoint(rule, *grids[tuple(place)].tolist())

    curve = [point(place) for place in _pareto(grids[..., 2], flagged)]
    allowed = [one for one in curve if not one.flagged > max_flagged]
    return PostProcessingFit(
        threshold=threshold,
        max_flagged=max_flagged,
        images=len(lesions) + len(normals),
        normals=len(normals),
        chosen=allowed[-1] if allowed else curve[0],
        without=point((0, 0, 0)),
        curve=tuple(curve),
    )


def _check(threshold: float, max_flagged: float) -> None:
    if not (0 < threshold < 1 and 0 <= max_flagged <= 1):
        raise UsageError(
            f"threshold = {threshold} with max_flagged = {max_flagged} is not valid",
            "threshold must be above 0 and below 1, and max_flagged in 0..1",
            "Give for example 0.5 and 0.1",
        )


def _scores(cases: Iterable[Case], threshold: float, peaks: Grid) -> tuple[list[Grid], list[Grid]]:
    """For each lesion image (Dice, missed), (2, rules); for each normal image flagged, (rules)."""
    lesions: list[Grid] = []
    normals: list[Grid] = []
    for case in cases:
        kept, hit = _kept_pixels(case, threshold, peaks)
        if case.truth.any():
            dice = 2 * hit / (kept + np.count_nonzero(case.truth))
            lesions.append(np.stack([dice, hit == 0]))
        else:
            normals.append((kept > 0).astype(np.float64))
    return lesions, normals


def _kept_pixels(case: Case, threshold: float, peaks: Grid) -> tuple[Grid, Grid]:
    """Pixels that each rule of the grid keeps, and those of them inside the truth."""
    probability, truth = case.probability, case.truth
    check_pair(probability >= threshold, truth)
    found = regions(probability, threshold)
    # the peaks in the map's type, as `lesion_mask` compares them
    high = found.peaks >= peaks[:, None].astype(found.peaks.dtype)
    large = found.areas >= np.array(MIN_AREAS)[:, None]
    by_area = large.T.astype(np.float64)
    likely = case.lesion_probability >= np.array(LESIONS)
    kept, hit = high * found.pixels, high * found.overlap(truth)
    return (kept @ by_area)[..., None] * likely, (hit @ by_area)[..., None] * likely


def _pareto(dice: Grid, flagged: Grid) -> list[tuple[int, ...]]:
    """Indices of the rules on the Pareto front, from the fewest flagged normals up."""
    fractions, gains = np.nan_to_num(flagged), np.nan_to_num(dice)
    found: list[tuple[int, ...]] = []
    best = -1.0
    for fraction in np.unique(fractions):
        # the first of equal ones: the rule with the lower peak, then area, then lesion probability
        allowed = np.where(fractions == fraction, gains, -1.0)
        place = np.unravel_index(np.argmax(allowed), dice.shape)
        if allowed[place] > best:
            best = float(allowed[place])
            found.append(tuple(int(one) for one in place))
    return found
