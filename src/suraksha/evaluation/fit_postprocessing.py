"""Fit the presence rule on validation images."""

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
# the peaks above the threshold are tried, and none
PEAKS = (
    *(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94),
    *(0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 0.999),
)
MIN_AREAS = (0.0, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02)
LESIONS = (0.0, 0.02, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 0.98)
# greater than the error of a mean of Dice, so that machines agree on what a tie is
DICE_DECIMALS = 12

Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One image of a fit.

    Args:
        probability: (h, w) float32 in 0..1.
        truth: (h, w) bool.
        lesion: Probability of any lesion that the second output tells, 0..1; 1 where it tells none.
    """

    probability: NDArray[np.float32]
    truth: NDArray[np.bool_]
    lesion: float = 1.0


@dataclass(frozen=True, slots=True)
class TradePoint:
    """What one rule gives on the images of a fit.

    Args:
        rule: The rule.
        flagged: Share of the normals with any region left, 0..1; NaN without normals.
        missed: Share of the lesion images on which no region that touches the truth is left,
            0..1; NaN without lesion images.
        dice: Mean Dice per lesion image, 0..1; NaN without lesion images.
    """

    rule: PostProcessing
    flagged: float
    missed: float
    dice: float


@dataclass(frozen=True, slots=True)
class PostProcessingFit:
    """A fitted rule with what it was fitted on.

    Args:
        threshold: Probability from which a pixel is lesion.
        most_flagged: Share of the normals that the rule was to flag at most.
        images: Number of images.
        normals: Number of those without a lesion; 0 means that Dice alone chose.
        chosen: The chosen rule with what it gives.
        without: The same images without a rule.
        curve: The trade: for each fraction of normals flagged the rule of greatest Dice, as far as
            flagging more gains Dice; the chosen point is one of them.
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
        """Number of normals that the rule flags."""
        return round(self.chosen.flagged * self.normals) if self.normals else 0

    @property
    def missed(self) -> int:
        """Number of lesion images that the rule misses."""
        lesions = self.images - self.normals
        return round(self.chosen.missed * lesions) if lesions else 0

    def to_dict(self) -> dict[str, Any]:
        """The fit as JSON takes it, without the rule and the threshold, with None for NaN."""
        counted = {"flagged": self.flagged, "missed": self.missed, "dice": self.chosen.dice}
        table = {**asdict(self), **counted}
        curve = [jsonable(point) for point in table.pop("curve")]
        del table["chosen"], table["threshold"]
        return {**jsonable(table), "curve": curve}


def fit_postprocessing(
    cases: Iterable[Case], *, threshold: float = THRESHOLD, max_flagged: float = MAX_FLAGGED
) -> PostProcessingFit:
    """The rule of greatest mean Dice among those that flag few enough normals.

    Every triple of `PEAKS`, `MIN_AREAS` and `LESIONS` is tried. Where none flags few enough, the
    best of those that flag fewest is taken; without normals, Dice alone decides. Of rules of equal
    Dice the one that flags fewer normals is taken, then that of smaller peak, area, lesion.

    Args:
        cases: The images; they are read once.
        threshold: Probability from which a pixel is lesion, between 0 and 1.
        most_flagged: Share of the normals that may be flagged, 0..1.

    Raises:
        UsageError: No cases, or a number outside its range.
        InputError: A truth that is no mask, or of another shape than its map.
    """
    _check(threshold, max_flagged)
    peaks = np.array([0.0, *(peak for peak in PEAKS if peak > threshold)])
    lesions, normals = _scores(cases, threshold, peaks)
    if not lesions and not normals:
        raise UsageError(
            "no presence rule can be fitted", "there are no images", "Give at least one"
        )
    nothing = np.full((len(peaks), len(MIN_AREAS), len(LESIONS)), math.nan)
    flagged = np.mean(normals, axis=0) if normals else nothing
    dice, missed = np.mean(lesions, axis=0) if lesions else (nothing, nothing)
    grids = np.stack([flagged, missed, dice.round(DICE_DECIMALS)], axis=-1)

    def point(place: Sequence[int]) -> TradePoint:
        peak, area, lesion = place
        rule = PostProcessing(float(peaks[peak]), MIN_AREAS[area], LESIONS[lesion])
        return TradePoint(rule, *grids[tuple(place)].tolist())

    curve = [point(place) for place in _trade(grids[..., 2], flagged)]
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
            f"threshold = {threshold} and most_flagged = {max_flagged} cannot be used",
            "both are shares from 0 to 1, and the threshold lies between",
            "Give for example 0.5 and 0.1",
        )


def _scores(cases: Iterable[Case], threshold: float, peaks: Grid) -> tuple[list[Grid], list[Grid]]:
    """For each lesion image Dice and missed, (2, rules); for each normal flagged, (rules)."""
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
    """Pixels that each rule of the grid keeps, and those of them inside the truth; both whole."""
    probability, truth = case.probability, case.truth
    check_pair(probability >= threshold, truth)
    found = regions(probability, threshold)
    # the peaks in the map's type, as `lesion_mask` compares them
    high = found.peaks >= peaks[:, None].astype(found.peaks.dtype)
    large = found.areas >= np.array(MIN_AREAS)[:, None]
    by_area = large.T.astype(np.float64)
    told = case.lesion >= np.array(LESIONS)
    kept, hit = high * found.pixels, high * found.overlap(truth)
    return (kept @ by_area)[..., None] * told, (hit @ by_area)[..., None] * told


def _trade(dice: Grid, flagged: Grid) -> list[tuple[int, ...]]:
    """Places of the rules that no other beats in both, from the fewest normals flagged up."""
    shares, gains = np.nan_to_num(flagged), np.nan_to_num(dice)
    found: list[tuple[int, ...]] = []
    best = -1.0
    for fraction in np.unique(shares):
        # the first of equal ones: the rule of smaller peak, then area, then lesion
        allowed = np.where(shares == fraction, gains, -1.0)
        place = np.unravel_index(np.argmax(allowed), dice.shape)
        if allowed[place] > best:
            best = float(allowed[place])
            found.append(tuple(int(one) for one in place))
    return found
