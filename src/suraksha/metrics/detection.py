"""Detection of lesions, and predictions on images without a lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from suraksha.metrics.overlap import Counts, check_pair

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True)
class Detection:
    """Numbers of lesions. The counts of several images are added with ``a + b``.

    Args:
        found: True lesions that overlap the prediction by at least one pixel.
        missed: True lesions that do not overlap it.
        false: Predicted lesions that overlap no true lesion.
    """

    found: int = 0
    missed: int = 0
    false: int = 0

    def __add__(self, other: Detection) -> Detection:
        return Detection(
            self.found + other.found, self.missed + other.missed, self.false + other.false
        )


def detection(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Detection:
    """Count found, missed and false lesions; a lesion is an 8-connected region.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.

    Raises:
        InputError: The arrays are not two bool masks of the same shape.
    """
    check_pair(prediction, truth)
    true_lesions, found = _hit(truth, prediction)
    predicted, confirmed = _hit(prediction, truth)
    return Detection(found, true_lesions - found, predicted - confirmed)


def _hit(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """The number of regions of a mask, and of those that overlap the other mask."""
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=EIGHT_NEIGHBOURS, output=labels)
    touched = np.unique(labels[other])
    return int(labels.max()), int(np.count_nonzero(touched))


@dataclass(frozen=True, slots=True)
class Normals:
    """Predictions on images without a lesion.

    Args:
        images: Number of such images.
        with_prediction: Number of them with any predicted lesion.
        fraction: ``with_prediction / images``, 0..1; NaN without images.
        false_area_px: Mean number of predicted pixels; NaN without images.
        false_area_fraction: Mean fraction of the image that is predicted, 0..1; NaN without images.
    """

    images: int
    with_prediction: int
    fraction: float
    false_area_px: float
    false_area_fraction: float


def normals(images: Sequence[Counts]) -> Normals:
    """Summarise the images without a lesion; the others are ignored.

    Args:
        images: The counts of each image.
    """
    empty = [c for c in images if c.tp + c.fn == 0]
    if not empty:
        return Normals(0, 0, float("nan"), float("nan"), float("nan"))
    false_px = np.array([c.fp for c in empty], dtype=np.float64)
    sizes = np.array([max(c.pixels, 1) for c in empty], dtype=np.float64)
    positive = int(np.count_nonzero(false_px))
    return Normals(
        images=len(empty),
        with_prediction=positive,
        fraction=positive / len(empty),
        false_area_px=float(false_px.mean()),
        false_area_fraction=float((false_px / sizes).mean()),
    )
