"""A synthetic data set in the layout of BUSI, for tests, trials and users without data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image as PilImage

from suraksha.datasets.description import DESCRIPTION_FILE
from suraksha.datasets.phantom import SERIES, SHAPE, kind_of, sample_phantom
from suraksha.errors import DataError, UsageError
from suraksha.files import beside, lock, sweep, write_text

Progress = Callable[[Sequence[int]], Iterable[int]]


def write_phantoms(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    shape: tuple[int, int] = SHAPE,
    progress: Progress | None = None,
) -> int:
    """Write synthetic images and masks that ``find_cases`` reads.

    No clinical conclusion may be drawn from them. The folder is written completely or not at all.

    Args:
        folder: A folder that does not exist yet, or is empty.
        count: How many, at least one of each kind: 4 or more.
        seed: The same seed gives the same images.
        shape: (rows, columns) in pixels.
        progress: Wraps the images' numbers, as ``tqdm`` does.

    Returns:
        How many were written.

    Raises:
        UsageError: A count below 4 or a seed below 0.
        DataError: The folder is not empty.
    """
    if count < 4:
        raise UsageError(
            f"count = {count} cannot be used", "fewer do not show all kinds", "Give 4 or more"
        )
    if seed < 0:
        raise UsageError(f"seed = {seed} cannot be used", "it is below 0", "Give 0 or more")
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty", "nothing is overwritten", "Give a new folder")
    with lock(folder):
        sweep(folder)
        part = beside(folder)
        _write(part, count, seed=seed, shape=shape, progress=progress)
        part.rename(folder)
    return count


def _write(
    folder: Path, count: int, *, seed: int, shape: tuple[int, int], progress: Progress | None
) -> None:
    for kind in sorted(set(SERIES)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    numbers = range(count)
    spacing_mm = 0.0
    for number in numbers if progress is None else progress(numbers):
        phantom = sample_phantom(seed, number, shape=shape)
        place = folder / kind_of(number) / phantom.image.name
        PilImage.fromarray(phantom.image.pixels).save(f"{place}.png")
        PilImage.fromarray(phantom.mask).save(f"{place}_mask.png")
        spacing_mm = phantom.spec.spacing.row_mm
    write_text(folder / DESCRIPTION_FILE, _description(spacing_mm))


def _description(spacing_mm: float) -> str:
    classes = "\n".join(f'{kind} = "{kind}/*.png"' for kind in sorted(set(SERIES)))
    return (
        "# Synthetic images: no clinical conclusion may be drawn from them.\n"
        f'name = "synthetic"\nspacing_mm = {spacing_mm!r}\nnormal = ["normal"]\n\n'
        f"[classes]\n{classes}\n"
    )
