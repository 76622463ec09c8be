"""The trivial predictor that every table carries beside "all background"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError


def mean_mask(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One mask for every image: where the average training mask is high enough.

    The threshold is the one that gives the best pooled Dice over these masks. It is found exactly:
    pixels are taken in order of how many masks hold them, all of one frequency at a time.

    Args:
        masks: (N, h, w) bool, the training masks on one grid.

    Returns:
        (h, w) bool; all False where every mask is empty.

    Raises:
        InputError: Not (N, h, w) bool, or no masks.
    """
    if masks.ndim != 3 or masks.dtype != np.bool_ or masks.size == 0:
        raise InputError(
            f"an array of shape {masks.shape} and type {masks.dtype} holds no masks",
            "the mean mask is made from (N, h, w) bool, with N at least 1",
            "Stack the training masks on one grid and compare them with > 0",
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
