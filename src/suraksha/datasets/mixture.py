"""Several data sets as one: their caches joined, with names that say which set an image is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from suraksha.datasets.cache import Cache
from suraksha.datasets.hashes import record_sha256
from suraksha.datasets.names import listing, qualified
from suraksha.datasets.phash import MAX_DISTANCE, cross_duplicates
from suraksha.errors import DataError


def mix(caches: Sequence[Cache]) -> Cache:
    """Join caches of different data sets into one, held in memory.

    The sets come in the order of their names, whatever order they are given in. An image is named
    ``<data set>/<image>`` and a group ``<data set>/<group>``, so that each set keeps its own split,
    see `splits.make_split`. The hash covers all caches.

    Args:
        caches: Open caches of the same size and channels; a single one is returned as it is.

    Returns:
        The joined cache; its data set is named ``a+b+c`` and its folder does not exist.

    Raises:
        DataError: No cache, two of the same data set, different sizes or channels, or images of
            different sets that are near-duplicates of each other; their names are listed.
    """
    if not caches:
        raise DataError("there is nothing to mix", "no cache was given", "Give at least one")
    if len(caches) == 1:
        return caches[0]
    ordered = sorted(caches, key=lambda cache: cache.dataset)
    _check_compatible(ordered)
    refuse_cross_duplicates(ordered)
    name = "+".join(cache.dataset for cache in ordered)
    images = np.concatenate([cache.images for cache in ordered])
    masks = np.concatenate([cache.packed_masks for cache in ordered])
    for array in (images, masks):
        array.flags.writeable = False
    return Cache(
        folder=ordered[0].folder.parent / name,
        dataset=name,
        preparation=ordered[0].preparation,
        items=tuple(
            replace(
                item,
                name=qualified(cache.dataset, item.name),
                group=qualified(cache.dataset, item.group),
            )
            for cache in ordered
            for item in cache.items
        ),
        images=images,
        packed_masks=masks,
        fingerprints=np.concatenate([cache.fingerprints for cache in ordered]),
        sha256=record_sha256({cache.dataset: cache.sha256 for cache in ordered}),
    )


def _check_compatible(caches: Sequence[Cache]) -> None:
    counts = Counter(cache.dataset for cache in caches)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            "the data sets cannot be mixed",
            f"more than one is named {listing(twice)}",
            "Give each data set once, or another name in its suraksha.toml",
        )
    first = caches[0].preparation
    for cache in caches[1:]:
        if cache.preparation != first:
            raise DataError(
                "the data sets cannot be mixed",
                f"{caches[0].dataset} was packed as {first}, {cache.dataset} as "
                f"{cache.preparation}",
                "Pack all of them with the same size and channels",
            )


def refuse_cross_duplicates(caches: Sequence[Cache], *, max_distance: int = MAX_DISTANCE) -> None:
    """Refuse images of different data sets that are near-duplicates of each other.

    Each set has its own split, so that such a pair could be in training and in a test part.

    Args:
        caches: Caches of different data sets.
        max_distance: Maximum Hamming distance of a pair that counts, of 256 bits.

    Raises:
        DataError: There are some; the first are listed as ``set/image = set/image``.
    """
    pairs: list[str] = []
    for number, one in enumerate(caches):
        for other in caches[number + 1 :]:
            found = cross_duplicates(
                one.fingerprints, other.fingerprints, max_distance=max_distance
            )
            pairs += [f"{_name(one, a)} = {_name(other, b)}" for a, b in found]
    if pairs:
        raise DataError(
            "the data sets cannot be mixed",
            f"{len(pairs)} pairs of their images are near-duplicates: {listing(pairs)}",
            "Remove one image of each pair, so that no test image is also trained on",
        )


def _name(cache: Cache, row: int) -> str:
    return qualified(cache.dataset, cache.items[row].name)
