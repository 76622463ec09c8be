"""Folds and draws: images chosen by class and by group, the same on every machine and version.

The order of a draw is that of SHA-256 over seed and name, so that it depends on no library's
generator and not on the order in which the images come. The protocol ``clean`` for BUSI is the
table ``clean_folds.csv``, whose rows are bound to the images and masks by hash.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Protocol

import numpy as np

from suraksha.datasets.names import listing
from suraksha.errors import DataError

TABLE_FILE = "clean_folds.csv"
FOLDS = 5


class Item(Protocol):
    """What a split needs to know of an image; `items.CacheItem` has it."""

    @property
    def name(self) -> str:
        """The image's name."""

    @property
    def label(self) -> str:
        """Its class."""

    @property
    def normal(self) -> bool:
        """Whether its class shows no lesion."""

    @property
    def group(self) -> str:
        """Its group of near-duplicates, or of one patient."""

    @property
    def image_sha256(self) -> str:
        """SHA-256 of its pixels."""


class HashedItem(Item, Protocol):
    """An item whose mask is known by hash too."""

    @property
    def mask_sha256(self) -> str:
        """SHA-256 of its mask."""


@dataclass(frozen=True, slots=True)
class CleanRow:
    """One image of the shipped table.

    Args:
        group: Its group of near-duplicates.
        fold: Its fold, 0..4.
        consistent: False where a near-duplicate of it has a contradicting mask or class.
        image_sha256: Hash of its pixels.
        mask_sha256: Hash of its mask (the union of its files).
    """

    group: str
    fold: int
    consistent: bool
    image_sha256: str
    mask_sha256: str


@cache
def clean_table() -> Mapping[str, CleanRow]:
    """The shipped table of BUSI by image name, read once; callers must not change it."""
    text = files("suraksha.datasets").joinpath(TABLE_FILE).read_text(encoding="utf-8")
    return MappingProxyType(
        {
            row["image"]: CleanRow(
                group=row["group"],
                fold=int(row["fold"]),
                consistent=row["consistent"] == "1",
                image_sha256=row["image_sha256"],
                mask_sha256=row["mask_sha256"],
            )
            for row in csv.DictReader(text.splitlines())
        }
    )


def is_busi(items: Iterable[Item]) -> bool:
    """Whether any image has a name or the pixels of an image of BUSI."""
    table = clean_table()
    hashes = {row.image_sha256 for row in table.values()}
    return any(item.name in table or item.image_sha256 in hashes for item in items)


def check_against_table(items: Iterable[HashedItem]) -> None:
    """Refuse images that are not exactly those of the shipped table.

    Raises:
        DataError: An image that is missing, unknown, or has other pixels or another mask. The
            message counts the faults and lists the first few.
    """
    table = clean_table()
    by_name = {item.name: item for item in items}
    faults = [f"'{name}' is missing" for name in table if name not in by_name]
    for name, item in by_name.items():
        row = table.get(name)
        if row is None:
            faults.append(f"'{name}' is not in BUSI")
        elif row.image_sha256 != item.image_sha256:
            faults.append(f"'{name}' has other pixels")
        elif row.mask_sha256 != item.mask_sha256:
            faults.append(f"'{name}' has another mask")
    if faults:
        raise DataError(
            f"the images do not match the folds of 'clean' ({len(faults)} faults)",
            listing(faults),
            "Use a complete, unaltered copy of BUSI (780 images with their masks); if these are "
            "other images in its layout, give them another name in a suraksha.toml",
        )


def shuffled(names: Iterable[str], *, seed: int, purpose: str) -> list[str]:
    """The names in an order that depends on nothing but them, the seed and the purpose."""

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
    """Names of whole groups that make up a fraction of each class, or a little less."""
    groups = _by_group(items)
    quota = {
        label: round(fraction * count)
        for label, count in Counter(item.label for item in items).items()
    }
    drawn: set[str] = set()
    for group in shuffled(groups, seed=seed, purpose="hold out"):
        wanted = Counter(item.label for item in groups[group])
        if all(quota[label] >= count for label, count in wanted.items()):
            for label, count in wanted.items():
                quota[label] -= count
            drawn.update(item.name for item in groups[group])
    return drawn


def grouped_folds(items: Sequence[Item], *, folds: int, seed: int = 0) -> dict[str, int]:
    """A fold for every image, groups kept together, classes spread evenly.

    Groups are placed one by one, the largest first, each in the fold that leaves the counts of the
    classes most even.

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
