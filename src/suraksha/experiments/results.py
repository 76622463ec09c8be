"""The finished runs of a plan, read back from their folders. Nothing is trained here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suraksha.datasets.folds import clean_table
from suraksha.errors import DataError, SurakshaError, TrainError
from suraksha.evaluation.summaries import read_metrics, read_scores, stem_of
from suraksha.experiments.plan import Plan, PlannedRun
from suraksha.experiments.speed import Speeds, read_speeds
from suraksha.metrics.image import ImageScore
from suraksha.runs.folder import Run, open_run, training_facts
from suraksha.runs.records import to_record

NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class NormalsRecord:
    """`suraksha.metrics.detection.Normals` as JSON holds it."""

    images: int
    with_prediction: int
    fraction: float | None
    false_area_px: float | None
    false_area_fraction: float | None


@dataclass(frozen=True, slots=True)
class SummaryRecord:
    """`suraksha.metrics.summary.Summary` as JSON holds it."""

    images: int
    groups: int
    left_out: int
    mean: Mapping[str, Figure]
    median: Mapping[str, Figure]
    pooled: Mapping[str, Figure]
    normals: NormalsRecord
    lesions: Mapping[str, int]
    seed: int
    resamples: int


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """The JSON file of an evaluation of a run, as `suraksha.evaluation.evaluate` writes it.

    Args:
        run: Name of the run's folder.
        recipe: The recipe's name.
        config_sha256: Hash of the run's config.
        protocol: The split protocol.
        parameter: Which split of it, such as ``fold=0``.
        split_sha256: Hash of the split.
        images: Number of training images.
        seconds: Duration of the training.
        epochs: Number of epochs.
        device: The device that trained.
        parameters: Number of parameters of the network.
        macs: Multiply-accumulates per image.
        scored_dataset: Name of the data set that was scored.
        grid: ``native``, or the input size such as ``128x128``.
        scored_part: ``test`` or ``validation``.
        models: Summaries by model (the network and the trivial predictors) and part of the images.
        community_batches_of_8: IoU and F1 as the public table computes them.
    """

    run: str
    recipe: str
    config_sha256: str
    protocol: str
    parameter: str
    split_sha256: str
    images: int
    seconds: float
    epochs: int
    device: str
    parameters: int
    macs: int
    scored_dataset: str
    grid: str
    scored_part: str
    models: Mapping[str, Mapping[str, SummaryRecord]]
    community_batches_of_8: Mapping[str, float | None]
    devices: int = 1
    nodes: int = 1
    dataset: str = ""
    cache_sha256: str = ""
    seen_in_training: int = 0
    scored_with: str = ""
    images_scored: int = 0
    images_undefined: int = 0
    images_missing_mask: int = 0
    images_unreadable: int = 0
    warnings: tuple[str, ...] = ()
    # written for readers of the file, not used here
    postprocessing: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    classes: Mapping[str, Any] = field(default_factory=dict)

    def summary(self, model: str, part: str) -> SummaryRecord | None:
        """The summary of a model on a part of the images; None where there is none."""
        return self.models.get(model, {}).get(part)


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """A run of a plan that is trained and scored.

    Args:
        planned: The run as planned.
        native: Its evaluation on the images at their own size.
        on_grid: Its evaluation at the input size.
        scores: The score of every image at its own size.
        grid_scores: The score of every image at the input size.
    """

    planned: PlannedRun
    native: EvaluationRecord
    on_grid: EvaluationRecord
    scores: tuple[ImageScore, ...]
    grid_scores: tuple[ImageScore, ...] = ()

    def lesion_scores(self, part: str = "lesion", *, grid: bool = False) -> list[ImageScore]:
        """The scores of the images with a lesion.

        Args:
            part: ``lesion``, or ``consistent``: without images that their near-duplicates
                contradict.
            grid: Whether to give the scores at the input size.
        """
        table = clean_table() if self.native.scored_dataset == "busi" else {}
        excluded = {n for n, row in table.items() if part == "consistent" and not row.consistent}
        scores = self.grid_scores if grid else self.scores
        return [s for s in scores if s.counts.tp + s.counts.fn and s.name not in excluded]


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """The content of a folder of a plan's runs.

    Args:
        plan: The plan.
        runs: Its finished runs, in the plan's order.
        curves: The epochs of each run, by the run's name.
        train_images: The names of the training images of each run, by the run's name.
        speeds: Inference times of the networks.
    """

    plan: Plan
    runs: tuple[FinishedRun, ...]
    curves: Mapping[str, Sequence[Mapping[str, float]]]
    train_images: Mapping[str, Sequence[str]]
    speeds: Speeds = field(default_factory=Speeds)


def read_results(plan: Plan, folder: str | Path) -> Results:
    """Read the finished runs of a plan, as ``bench run`` wrote them.

    Raises:
        TrainError: No run is finished, or the curves of one are missing.
    """
    folder = Path(folder)
    found = (read_finished_run(planned, folder) for planned in plan.runs)
    runs = tuple(run for run in found if run is not None)
    if not runs:
        raise TrainError(
            f"{folder} has no finished run of plan {plan.name}",
            "tables and figures are made from finished runs",
            "Give the folder of its runs with --runs, or run it: suraksha bench run PLAN",
        )
    names = [run.planned.name for run in runs]
    return Results(
        plan=plan,
        runs=runs,
        curves={name: read_metrics(folder / name) for name in names},
        train_images={name: open_run(folder / name).split.train for name in names},
        speeds=read_speeds(folder),
    )


def grids_of(planned: PlannedRun) -> tuple[str, str]:
    """The grids that a run is scored on: the images' own size, and the input size."""
    size = planned.config.data.size
    return NATIVE, f"{size}x{size}"


def read_evaluation(
    run: Run, grid: str, *, part: str
) -> tuple[EvaluationRecord, tuple[ImageScore, ...]] | None:
    """The evaluation of a run on a grid and a part of the images.

    None where there is none, where a file of it is incomplete, or where it is of another training.

    Raises:
        TrainError: The record has an unknown or missing key or a value of another type.
    """
    stem = run.folder / stem_of(grid, part)
    path = stem.with_name(f"{stem.name}.json")
    try:
        table = json.loads(path.read_bytes())
        scores = read_scores(stem.with_name(f"{stem.name}-images.jsonl"))
    except (OSError, ValueError, DataError):
        return None
    facts = training_facts(run)
    if not isinstance(table, dict) or any(table.get(k) != value for k, value in facts.items()):
        return None
    return to_record(table, EvaluationRecord, source=str(path)), scores


def read_finished_run(planned: PlannedRun, folder: Path) -> FinishedRun | None:
    """A run of a plan if it is finished: trained, and scored on both grids. Else None.

    Args:
        planned: The run as planned.
        folder: The folder of the plan's runs.
    """
    try:
        run = open_run(folder / planned.name)
    except SurakshaError:  # not started; the training reports a damaged run
        return None
    native, on_grid = (read_evaluation(run, grid, part=planned.part) for grid in grids_of(planned))
    if run.finished is None or native is None or on_grid is None:
        return None
    return FinishedRun(planned, native[0], on_grid[0], native[1], on_grid[1])


def run_states(plan: Plan, folder: str | Path, *, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The state of the chosen runs of a plan: ``finished``, ``started`` or ``not started``.

    Args:
        plan: The plan.
        folder: The folder of its runs.
        only: As in `Plan.select`.
    """
    rows = []
    for planned in plan.select(only):
        finished, data = read_finished_run(planned, Path(folder)), planned.config.data
        started = (Path(folder) / planned.name).is_dir()
        rows.append(
            {
                "run": planned.name,
                "protocol": data.protocol,
                "split": data.split,
                "seed": planned.config.seed,
                "state": "finished" if finished else "started" if started else "not started",
                "seconds": finished.native.seconds if finished else None,
            }
        )
    return rows
