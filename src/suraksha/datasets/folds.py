"""Choose images at random, by class and by group, the same on every machine and version.

The order of a draw is that of SHA-256 over seed and name, so that it depends on no library's
generator and not on the order in which the images come.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from suraksha.datasets.clean_folds import Item


def shuffled(names: Iterable[str], *, seed: int, purpose: str) -> list[str]:
    """The names in an order that only they, the seed and the purpose decide."""

    def key(name: str) -> bytes:
        return hashlib.sha256(f"{purpose}\n{seed}\n{name}".encode()).digest()

    return sorted(set(names), key=key)


def draw_by_class(items: Sequence[Item], *, fraction: float, seed: int) -> set[str]:
    """Names of a random fraction of each class, rounded to the nearest whole image."""
    classes: dict[str, list[str]] = defaultdict(list)
    for item in items:
        classes[item.label].append(item.name)
    drawn: set[str] = set()
    for label, names in classes.items():
        order = shuffled(names, seed=seed, purpose=f"class {label}")
        drawn.update(order[: round(fraction * len(order))])
    return drawn


def _by_group(items: Iterable[Item]) -> Mapping[str, list[Item]]:
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[str(item.group)].append(item)
    return groups


def draw_groups(items: Sequence[Item], *, fraction: float, seed: int) -> set[str]:
    """Names of whole groups that make up a fraction of each class, never more of any class."""
    groups = _by_group(items)
    room = {
        label: round(fraction * count)
        for label, count in Counter(item.label for item in items).items()
    }
    drawn: set[str] = set()
    for group in shuffled(groups, seed=seed, purpose="hold out"):
        wanted = Counter(item.label for item in groups[group])
        if all(room[label] >= count for label, count in wanted.items()):
            for label, count in wanted.items():
                room[label] -= count
            drawn.update(item.name for item in groups[group])
    return drawn


def grouped_folds(items: Sequence[Item], *, folds: int, seed: int = 0) -> dict[str, int]:
    """A fold for every image, groups kept together, classes spread evenly.

    Largest groups first, each goes where it leaves the shares of the classes most even.

    Returns:
        Fold 0..folds-1 by image name.
    """
    groups = _by_group(items)
    labels = sorted({item.label for item in items})
    counts = {
        group: np.array([sum(item.label == label for item in members) for label in labels])
        for group, members in groups.items()
    }
    total = sum(counts.values(), np.zeros(len(labels), dtype=np.int64))
    order = shuffled(groups, seed=seed, purpose="folds")
    order.sort(key=lambda group: -int(counts[group].sum()))
    filled = np.zeros((folds, len(labels)), dtype=np.int64)
    fold_of: dict[str, int] = {}
    for group in order:
        uneven = []
        for fold in range(folds):
            trial = filled.copy()
            trial[fold] += counts[group]
            spread = float((trial / total).var(axis=0).sum())
            uneven.append((round(spread, 12), int(filled[fold].sum()), fold))
        best = min(uneven)[2]
        filled[best] += counts[group]
        fold_of.update({item.name: best for item in groups[group]})
    return fold_of
