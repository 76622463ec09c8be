"""Batches for training, straight from a cache in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from suraksha.datasets.cache import Cache
from suraksha.datasets.distributed import rank
from suraksha.datasets.names import dataset_of_name
from suraksha.errors import UnknownNameError, UsageError

Batch = tuple[Tensor, Tensor, Tensor]
FULL = 255


class CacheDataset(Dataset[Batch]):
    """Images of a cache by position: images, masks and classes.

    Images are uint8 (N, C, h, w), masks uint8 (N, 1, h, w) from 0 (background) to 255 (lesion),
    classes int64 (N,), indices into `classes_of`.

    Args:
        cache: An open cache, also a mixture.
        names: The images, in this order.
    """

    def __init__(self, cache: Cache, names: Sequence[str]) -> None:
        self.names = tuple(names)
        rows = cache.select(names)
        images = np.asarray(cache.images[rows])
        planes = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
        self.images = torch.from_numpy(np.ascontiguousarray(planes))
        masks = cache.masks()[rows][:, None] * np.uint8(FULL)
        self.masks = torch.from_numpy(masks)
        classes = classes_of(cache)
        self.classes = torch.tensor([classes.index(cache.items[row].label) for row in rows])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], self.masks[index], self.classes[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        """A whole batch at once, which avoids a copy of each image."""
        return self.images[indices], self.masks[indices], self.classes[indices]


def classes_of(cache: Cache) -> tuple[str, ...]:
    """The classes of a cache's images, sorted, as the classification head has them."""
    return tuple(sorted({item.label for item in cache.items}))


def normal_classes_of(cache: Cache) -> tuple[str, ...]:
    """Those of `classes_of` of which no image shows a lesion."""
    lesion = {item.label for item in cache.items if not item.normal}
    return tuple(name for name in classes_of(cache) if name not in lesion)


class Quota(NamedTuple):
    """How many images of one data set an epoch takes.

    Args:
        rows: (n,) indices of its images.
        draws: How many an epoch takes of them: each as often as the others, or once more.
    """

    rows: NDArray[np.intp]
    draws: int


def quotas_of(names: Sequence[str], weights: Mapping[str, float]) -> tuple[Quota, ...]:
    """What an epoch takes of each data set of a mixture.

    Args:
        names: Names of the images of a mixture.
        weights: By data set, how often an epoch takes each of its images, on average: 1 takes
            each once, 0.5 half of them, 2 each twice. A data set that is not named has weight 1.

    Raises:
        UnknownNameError: A weight of a data set that no image belongs to.
        UsageError: A weight below 0, or weights that leave no image.
    """
    sets = np.array([dataset_of_name(name) for name in names])
    present = sorted(set(sets.tolist()))
    for name, weight in weights.items():
        if name not in present:
            raise UnknownNameError("data set", name, present)
        if not 0 <= weight < np.inf:
            raise UsageError(
                f"weight {weight:g} of data set {name} cannot be used",
                "it is not a number of at least 0",
                "Give 1 to take each image once an epoch",
            )
    quotas = []
    for name in present:
        rows = np.flatnonzero(sets == name)
        quotas.append(Quota(rows, round(len(rows) * weights.get(name, 1.0))))
    if not any(quota.draws for quota in quotas):
        raise UsageError(
            "the weights of the data sets cannot be used",
            "they leave no image",
            "Give one of them a weight above 0",
        )
    return tuple(quotas)


class EpochShuffle(Sampler[int]):
    """An order that depends on nothing but the seed and the epoch: a resumed run repeats it.

    Args:
        length: Number of images.
        seed: Of the order.
        world: Processes that train together, each taking every ``world``-th image; the first
            images come twice where the number is not a multiple.
        quotas: How many images of each data set an epoch takes; empty: each image once.
    """

    def __init__(
        self, length: int, seed: int, *, world: int = 1, quotas: Sequence[Quota] = ()
    ) -> None:
        self.seed, self.world, self.epoch = seed, world, 0
        self.quotas = tuple(quotas)
        self.length = sum(quota.draws for quota in quotas) if quotas else length

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        draw = np.random.default_rng((self.seed, self.epoch))
        if self.quotas:
            order = draw.permutation(np.concatenate([_drawn(draw, q) for q in self.quotas]))
        else:
            order = draw.permutation(self.length)
        shared = np.resize(order, len(self) * self.world)
        return iter(shared[rank() % self.world :: self.world].tolist())

    def __len__(self) -> int:
        return -(-self.length // self.world)


def _drawn(draw: np.random.Generator, quota: Quota) -> NDArray[np.intp]:
    whole, rest = divmod(quota.draws, max(len(quota.rows), 1))
    return np.concatenate([np.tile(quota.rows, whole), draw.permutation(quota.rows)[:rest]])


def _as_is(batch: Any) -> Batch:  # noqa: ANN401 - DataLoader says list, __getitems__ gives a batch
    images, masks, classes = batch
    return images, masks, classes


def training_loader(
    dataset: CacheDataset,
    *,
    batch_size: int,
    seed: int,
    world: int = 1,
    weights: Mapping[str, float] = MappingProxyType({}),
) -> DataLoader[Batch]:
    """Shuffled batches; a last batch of a single image is left out, since batch norm needs two.

    Args:
        dataset: The images.
        batch_size: Images in a batch of this process.
        seed: Of the order.
        world: Processes that train together.
        weights: How often an epoch takes the images of each data set, see `quotas_of`.

    Raises:
        UnknownNameError: A weight of a data set that is not in the mixture.
        UsageError: Weights that cannot be used.
    """
    quotas = quotas_of(dataset.names, weights) if weights else ()
    order = EpochShuffle(len(dataset), seed, world=world, quotas=quotas)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=order,
        collate_fn=_as_is,
        drop_last=len(order) % batch_size == 1,
    )


def plain_loader(dataset: CacheDataset, *, batch_size: int) -> DataLoader[Batch]:
    """Batches in order."""
    return DataLoader(dataset, batch_size=batch_size, shuffle=False, collate_fn=_as_is)
