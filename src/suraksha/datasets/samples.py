"""Images with their masks, for scoring: at their own size from a data set, or from a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.cache import Cache, is_cache, open_cache
from suraksha.datasets.catalogue import DatasetSpec
from suraksha.datasets.items import CacheItem, describe_cases, facts_of
from suraksha.datasets.layouts import Progress, find_cases, load_case, locate
from suraksha.datasets.names import dataset_of_name, listing, local_name, qualified
from suraksha.datasets.phash import fingerprint
from suraksha.errors import DataError
from suraksha.types import Image


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image with its mask.

    Args:
        item: What is known of it.
        image: The image, at its own size or at the cache's.
        truth: (H, W) bool, the union of its lesions.
    """

    item: CacheItem
    image: Image
    truth: NDArray[np.bool_]


def dataset_of(data: str | Path) -> DatasetSpec | str:
    """The description of a data set's folder, or the name of the data set that a cache holds.

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
    """Read images with their masks.

    Args:
        data: A data set's folder (images at their own size) or a cache (at its size).
        names: Which images, in this order; None for all.
        progress: Wraps the cases while they are read, as ``tqdm`` does.

    Raises:
        DataError: The folder is neither, has faults, or does not hold a name.
        InputError: An image or mask that cannot be read.
    """
    if is_cache(data):
        return _from_cache(open_cache(data), names)
    cases = {case.name: case for case in find_cases(data)}
    wanted = list(cases) if names is None else list(names)
    if unknown := [name for name in wanted if name not in cases]:
        raise DataError(
            f"{len(unknown)} images are not in {data}",
            f"it does not contain {listing(unknown)}",
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


def read_mixture(
    data: Sequence[str | Path],
    names: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
) -> list[Sample]:
    """Read images of several data sets, named ``<data set>/<image>`` as in `mixture.mix`.

    Args:
        data: Folders of data sets, or caches, each of another data set.
        names: Which images, in this order, each with its data set; None for all. Data sets of
            which none is named are not read.
        progress: Wraps the cases of each data set while they are read.

    Raises:
        DataError: A folder that cannot be used, two of the same data set, or an image of a data
            set that is not given.
        InputError: An image or mask that cannot be read.
    """
    roots = {name_of(dataset_of(root)): root for root in data}
    if len(roots) < len(data):
        raise DataError(
            "the data sets cannot be read together",
            f"{len(data)} folders hold {len(roots)} data sets ({', '.join(roots)})",
            "Give each data set once",
        )
    wanted: dict[str, list[str] | None] = dict.fromkeys(roots)
    if names is not None:
        wanted = {
            dataset: [local_name(name) for name in names if dataset_of_name(name) == dataset]
            for dataset in sorted({dataset_of_name(name) for name in names})
        }
        if absent := sorted(wanted.keys() - roots.keys()):
            raise DataError(
                f"{len(absent)} data sets are missing",
                f"images of {listing(absent)} were asked for; given are {', '.join(roots)}",
                "Give their folders too",
            )
    found = {
        qualified(dataset, sample.item.name): _qualify(dataset, sample)
        for dataset, own in wanted.items()
        for sample in read_samples(roots[dataset], own, progress=progress)
    }
    return list(found.values()) if names is None else [found[name] for name in names]


def _qualify(dataset: str, sample: Sample) -> Sample:
    name = qualified(dataset, sample.item.name)
    group = qualified(dataset, sample.item.group)
    return Sample(
        replace(sample.item, name=name, group=group),
        replace(sample.image, name=name),
        sample.truth,
    )


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
