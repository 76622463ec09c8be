"""How well a run or a bundle tells the classes of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from suraksha.datasets.cache import CacheItem
from suraksha.metrics.classes import ClassScores, score_classes


def score_class_predictions(
    items: Sequence[CacheItem], told: Sequence[Mapping[str, float] | None]
) -> ClassScores | None:
    """Score the classes that were told of images; images of other classes are passed over.

    Args:
        items: The images, with their true classes.
        told: The probability of each class that was told of each, None where none was.

    Returns:
        The scores, or None where none were told, or no image is of these classes.
    """
    pairs = [
        (item, classes)
        for item, classes in zip(items, told, strict=True)
        if classes is not None and item.label in classes
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
