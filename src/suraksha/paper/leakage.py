"""The leak of a random split: test images with and without a near-duplicate in training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from suraksha.datasets.folds import clean_table
from suraksha.experiments.formats import Cell, Number, Table
from suraksha.experiments.results import FinishedRun
from suraksha.paper.models_compared import (
    CLEAN,
    PAPER,
    ComparedModel,
    ImageValues,
    differences_by_image,
    mean_with_interval,
    metric_by_image,
    unpaired_difference,
)


def leak_table(
    models: Sequence[ComparedModel], recipe: str, *, train_images: Mapping[str, Sequence[str]]
) -> Table | None:
    """The effect of near-duplicates in training on the Dice of test images.

    Args:
        models: The networks.
        recipe: For the title.
        train_images: The names of the training images of each run, by the run's name.

    Returns:
        The table; None where no network has both protocols, or on another data set than BUSI.
    """
    rows = [row for one in models if (row := _row(one, train_images)) is not None]
    if not rows:
        return None
    return Table(
        f"The leak, {recipe}: Dice per image, with and without a near-duplicate in training",
        (
            "",
            "test images",
            "near-duplicate in training",
            "paper: with near-duplicate",
            "paper: without",
            "images in clean too",
            "paper minus clean: with near-duplicate",
            "paper minus clean: without",
            "effect of near-duplicates",
        ),
        tuple(rows),
        (
            "paper minus clean is paired: the same image, tested by a network that was trained on "
            "its near-duplicate and by one of protocol clean that was not. The two trainings also "
            "differ in other ways (clean includes normals and other images); the column 'without' "
            "shows how much. The effect is the column 'with' minus the column 'without'.",
            "An image that several splits test counts with its mean; 95 % intervals by bootstrap "
            "over near-duplicate groups.",
        ),
    )


def _row(one: ComparedModel, train_images: Mapping[str, Sequence[str]]) -> tuple[Cell, ...] | None:
    runs = one.runs.get(PAPER, ())
    clean = metric_by_image(one.runs.get(CLEAN, ()))
    if not runs or not clean or runs[0].native.scored_dataset != "busi":
        return None
    parts = split_by_near_duplicate(runs, train_images)
    paired = [differences_by_image(part, clean) for part in parts]
    tested = sum(len(run.lesion_scores()) for run in runs)
    found = sum(len(near_duplicates_of(run, train_images[run.planned.name])) for run in runs)
    return (
        one.label,
        str(tested),
        f"{found} ({100 * found / tested:.0f} %)",
        *(Number.of(mean_with_interval(part)) for part in parts),
        " + ".join(str(len(part)) for part in paired),
        *(Number.of(mean_with_interval(part), signed=True) for part in paired),
        Number.of(unpaired_difference(paired[0], paired[1]), signed=True),
    )


def near_duplicates_of(run: FinishedRun, train_images: Sequence[str]) -> set[str]:
    """The test images of a run that have a near-duplicate among its training images.

    Args:
        run: A run on BUSI.
        train_images: Names of its training images.
    """
    table = clean_table()
    groups = {table[name].group for name in train_images}
    return {score.name for score in run.lesion_scores() if table[score.name].group in groups}


def split_by_near_duplicate(
    runs: Sequence[FinishedRun], train_images: Mapping[str, Sequence[str]]
) -> tuple[ImageValues, ImageValues]:
    """Dice of the test images with a near-duplicate in training, and of those without.

    An image that some runs tested with a near-duplicate and others without is in both.
    """
    parts: tuple[dict[str, list[float]], ...] = (defaultdict(list), defaultdict(list))
    groups: dict[str, str] = {}
    for run in runs:
        leaked = near_duplicates_of(run, train_images[run.planned.name])
        for score in run.lesion_scores():
            parts[score.name not in leaked][score.name].append(score.dice)
            groups[score.name] = score.group
    with_duplicate, without = (
        {name: (groups[name], float(np.mean(dice))) for name, dice in part.items()}
        for part in parts
    )
    return with_duplicate, without
