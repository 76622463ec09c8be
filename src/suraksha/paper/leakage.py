"""The leak of a random split, measured: images whose twin was trained on, and the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from suraksha.datasets.clean_folds import clean_table
from suraksha.experiments.formats import Cell, Number, Table
from suraksha.experiments.results import FinishedRun
from suraksha.paper.models_compared import ComparedModel, Images, apart, metric_by_image, less, mean_with_interval

PAPER, CLEAN = "paper", "clean"


def leak_table(
    rows: Sequence[ComparedModel], recipe: str, *, trained: Mapping[str, Sequence[str]]
) -> Table | None:
    """What twins in training are worth; None where no network has both protocols, or not on BUSI.

    Args:
        rows: The networks.
        recipe: For the title.
        trained: The training images of each run, by the run's name.
    """
    lines = [line for one in rows if (line := _line(one, trained)) is not None]
    if not lines:
        return None
    return Table(
        f"The leak, {recipe}: Dice per image by whether a near-duplicate was trained on",
        (
            "",
            *("test images", "with a twin in training"),
            *("paper: with twin", "paper: without"),
            *("images in clean too", "paper minus clean: with twin", "the same: without"),
            "what twins add",
        ),
        tuple(lines),
        (
            "paper minus clean is paired: the same image, tested by a network that trained on "
            "its twin and by one of clean that did not. The two differ in more than twins (clean "
            "trains on normals and on other images), and the column without twins shows how "
            "much; what twins add is the one column less the other.",
            "An image that several splits test counts with its mean; 95 % intervals by bootstrap "
            "over near-duplicate groups.",
        ),
    )


def _line(one: ComparedModel, trained: Mapping[str, Sequence[str]]) -> tuple[Cell, ...] | None:
    runs = one.runs.get(PAPER, ())
    clean = metric_by_image(one.runs.get(CLEAN, ()), key="dice", part="lesion")
    if not runs or not clean or runs[0].native.scored_dataset != "busi":
        return None
    twin, alone = split_by_near_duplicate(runs, trained)
    pairs = [differences_by_image(part, clean) for part in (twin, alone)]
    tested = sum(len(run.lesion_scores()) for run in runs)
    with_twin = sum(len(near_duplicates_of(run, trained[run.planned.name])) for run in runs)
    return (
        one.label,
        str(tested),
        f"{with_twin} ({100 * with_twin / tested:.0f} %)",
        *(Number.of(mean_with_interval(part)) for part in (twin, alone)),
        " + ".join(str(len(part)) for part in pairs),
        *(Number.of(mean_with_interval(part), signed=True) for part in pairs),
        Number.of(unpaired_difference(*pairs), signed=True),
    )


def near_duplicates_of(run: FinishedRun, trained: Sequence[str]) -> set[str]:
    """The test images of a run that have a near-duplicate among its training images.

    Args:
        run: A run on BUSI.
        trained: Names of its training images.
    """
    table = clean_table()
    groups = {table[name].group for name in trained}
    return {score.name for score in run.lesion_scores() if table[score.name].group in groups}


def split_by_near_duplicate(
    runs: Sequence[FinishedRun], trained: Mapping[str, Sequence[str]]
) -> tuple[Images, Images]:
    """Dice of the test images that had a twin in training, and of those that had none.

    An image that some splits tested with a twin and others without is in both.
    """
    parts: tuple[dict[str, list[float]], ...] = (defaultdict(list), defaultdict(list))
    groups: dict[str, str] = {}
    for run in runs:
        twins = near_duplicates_of(run, trained[run.planned.name])
        for score in run.lesion_scores():
            parts[score.name not in twins][score.name].append(score.dice)
            groups[score.name] = score.group
    twin, alone = (
        {name: (groups[name], float(np.mean(dice))) for name, dice in part.items()}
        for part in parts
    )
    return twin, alone
