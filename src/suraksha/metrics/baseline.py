"""The mean mask, a baseline that predicts the same mask for every image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError


def mean_mask(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The average training mask, thresholded.

    The threshold maximises the pooled Dice over these masks. It is found exactly, by trying every
    frequency that occurs.

    Args:
        masks: (N, h, w) bool, the training masks at one size.

    Returns:
        (h, w) bool; all False if every mask is empty.

    Raises:
        InputError: The array is not (N, h, w) bool, or has no masks.
    """
    if masks.ndim != 3 or masks.dtype != np.bool_ or masks.size == 0:
        raise InputError(
            f"an array of shape {masks.shape} and type {masks.dtype} is not a stack of masks",
            "the mean mask needs (N, h, w) bool with N at least 1",
            "Resize the training masks to one size, stack them and compare with > 0",
        )
    votes = masks.sum(axis=0, dtype=np.int64)
    if not votes.any():
        return np.zeros(votes.shape, dtype=bool)
    levels, pixels = np.unique(votes, return_counts=True)
    area = np.cumsum(pixels[::-1])
    tp = np.cumsum((levels * pixels)[::-1])
    scores = 2 * tp / (len(masks) * area + votes.sum())
    kept: NDArray[np.bool_] = votes >= levels[::-1][int(np.argmax(scores))]
    return kept
