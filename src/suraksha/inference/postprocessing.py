"""Which regions of a probability map are lesions: the answer without a lesion is an empty mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from suraksha.errors import UsageError
from suraksha.measurement.components import EIGHT_NEIGHBOURS, as_mask


@dataclass(frozen=True, slots=True)
class PostProcessing:
    """What a region of the thresholded map needs to stay. The default keeps every region.

    Args:
        peak: Its greatest probability is at least this, 0..1.
        least_area: It covers at least this fraction of the image, 0..1 (1 excluded).
        lesion: The network's second output tells of the image that it shows a lesion, with at
            least this probability, 0..1.

    Raises:
        UsageError: A number outside its range.
    """

    peak: float = 0.0
    min_area: float = 0.0
    lesion: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.peak <= 1 and 0 <= self.min_area < 1 and 0 <= self.lesion <= 1):
            raise UsageError(
                f"{self} cannot be used",
                "peak and lesion lie in 0..1, least_area from 0 to below 1",
                "Correct the numbers",
            )

    def is_identity(self, threshold: float) -> bool:
        """Whether no region of a map cut at the threshold can fail."""
        return self.peak <= threshold and self.min_area == 0 and self.lesion == 0


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityRegions:
    """The 8-connected regions of a thresholded map; region ``i`` has label ``i + 1``.

    Args:
        labels: (H, W) int32, 0 outside the regions.
        peaks: (n,) greatest probability of each, in the map's type.
        pixels: (n,) int64, pixels of each.
    """

    labels: NDArray[np.int32]
    peaks: NDArray[Any]
    pixels: NDArray[np.int64]

    @property
    def areas(self) -> NDArray[np.float64]:
        """(n,) fraction of the image that each covers, 0..1."""
        return self.pixels / self.labels.size

    def overlap(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n,) int64, pixels of each that lie in a mask of (H, W) bool."""
        return np.bincount(self.labels[mask], minlength=len(self.pixels) + 1)[1:]


def regions(probability: NDArray[Any], threshold: float) -> ProbabilityRegions:
    """The 8-connected regions in which a map reaches a threshold.

    Args:
        probability: (H, W) floats in 0..1.
        threshold: Probability from which a pixel is lesion; it is compared in the map's type.

    Raises:
        InputError: Not two axes, or no pixels.
    """
    return _regions(probability, as_mask(probability >= threshold))


def lesion_mask(
    probability: NDArray[Any], *, threshold: float, rule: PostProcessing, lesion: float = 1.0
) -> NDArray[np.bool_]:
    """The mask of the regions that meet a rule, (H, W) bool.

    Args:
        probability: (H, W) floats in 0..1.
        threshold: Probability from which a pixel is lesion; it is compared in the map's type.
        rule: What a region needs to stay.
        lesion: Probability of any lesion that the second output tells; 1 where it tells none.

    Raises:
        InputError: Not two axes, or no pixels.
    """
    mask = as_mask(probability >= threshold)
    if rule.is_identity(threshold) or not mask.any():
        return mask
    if lesion < rule.lesion:
        return np.zeros_like(mask)
    # the rest of the image holds nothing to label
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    found = _regions(probability[box], mask[box])
    meets = (found.peaks >= rule.peak) & (found.pixels / mask.size >= rule.min_area)
    keep = np.zeros_like(mask)
    keep[box] = np.concatenate(([False], meets))[found.labels]
    return keep


def _regions(probability: NDArray[Any], mask: NDArray[np.bool_]) -> ProbabilityRegions:
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=EIGHT_NEIGHBOURS, output=labels)
    inside = labels[mask]
    pixels = np.bincount(inside)[1:]
    # ndimage.maximum would sort every pixel of the image
    peaks = np.zeros(len(pixels), dtype=probability.dtype)
    np.maximum.at(peaks, inside - 1, probability[mask])
    return ProbabilityRegions(labels, peaks, pixels)
