"""How well a run or a bundle tells the classes of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from suraksha.data.cache import CacheItem
from suraksha.metrics.classes import ClassScores, score_classes
from suraksha.runtime.told import Told


def score_told(items: Sequence[CacheItem], told: Sequence[Told]) -> ClassScores | None:
    """Score the classes that were told of pictures; pictures of other classes are passed over.

    Args:
        items: The pictures, with their true classes.
        told: What was told of each.

    Returns:
        The scores, or None where none were told, or no picture is of these classes.
    """
    pairs = [
        (item, one.classes)
        for item, one in zip(items, told, strict=True)
        if one.classes is not None and item.label in one.classes
    ]
    if not pairs:
        return None
    names = tuple(pairs[0][1])
    return score_classes(
        np.array([[classes[name] for name in names] for _, classes in pairs]),
        [item.label for item, _ in pairs],
        names=names,
        groups=[item.group for item, _ in pairs],
    )
