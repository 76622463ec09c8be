"""Calibration of probability maps: reliability over pixels, as sums per image.

Pixels are binned by probability. In a calibrated map, the fraction of lesion pixels in a bin equals
the mean probability of the bin (Naeini 2015, doi:10.1609/aaai.v29i1.9602).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError
from suraksha.metrics.image import jsonable
from suraksha.metrics.overlap import check_pair

BINS = 10
EDGES = np.arange(BINS + 1) / BINS
EDGES.flags.writeable = False

Sums = NDArray[np.float64]


def _zeros() -> Sums:
    return np.zeros(BINS)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Sums over pixels per probability bin. The sums of several images are added with ``a + b``.

    A bin includes its lower edge but not its upper edge; the last bin also includes 1.

    Args:
        pixels: (BINS,) number of pixels.
        probability: (BINS,) sum of their probabilities.
        lesion: (BINS,) number of them that are lesion in the truth.
        squared: Sum of the squared differences between probability and truth.
    """

    pixels: Sums = field(default_factory=_zeros)
    probability: Sums = field(default_factory=_zeros)
    lesion: Sums = field(default_factory=_zeros)
    squared: float = 0.0

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(
            self.pixels + other.pixels,
            self.probability + other.probability,
            self.lesion + other.lesion,
            self.squared + other.squared,
        )

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, 0..1; NaN without pixels.

        The mean over bins of |mean probability - fraction of lesion pixels|, weighted by the
        fraction of all pixels in the bin.
        """
        gaps = float(np.abs(self.probability - self.lesion).sum())
        return _ratio(gaps, float(self.pixels.sum()))

    @property
    def brier(self) -> float:
        """Mean squared difference between probability and truth, 0..1; NaN without pixels.

        Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
        """
        return _ratio(self.squared, float(self.pixels.sum()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-compatible values, with None for NaN; fractions are of all pixels."""
        total = float(self.pixels.sum())
        columns = (EDGES[:-1], EDGES[1:], self.pixels, self.probability, self.lesion)
        bins = [
            {
                "low": round(low, 6),
                "high": round(high, 6),
                "fraction": _ratio(pixels, total),
                "mean_probability": _ratio(probability, pixels),
                "observed": _ratio(lesion, pixels),
            }
            for low, high, pixels, probability, lesion in np.stack(columns, axis=1).tolist()
        ]
        whole = {
            "pixels": int(total),
            "lesion_fraction": _ratio(float(self.lesion.sum()), total),
            "expected_calibration_error": self.calibration_error,
            "brier": self.brier,
        }
        return {**jsonable(whole), "bins": [jsonable(one) for one in bins]}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def reliability(probability: NDArray[Any], truth: NDArray[np.bool_]) -> Reliability:
    """The reliability sums of one image.

    Args:
        probability: (H, W) floats in 0..1.
        truth: (H, W) bool, the union of all lesions.

    Raises:
        InputError: The truth is not a mask of the same shape, or a value is outside 0..1.
    """
    inside = (probability >= 0) & (probability <= 1)
    check_pair(inside, truth)
    if not inside.all():
        raise InputError(
            "the array is not a probability map",
            "it has values outside 0..1",
            "Apply the sigmoid to logits, or divide 8-bit values by 255",
        )
    values, lesion = probability.astype(np.float64).ravel(), truth.ravel()
    place = np.searchsorted(EDGES[1:-1], values, side="right")
    return Reliability(
        pixels=np.bincount(place, minlength=BINS).astype(np.float64),
        probability=np.bincount(place, weights=values, minlength=BINS).astype(np.float64),
        lesion=np.bincount(place[lesion], minlength=BINS).astype(np.float64),
        squared=float(np.square(values - lesion).sum()),
    )
