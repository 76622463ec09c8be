"""What is known about each image of a data set besides its pixels: class, group and hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.folds import clean_table
from suraksha.datasets.hashes import image_sha256, mask_sha256
from suraksha.datasets.layouts import Case
from suraksha.datasets.phash import group_names, near_duplicates
from suraksha.types import Image


@dataclass(frozen=True, slots=True)
class CacheItem:
    """What a cache knows about one image besides its pixels.

    Args:
        name: The image's name.
        label: Its class.
        normal: Whether its class shows no lesion.
        group: Its group: that of the shipped table for BUSI, of the data set's table or groups file
            (the patient), or that of its near-duplicates.
        image_sha256: Hash of the image's own pixels, before any resizing.
        mask_sha256: Hash of its mask, before any resizing.
        height: Rows of the image itself.
        width: Columns of the image itself.
        consistent: False where the shipped table says that a near-duplicate contradicts it.
    """

    name: str
    label: str
    normal: bool
    group: str
    image_sha256: str
    mask_sha256: str
    height: int
    width: int
    consistent: bool


def facts_of(case: Case, image: Image, *, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The fields of a `CacheItem` that depend on one image and its mask alone."""
    return {
        "name": case.name,
        "label": case.label,
        "normal": case.normal,
        "image_sha256": image_sha256(image),
        "mask_sha256": mask_sha256(mask),
        "height": image.shape[0],
        "width": image.shape[1],
    }


def describe_cases(
    cases: Sequence[Case], facts: Sequence[dict[str, Any]], *, prints: NDArray[np.bool_]
) -> list[CacheItem]:
    """The facts and groups of images.

    Groups are those of a table, a groups file or the shipped table of BUSI where these give one to
    every image, otherwise the near-duplicates among the given images.

    Args:
        cases: The images.
        facts: Their facts, see ``facts_of``.
        prints: (N, 256) bool, their fingerprints.
    """
    table = clean_table()
    rows = [table.get(fact["name"]) for fact in facts]
    known = [
        row
        if row and (row.image_sha256, row.mask_sha256) == (f["image_sha256"], f["mask_sha256"])
        else None
        for row, f in zip(rows, facts, strict=True)
    ]
    stated = [
        case.group or (row.group if row else None) for case, row in zip(cases, known, strict=True)
    ]
    computed = group_names([case.name for case in cases], near_duplicates(prints))
    whole = all(group is not None for group in stated)
    return [
        CacheItem(
            **fact,
            group=(stated[i] if whole else None) or computed[i],
            consistent=row.consistent if row else True,
        )
        for i, (fact, row) in enumerate(zip(facts, known, strict=True))
    ]
