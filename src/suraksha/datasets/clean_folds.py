"""The shipped definition of the protocol ``clean``: BUSI's groups and folds, bound by hash."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Protocol

from suraksha.datasets.names import listing
from suraksha.errors import DataError

TABLE_FILE = "clean_folds.csv"
FOLDS = 5


class Item(Protocol):
    """What a split needs to know of an image; ``cache.CacheItem`` is one."""

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
        consistent: False where a twin of it has a contradicting mask or class.
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
    """The shipped table of BUSI, by image name; read once, not to be changed."""
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
        DataError: An image that is absent, unknown, or has other pixels or another mask. The
            message counts the faults and lists the first few.
    """
    table = clean_table()
    by_name = {item.name: item for item in items}
    faults = [f"'{name}' is absent" for name in table if name not in by_name]
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
            "Use an unaltered copy of BUSI, whole: all 780 images with their masks; or, if these "
            "are other images in its layout, give them a name of their own in a suraksha.toml",
        )
