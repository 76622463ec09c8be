"""Images with their truth, for scoring: at their own size from a data set, or from a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.cache import Cache, CacheItem, describe_cases, facts_of, is_cache, open_cache
from suraksha.datasets.catalogue import DatasetSpec
from suraksha.datasets.layouts import Progress, find_cases, load_case, locate
from suraksha.datasets.names import listing
from suraksha.datasets.phash import fingerprint
from suraksha.errors import DataError
from suraksha.types import Image


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image with its truth.

    Args:
        item: What is known of it.
        image: The image, at its own size or at the cache's.
        truth: (H, W) bool, the union of its lesions.
    """

    item: CacheItem
    image: Image
    truth: NDArray[np.bool_]


def dataset_of(data: str | Path) -> DatasetSpec | str:
    """The description of a data set's folder, or the name that a cache has of its own.

    Raises:
        DataError: The folder is neither.
    """
    return open_cache(data).dataset if is_cache(data) else locate(data)[1]


def name_of(dataset: DatasetSpec | str) -> str:
    """The name of what `dataset_of` gives."""
    return dataset if isinstance(dataset, str) else dataset.name


def grid_of(data: str | Path) -> str:
    """``native`` for a data set, ``64x64`` and so on for a cache: the size that scores are of."""
    if not is_cache(data):
        return "native"
    return "x".join(str(side) for side in open_cache(data).preparation.shape)


def read_samples(
    data: str | Path, names: Sequence[str] | None = None, *, progress: Progress | None = None
) -> list[Sample]:
    """Read images with their truth.

    Args:
        data: A data set's folder (images at their own size) or a cache (at its size).
        names: Which images, in this order; None for all.
        progress: Wraps the cases while they are read, as ``tqdm`` does.

    Raises:
        DataError: The folder is neither, is broken, or does not hold a name.
        InputError: An image or mask that cannot be read.
    """
    if is_cache(data):
        return _from_cache(open_cache(data), names)
    cases = {case.name: case for case in find_cases(data)}
    wanted = list(cases) if names is None else list(names)
    if unknown := [name for name in wanted if name not in cases]:
        raise DataError(
            f"{len(unknown)} images are not in {data}",
            f"it holds no {listing(unknown)}",
            "Give the data set that the split was made from",
        )
    chosen = [cases[name] for name in wanted]
    loaded = [load_case(case) for case in (chosen if progress is None else progress(chosen))]
    facts = [
        facts_of(case, image, mask=mask) for case, (image, mask) in zip(chosen, loaded, strict=True)
    ]
    items = describe_cases(
        chosen, facts, prints=np.array([fingerprint(image) for image, _ in loaded])
    )
    return [Sample(item, image, mask) for item, (image, mask) in zip(items, loaded, strict=True)]


def _from_cache(cache: Cache, names: Sequence[str] | None) -> list[Sample]:
    wanted = [item.name for item in cache.items] if names is None else names
    masks = cache.masks()
    return [
        Sample(
            cache.items[row],
            Image(np.asarray(cache.images[row]), name=cache.items[row].name),
            masks[row],
        )
        for row in cache.select(wanted)
    ]


def check_hashes(samples: Sequence[Sample], images: Mapping[str, str]) -> None:
    """Refuse images that are not those of a split or a card.

    Args:
        samples: The images.
        images: SHA-256 of the pixels by name.

    Raises:
        DataError: An image whose pixels differ.
    """
    odd = [s.item.name for s in samples if images.get(s.item.name) != s.item.image_sha256]
    if odd:
        raise DataError(
            f"{len(odd)} images are not those of the split",
            f"they have other pixels: {listing(odd)}",
            "Give an unaltered copy of the data set that the split was made from",
        )
