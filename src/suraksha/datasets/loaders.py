"""Batches for training, straight from a cache in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from suraksha.datasets.cache import Cache
from suraksha.datasets.distributed import rank

Batch = tuple[Tensor, Tensor, Tensor]
FULL = 255


class CacheDataset(Dataset[Batch]):
    """Images of a cache by position: images, masks and classes.

    Images are uint8 (N, C, h, w), masks uint8 (N, 1, h, w) from 0 to 255 for sure, classes int64
    (N,), places in `classes_of`.

    Args:
        cache: An open cache.
        names: The images to give, in this order.
        soft: Masks to learn instead of the cache's own, by name: (h, w) float32 in 0..1.
    """

    def __init__(
        self,
        cache: Cache,
        names: Sequence[str],
        *,
        soft: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    ) -> None:
        rows = cache.select(names)
        images = np.asarray(cache.images[rows])
        planes = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
        self.images = torch.from_numpy(np.ascontiguousarray(planes))
        masks = cache.masks()[rows][:, None] * np.uint8(FULL)
        for number, name in enumerate(names):
            if name in soft:
                masks[number, 0] = np.rint(soft[name] * FULL)
        self.masks = torch.from_numpy(masks)
        classes = classes_of(cache)
        self.classes = torch.tensor([classes.index(cache.items[row].label) for row in rows])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], self.masks[index], self.classes[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        """A whole batch at once, which spares a copy of each image."""
        return self.images[indices], self.masks[indices], self.classes[indices]


def classes_of(cache: Cache) -> tuple[str, ...]:
    """The classes of a cache's images, sorted; their places are what a second output counts."""
    return tuple(sorted({item.label for item in cache.items}))


def normal_classes_of(cache: Cache) -> tuple[str, ...]:
    """Those of `classes_of` whose images all show no lesion."""
    lesion = {item.label for item in cache.items if not item.normal}
    return tuple(name for name in classes_of(cache) if name not in lesion)


class EpochShuffle(Sampler[int]):
    """An order that only the seed and the epoch decide, so that a resumed run repeats it.

    Args:
        length: Number of images.
        seed: Of the order.
        world: Processes that share the images out, each taking every ``world``-th; the first
            images come twice where the number does not divide.
    """

    def __init__(self, length: int, seed: int, *, world: int = 1) -> None:
        self.length, self.seed, self.world, self.epoch = length, seed, world, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        shared = np.resize(order, len(self) * self.world)
        return iter(shared[rank() % self.world :: self.world].tolist())

    def __len__(self) -> int:
        return -(-self.length // self.world)


def _as_is(batch: Any) -> Batch:  # noqa: ANN401 - DataLoader says list, __getitems__ gives a batch
    images, masks, classes = batch
    return images, masks, classes


def training_loader(
    dataset: CacheDataset, *, batch_size: int, seed: int, world: int = 1
) -> DataLoader[Batch]:
    """Shuffled batches; a last batch of one image is left out, for batch norm needs two.

    Args:
        dataset: The images.
        batch_size: Images in a batch of this process.
        seed: Of the order.
        world: Processes that share the images out.
    """
    order = EpochShuffle(len(dataset), seed, world=world)
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
