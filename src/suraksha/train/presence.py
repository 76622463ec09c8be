"""Fit the presence rule on validation pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import UsageError
from suraksha.imaging.prepare import THRESHOLD
from suraksha.measure.presence import PresenceRule, regions
from suraksha.metrics.overlap import check_pair
from suraksha.metrics.picture import jsonable

MOST_FLAGGED = 0.10
# the peaks above the threshold are tried, and none
PEAKS = (
    *(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94),
    *(0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 0.999),
)
LEAST_AREAS = (0.0, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02)
# greater than the error of a mean of Dice, so that machines agree on what a tie is
DICE_DECIMALS = 12

Case = tuple[NDArray[np.float32], NDArray[np.bool_]]
Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TradePoint:
    """What one rule gives on the pictures of a fit.

    Args:
        peak: The rule's least peak.
        flagged: Share of the normals with any region left, 0..1; NaN without normals.
        missed: Share of the lesion pictures on which no region that touches the truth is left,
            0..1; NaN without lesion pictures.
        dice: Mean Dice per lesion picture, 0..1; NaN without lesion pictures.
    """

    peak: float
    flagged: float
    missed: float
    dice: float


@dataclass(frozen=True, slots=True)
class PresenceFit:
    """A fitted rule with what it was fitted on.

    Args:
        rule: The chosen rule.
        threshold: Probability from which a pixel is lesion.
        most_flagged: Share of the normals that the rule was to flag at most.
        pictures: Number of pictures.
        normals: Number of those without a lesion; 0 means that Dice alone chose.
        flagged: Number of normals that the rule flags.
        missed: Number of lesion pictures that it misses.
        dice: Mean Dice per lesion picture under the rule; NaN without lesion pictures.
        without: The same pictures without a rule.
        curve: Every peak tried, at the chosen least area.
    """

    rule: PresenceRule
    threshold: float
    most_flagged: float
    pictures: int
    normals: int
    flagged: int
    missed: int
    dice: float
    without: TradePoint
    curve: tuple[TradePoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fit as JSON takes it, without the rule and the threshold, with None for NaN."""
        table = asdict(self)
        curve = [jsonable(point) for point in table.pop("curve")]
        del table["rule"], table["threshold"]
        return {**jsonable(table), "curve": curve}


def fit_presence(
    cases: Iterable[Case], *, threshold: float = THRESHOLD, most_flagged: float = MOST_FLAGGED
) -> PresenceFit:
    """The rule of greatest mean Dice among those that flag few enough normals.

    Every pair of `PEAKS` and `LEAST_AREAS` is tried. Where none flags few enough, the best of those
    that flag fewest is taken; without normals, Dice alone decides. Of equal rules the one of
    smaller peak is taken, then of smaller area.

    Args:
        cases: Pairs of a probability map, (h, w) float32 in 0..1, and its truth, (h, w) bool.
        threshold: Probability from which a pixel is lesion, between 0 and 1.
        most_flagged: Share of the normals that may be flagged, 0..1.

    Raises:
        UsageError: No cases, or a number outside its range.
        InputError: A truth that is no mask, or of another shape than its map.
    """
    if not (0 < threshold < 1 and 0 <= most_flagged <= 1):
        raise UsageError(
            f"threshold = {threshold} and most_flagged = {most_flagged} cannot be used",
            "both are shares from 0 to 1, and the threshold lies between",
            "Give for example 0.5 and 0.1",
        )
    peaks = np.array([0.0, *(peak for peak in PEAKS if peak > threshold)])
    lesions, normals = _scores(cases, threshold, peaks)
    if not lesions and not normals:
        raise UsageError(
            "no presence rule can be fitted", "there are no pictures", "Give at least one"
        )
    nothing = np.full((len(peaks), len(LEAST_AREAS)), math.nan)
    flagged = np.mean(normals, axis=0) if normals else nothing
    dice, missed = np.mean(lesions, axis=0) if lesions else (nothing, nothing)
    grids = np.stack([flagged, missed, dice.round(DICE_DECIMALS)], axis=-1)
    row, column = _best(grids[..., 2], flagged, most_flagged)
    shares = grids[:, column].tolist()
    points = [TradePoint(float(peak), *three) for peak, three in zip(peaks, shares, strict=True)]
    return PresenceFit(
        rule=PresenceRule(points[row].peak, LEAST_AREAS[column]),
        threshold=threshold,
        most_flagged=most_flagged,
        pictures=len(lesions) + len(normals),
        normals=len(normals),
        flagged=sum(int(grid[row, column]) for grid in normals),
        missed=sum(int(grid[1, row, column]) for grid in lesions),
        dice=points[row].dice,
        without=TradePoint(0.0, *grids[0, 0].tolist()),
        curve=tuple(points),
    )


def _scores(cases: Iterable[Case], threshold: float, peaks: Grid) -> tuple[list[Grid], list[Grid]]:
    """For each lesion picture Dice and missed, (2, peaks, areas); for each normal flagged."""
    lesions: list[Grid] = []
    normals: list[Grid] = []
    for probability, truth in cases:
        kept, hit = _kept_pixels(probability, truth, threshold, peaks)
        if truth.any():
            dice = 2 * hit / (kept + np.count_nonzero(truth))
            lesions.append(np.stack([dice, hit == 0]))
        else:
            normals.append((kept > 0).astype(np.float64))
    return lesions, normals


def _kept_pixels(
    probability: NDArray[np.float32], truth: NDArray[np.bool_], threshold: float, peaks: Grid
) -> tuple[Grid, Grid]:
    """Pixels that each rule of the grid keeps, and those of them inside the truth; both whole."""
    check_pair(probability >= threshold, truth)
    found = regions(probability, threshold)
    # the peaks in the map's type, as `present` compares them
    high = found.peaks >= peaks[:, None].astype(found.peaks.dtype)
    large = found.areas >= np.array(LEAST_AREAS)[:, None]
    by_area = large.T.astype(np.float64)
    return (high * found.pixels) @ by_area, (high * found.overlap(truth)) @ by_area


def _best(dice: Grid, flagged: Grid, most_flagged: float) -> tuple[int, int]:
    """Place of the best rule: the first of equal ones, so that of smaller peak, then area."""
    allowed = np.isnan(flagged) | (flagged <= most_flagged)
    if not allowed.any():
        allowed = flagged == flagged.min()
    row, column = np.unravel_index(
        np.argmax(np.where(allowed, np.nan_to_num(dice), -1.0)), dice.shape
    )
    return int(row), int(column)
