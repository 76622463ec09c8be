"""Whether lesions were found at all, and what was predicted where there are none."""

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
    """Lesions counted one by one. Counts of several images add up: ``a + b``.

    Args:
        found: True lesions of which the prediction marks at least one pixel.
        missed: True lesions of which it marks none.
        false: Predicted lesions that touch no true one.
    """

    found: int = 0
    missed: int = 0
    false: int = 0

    def __add__(self, other: Detection) -> Detection:
        return Detection(
            self.found + other.found, self.missed + other.missed, self.false + other.false
        )


def detection(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Detection:
    """Count lesions found, missed and made up; a lesion is an 8-connected region.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.

    Raises:
        InputError: Not two bool masks of one shape.
    """
    check_pair(prediction, truth)
    true_lesions, found = _hit(truth, prediction)
    predicted, confirmed = _hit(prediction, truth)
    return Detection(found, true_lesions - found, predicted - confirmed)


def _hit(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """How many regions a mask has, and how many of them share a pixel with the other mask."""
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=EIGHT_NEIGHBOURS, output=labels)
    touched = np.unique(labels[other])
    return int(labels.max()), int(np.count_nonzero(touched))


@dataclass(frozen=True, slots=True)
class Normals:
    """What was predicted on images whose truth holds no lesion.

    Args:
        images: Number of such images.
        with_prediction: How many of them have any predicted lesion.
        share: ``with_prediction / images``, 0..1; NaN without images.
        false_area_px: Mean number of predicted pixels over all of them; NaN without images.
        false_area_share: Mean fraction of the image that is predicted, 0..1; NaN without images.
    """

    images: int
    with_prediction: int
    fraction: float
    false_area_px: float
    false_area_fraction: float


def normals(images: Sequence[Counts]) -> Normals:
    """Sum up the images without a lesion; those with one are passed over.

    Args:
        images: The counts of each image.
    """
    empty = [c for c in images if c.tp + c.fn == 0]
    if not empty:
        return Normals(0, 0, float("nan"), float("nan"), float("nan"))
    false_px = np.array([c.fp for c in empty], dtype=np.float64)
    sizes = np.array([max(c.pixels, 1) for c in empty], dtype=np.float64)
    marked = int(np.count_nonzero(false_px))
    return Normals(
        images=len(empty),
        with_prediction=marked,
        fraction=marked / len(empty),
        false_area_px=float(false_px.mean()),
        false_area_fraction=float((false_px / sizes).mean()),
    )
