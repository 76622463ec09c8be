"""What a run learns where a drawn mask is not the whole truth: twins and teachers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from suraksha.datasets.cache import Cache
from suraksha.datasets.split_file import Split
from suraksha.errors import TrainError
from suraksha.evaluation.predict import probabilities
from suraksha.runs.config import DataConfig
from suraksha.runs.folder import Run, open_run

COMPARE_PX = 64
Masks = dict[str, NDArray[np.float32]]


def soft_targets(config: DataConfig, cache: Cache, *, split: Split) -> Masks:
    """The targets that differ from the drawn masks, by name, (h, w) float32 in 0..1.

    Args:
        config: ``twins``, ``teachers`` and ``teacher_share``.
        cache: The images.
        split: Of the run; only its training images get targets, and only they give any.

    Raises:
        TrainError: A teacher that is no finished run, or that trained on images which this run
            is tested or watched on.
    """
    targets = near_duplicate_masks(cache, split.train, least=config.twins) if config.twins else {}
    if not config.teachers:
        return targets
    told = _taught([open_run(Path(folder)) for folder in config.teachers], cache, split)
    drawn = cache.masks()
    for name, row in zip(split.train, cache.select(split.train), strict=True):
        if name in told:
            own = targets.get(name, drawn[row].astype(np.float32))
            fraction = np.float32(config.teacher_fraction)
            targets[name] = (1 - fraction) * own + fraction * told[name]
    return targets


def near_duplicate_masks(cache: Cache, names: tuple[str, ...], *, least: float) -> Masks:
    """The mean mask of each image and its twins: the same group, correlation at least ``least``.

    Args:
        cache: The images.
        names: Which of them; no other image counts.
        least: Pearson's correlation of the images at 64 x 64, from which two are twins.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for row in cache.select(names):
        groups[cache.items[row].group].append(int(row))
    drawn, found = cache.masks(), {}
    for rows in groups.values():
        if len(rows) < 2:
            continue
        alike = np.atleast_2d(np.corrcoef(_small(cache.images[rows]))) >= least
        for place, row in enumerate(rows):
            if alike[place].sum() > 1:
                masks = drawn[np.array(rows)[alike[place]]]
                found[cache.items[row].name] = masks.mean(0, dtype=np.float32)
    return found


def _small(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, pixels) float32 at 64 x 64."""
    planes = torch.from_numpy(np.asarray(images, np.float32))
    planes = planes[:, None] if planes.ndim == 3 else planes.mean(3)[:, None]
    return F.interpolate(planes, size=COMPARE_PX, mode="area").flatten(1).numpy()


def _taught(teachers: list[Run], cache: Cache, split: Split) -> Masks:
    """The mean probability of the teachers that did not train on an image, by name."""
    held_back = set(split.test) | set(split.validation)
    for run in teachers:
        if leaked := held_back & set(run.split.train):
            raise TrainError(
                f"run {run.folder} cannot teach",
                f"it trained on {len(leaked)} images that this run is tested or watched on",
                "Give teachers of the same test part, with validation parts of their own",
            )
    total: Masks = {}
    count: dict[str, int] = defaultdict(int)
    for run in teachers:
        unseen = tuple(name for name in split.train if name not in run.split.train)
        for name, probability in zip(unseen, _told(run, cache, unseen), strict=True):
            total[name] = total.get(name, np.float32(0)) + probability
            count[name] += 1
    return {name: total[name] / np.float32(count[name]) for name in total}


def _told(run: Run, cache: Cache, names: tuple[str, ...]) -> Iterator[NDArray[np.float32]]:
    preparation = run.config.data.preparation
    return probabilities(run.network(), cache, names=names, preparation=preparation)
