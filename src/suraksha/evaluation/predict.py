"""A network's answers for images of a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from suraksha.datasets.cache import Cache
from suraksha.networks.outputs import outputs_of
from suraksha.preprocessing import Preparation, normalise

BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A network's answer for one image.

    Args:
        probability: (h, w) float32 in 0..1 of the cache's grid.
        classes: (classes,) float32, logits of the second output; None where there is none.
    """

    probability: NDArray[np.float32]
    classes: NDArray[np.float32] | None


def answers(
    network: nn.Module, cache: Cache, *, names: Sequence[str], preparation: Preparation
) -> Iterator[Answer]:
    """A network's answers for images of a cache, each image run once.

    Args:
        network: In eval mode.
        cache: The images; where its size is not the preparation's, they are resized there and
            the answer back.
        names: Which of them, in this order.
        preparation: Size and normalisation that the network was trained with.

    Raises:
        DataError: The cache does not hold a name.
    """
    rows = cache.select(names)
    device = next(network.parameters()).device
    for start in range(0, len(rows), BATCH):
        images = np.asarray(cache.images[rows[start : start + BATCH]])
        inputs = torch.from_numpy(normalise(images, preparation)).to(device)
        yield from _answer(network, inputs, preparation.shape)


def probabilities(
    network: nn.Module, cache: Cache, *, names: Sequence[str], preparation: Preparation
) -> Iterator[NDArray[np.float32]]:
    """The lesion probabilities of `answers` alone; the same arguments, the same errors."""
    found = answers(network, cache, names=names, preparation=preparation)
    return (answer.probability for answer in found)


@torch.inference_mode()
def _answer(network: nn.Module, inputs: torch.Tensor, shape: tuple[int, int]) -> list[Answer]:
    grid = tuple(inputs.shape[2:])
    if grid != shape:
        inputs = F.interpolate(inputs, size=shape, mode="area")
    logits, *told = outputs_of(network, inputs)
    maps = logits.sigmoid()
    if grid != shape:
        maps = F.interpolate(maps, size=grid, mode="bilinear")
    found = maps[:, 0].float().cpu().numpy()
    classes = told[0].float().cpu().numpy() if told else [None] * len(found)
    return [Answer(*both) for both in zip(found, classes, strict=True)]
