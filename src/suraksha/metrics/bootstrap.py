"""95 % confidence intervals by bootstrap over groups.

Near-duplicate images are not independent, so whole groups are drawn with replacement. The interval
is the 2.5th to the 97.5th percentile of the resampled value (Efron 1979,
doi:10.1214/aos/1176344552; clusters: Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x).
With groups of one image this is the ordinary bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import UsageError

LOW, HIGH = 2.5, 97.5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval; all NaN if nothing could be scored.

    Args:
        value: The value of the original images.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


def estimate(value: float, resampled: Floats) -> Estimate:
    """A value and its interval from (resamples,) resampled values; NaN values are ignored."""
    usable = resampled[np.isfinite(resampled)]
    if usable.size == 0:
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.percentile(usable, [LOW, HIGH])
    return Estimate(float(value), float(low), float(high))


@dataclass(frozen=True, slots=True, eq=False)
class Resampler:
    """How often each image is drawn in each resample. Row 0 is the original set.

    Args:
        weights: (1 + resamples, groups) float, how often each group is drawn.
        group_of: (images,) index of the group of each image.
    """

    weights: Floats
    group_of: NDArray[np.intp]

    @classmethod
    def of(cls, groups: Sequence[str], *, seed: int, resamples: int) -> Resampler:
        """Draw the resamples.

        Args:
            groups: The group of each image, by name.
            seed: Random seed; the same seed and groups give the same resamples.
            resamples: At least 1.

        Raises:
            UsageError: There are no images, or fewer than one resample.
        """
        if resamples < 1 or len(groups) == 0:
            raise UsageError(
                f"cannot draw {resamples} resamples of {len(groups)} images",
                "a bootstrap needs at least one of each",
                "Pass at least one score, and for example resamples=1000",
            )
        names, group_of = np.unique(np.asarray(groups), return_inverse=True)
        drawn = np.random.default_rng(seed).integers(0, len(names), (resamples, len(names)))
        drawn += np.arange(resamples)[:, None] * len(names)
        weights = np.bincount(drawn.ravel(), minlength=resamples * len(names))
        weights = weights.reshape(resamples, len(names))
        original = np.ones((1, len(names)))
        return cls(np.concatenate([original, weights]).astype(np.float64), group_of)

    def totals(self, values: Floats) -> Floats:
        """Sums over the drawn images, (images, k) -> (1 + resamples, k)."""
        per_group = np.zeros((self.weights.shape[1], values.shape[1]))
        np.add.at(per_group, self.group_of, values)
        return self.weights @ per_group

    def means(self, values: Floats) -> Floats:
        """Means over the drawn images, ignoring NaN, (images,) -> (1 + resamples,)."""
        known = np.isfinite(values)
        sums = self.totals(np.stack([np.where(known, values, 0.0), known], axis=1))
        return np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1), np.nan)

    def medians(self, values: Floats) -> Floats:
        """Medians over the drawn images, ignoring NaN, (images,) -> (1 + resamples,)."""
        known = np.flatnonzero(np.isfinite(values))
        if known.size == 0:
            return np.full(len(self.weights), np.nan)
        order = known[np.argsort(values[known], kind="stable")]
        ranked = values[order]
        drawn = np.cumsum(self.weights[:, self.group_of[order]], axis=1)
        total = drawn[:, -1]
        lower = (drawn >= np.floor((total + 1) / 2)[:, None]).argmax(axis=1)
        upper = (drawn >= np.floor(total / 2 + 1)[:, None]).argmax(axis=1)
        return np.where(total > 0, (ranked[lower] + ranked[upper]) / 2, np.nan)
