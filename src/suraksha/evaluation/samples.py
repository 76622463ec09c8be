"""Read the images to score: those that cannot be scored are skipped, counted and named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.cache import is_cache
from suraksha.datasets.layouts import find_cases, load_case
from suraksha.datasets.samples import Data, Sample, read_samples
from suraksha.errors import DataError, InputError
from suraksha.preprocessing import resize_mask

MEAN_MASK_GRID = (256, 256)
# images that are read at a time where only their masks are kept
CHUNK = 64
Mask = NDArray[np.bool_]
Progress = Callable[[Sequence[Any]], Iterable[Any]]


def silent(things: Sequence[Any]) -> Iterable[Any]:
    """No progress bar."""
    return things


@dataclass(frozen=True, slots=True)
class Skipped:
    """Names of images that cannot be scored.

    Args:
        missing_mask: Lesion images without a mask file.
        unreadable: Images that cannot be read, or whose mask cannot.
    """

    missing_mask: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def usable_samples(
    data: Data, names: Sequence[str] | None, *, progress: Progress
) -> tuple[list[Sample], Skipped]:
    """The images that can be scored, and the names of the others.

    Args:
        data: A data set's folder, a cache, or several of them.
        names: The wanted images; None for all.
        progress: Wraps the images, as ``tqdm`` does.

    Raises:
        DataError: The data do not hold the images, or not one can be scored.
    """
    try:
        return read_samples(data, names, progress=progress), Skipped()
    except (DataError, InputError):
        if not isinstance(data, str | Path) or is_cache(data):
            raise
        cases = {case.name: case for case in find_cases(data)}
        wanted = list(cases) if names is None else list(names)
        if not set(wanted) <= set(cases):
            raise  # another data set
        missing = [n for n in wanted if not cases[n].mask_paths and not cases[n].normal]
        unreadable = []
        for name in (one for one in wanted if one not in missing):
            try:
                load_case(cases[name])
            except (DataError, InputError):
                unreadable.append(name)
        usable = [name for name in wanted if name not in {*missing, *unreadable}]
        if not usable or len(usable) == len(wanted):
            raise
        return read_samples(data, usable, progress=progress), Skipped(
            tuple(missing), tuple(unreadable)
        )


def data_warnings(data: Data, undefined: Sequence[str], *, skipped: Skipped) -> list[str]:
    """A warning for each kind of fault.

    Args:
        data: The data set.
        undefined: Names of lesion images with an empty mask.
        skipped: Names of images that were not scored.
    """
    faults = {
        "have no mask file and were not scored": skipped.missing_mask,
        "cannot be read, or have an unreadable mask, and were not scored": skipped.unreadable,
        "are of a lesion class but have an empty mask, so their Dice is undefined": undefined,
    }
    return [
        f"WARNING: {len(names)} images {what} (such as '{names[0]}'). 'suraksha data check "
        f"{data if isinstance(data, str | Path) else 'ROOT'}' lists the faults of this data set"
        for what, names in faults.items()
        if names
    ]


def training_masks(data: Data, names: Sequence[str], *, progress: Progress = silent) -> list[Mask]:
    """Masks on the grid of the mean mask, read a few images at a time.

    Args:
        data: A data set's folder, a cache, or several of them.
        names: The images.
        progress: Wraps the chunks, as ``tqdm`` does.
    """
    chunks = [names[first : first + CHUNK] for first in range(0, len(names), CHUNK)]
    return [
        resize_mask(sample.truth, MEAN_MASK_GRID)
        for chunk in progress(chunks)
        for sample in read_samples(data, chunk)
    ]
