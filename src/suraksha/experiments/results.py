"""The finished runs of a plan, read back from a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suraksha.errors import TrainError
from suraksha.evaluation.summaries import read_metrics
from suraksha.experiments.plan import Plan
from suraksha.experiments.report import Scored
from suraksha.experiments.speed import Speeds, read_speeds
from suraksha.experiments.status import scored
from suraksha.runs.folder import open_run


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What lies in a folder of a plan's runs.

    Args:
        plan: The plan.
        runs: Its finished runs, in the plan's order.
        curves: The epochs of each run, by the run's name.
        trained: The training images of each run, by the run's name.
        speeds: How fast the networks answer.
    """

    plan: Plan
    runs: tuple[Scored, ...]
    curves: Mapping[str, Sequence[Mapping[str, float]]]
    trained: Mapping[str, Sequence[str]]
    speeds: Speeds = field(default_factory=Speeds)


def read_results(plan: Plan, folder: str | Path) -> Results:
    """Read the finished runs of a plan, as ``bench run`` or a commit of its results left them.

    Raises:
        TrainError: Not one run is finished, or one has no curves.
    """
    folder = Path(folder)
    runs = tuple(one for cell in plan.cells if (one := scored(cell, folder)) is not None)
    if not runs:
        raise TrainError(
            f"{folder} holds no finished run of plan {plan.name}",
            "there is nothing to make a table of",
            "Give the folder of its runs with --runs, or run it: suraksha bench run PLAN",
        )
    curves = {one.cell.name: read_metrics(folder / one.cell.name) for one in runs}
    trained = {one.cell.name: open_run(folder / one.cell.name).split.train for one in runs}
    return Results(plan, runs, curves, trained, read_speeds(folder))
