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
class Presence:
    """Lesions counted one by one. Counts of several pictures add up: ``a + b``.

    Args:
        found: True lesions of which the prediction marks at least one pixel.
        missed: True lesions of which it marks none.
        false: Predicted lesions that touch no true one.
    """

    found: int = 0
    missed: int = 0
    false: int = 0

    def __add__(self, other: Presence) -> Presence:
        return Presence(
            self.found + other.found, self.missed + other.missed, self.false + other.false
        )


def presence(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Presence:
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
    return Presence(found, true_lesions - found, predicted - confirmed)


def _hit(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """How many regions a mask has, and how many of them share a pixel with the other mask."""
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=EIGHT_NEIGHBOURS, output=labels)
    touched = np.unique(labels[other])
    return int(labels.max()), int(np.count_nonzero(touched))


@dataclass(frozen=True, slots=True)
class Normals:
    """What was predicted on pictures whose truth holds no lesion.

    Args:
        pictures: Number of such pictures.
        with_prediction: How many of them have any predicted lesion.
        share: ``with_prediction / pictures``, 0..1; NaN without pictures.
        false_area_px: Mean number of predicted pixels over all of them; NaN without pictures.
        false_area_share: Mean share of the picture that is predicted, 0..1; NaN without pictures.
    """

    pictures: int
    with_prediction: int
    share: float
    false_area_px: float
    false_area_share: float


def normals(pictures: Sequence[Counts]) -> Normals:
    """Sum up the pictures without a lesion; those with one are passed over.

    Args:
        pictures: The counts of each picture.
    """
    empty = [c for c in pictures if c.tp + c.fn == 0]
    if not empty:
        return Normals(0, 0, float("nan"), float("nan"), float("nan"))
    false_px = np.array([c.fp for c in empty], dtype=np.float64)
    sizes = np.array([max(c.pixels, 1) for c in empty], dtype=np.float64)
    marked = int(np.count_nonzero(false_px))
    return Normals(
        pictures=len(empty),
        with_prediction=marked,
        share=marked / len(empty),
        false_area_px=float(false_px.mean()),
        false_area_share=float((false_px / sizes).mean()),
    )
