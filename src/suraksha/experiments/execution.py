"""Run a plan: train and score what is missing, then write the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from suraksha.compute.base import Executor
from suraksha.compute.local import LocalExecutor
from suraksha.datasets.cache import is_cache
from suraksha.errors import SurakshaError, TrainError, UsageError
from suraksha.evaluation.evaluate import evaluate
from suraksha.evaluation.summaries import write_evaluation
from suraksha.experiments.plan import Plan, PlannedRun, load_plan
from suraksha.experiments.report import build_report, report_text
from suraksha.experiments.results import (
    FinishedRun,
    grids_of,
    read_evaluation,
    read_finished_run,
)
from suraksha.files import write_text
from suraksha.training.fit import cache_for, train

# errors of one run that do not stop the others; torch raises RuntimeError when memory runs out
FAILURES = (SurakshaError, OSError, RuntimeError, MemoryError)


def _silent(line: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Options of `run_plan`.

    Args:
        lists: Folder with the ``community`` list files.
        only: Which runs, such as ``clean`` or ``community:1``; empty for all.
        progress: Whether to show progress bars on stderr.
        log: Called with a line at the start, before each run and after each failure.
        executor: What trains and scores the runs.
    """

    lists: Path | None = None
    only: tuple[str, ...] = ()
    progress: bool = True
    log: Callable[[str], None] = _silent
    executor: Executor = field(default_factory=LocalExecutor)


@dataclass(frozen=True, slots=True)
class Job:
    """A run to train and score. All paths are absolute.

    Args:
        planned: The run.
        cache: The cache of the data set at the run's input size.
        data: The data set's folder.
        out: The parent of the run's folder.
        lists: Folder with the ``community`` list files.
    """

    planned: PlannedRun
    cache: Path
    data: Path
    out: Path
    lists: Path | None

    def __str__(self) -> str:
        return self.planned.name


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """The result of `run_plan`.

    Args:
        report: The content of ``report.json``: all finished runs of the plan, chosen or not.
        text: The content of ``report.md``.
        failed: Error messages of the runs that failed, by the run's name.
    """

    report: Mapping[str, Any]
    text: str
    failed: Mapping[str, str]


def run_plan(
    plan: Plan | str | Path,
    data: str | Path,
    *,
    out: str | Path,
    options: PlanOptions | None = None,
) -> PlanOutcome:
    """Run a plan. A plan that was stopped resumes where it was.

    Each run is trained, then scored on the images at their own size and at the input size. A run
    that fails does not stop the others. ``out`` gets the folders of the runs, a cache for each
    input size, and ``report.json`` and ``report.md`` about all finished runs.

    Args:
        plan: A plan, or its TOML file.
        data: The data set's folder.
        out: The folder for runs, caches and the report.
        options: Which runs, on what, and with which log. With an executor on other machines,
            ``data``, ``out`` and the lists must be in folders that all machines share.

    Raises:
        UsageError: ``data`` is a cache, or a choice matches no run.
        TrainError: The plan is not valid.
    """
    plan = plan if isinstance(plan, Plan) else load_plan(plan)
    options, out = options or PlanOptions(), Path(out)
    if is_cache(data):
        raise UsageError(
            f"{data} is a cache", "a plan scores images at their own size", "Give the data set"
        )
    chosen = plan.select(options.only)
    done = {run.name: found for run in plan.runs if (found := read_finished_run(run, out))}
    todo = [run for run in chosen if run.name not in done]
    options.log(f"plan {plan.name}: {len(chosen)} runs, {len(chosen) - len(todo)} finished")
    failed = _work(todo, done, data=Path(data), out=out, options=options)
    finished = [done[run.name] for run in plan.runs if run.name in done]
    report = build_report(plan, finished, failed=failed)
    text = report_text(report)
    write_text(out / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    write_text(out / "report.md", text)
    return PlanOutcome(report, text, failed)


def _work(
    todo: Sequence[PlannedRun],
    done: dict[str, FinishedRun],
    *,
    data: Path,
    out: Path,
    options: PlanOptions,
) -> dict[str, str]:
    """Train and score the runs and add them to ``done``; the errors of those that failed."""
    failed: dict[str, str] = {}
    caches: dict[tuple[int, int], Path] = {}
    executor, lists = options.executor, options.lists and options.lists.absolute()

    def fail(planned: PlannedRun, error: Exception) -> None:
        failed[planned.name] = str(error)
        options.log(f"failed: {planned.name}: {error}")

    def jobs() -> Iterator[Job]:
        for place, planned in enumerate(todo):
            eta = _eta(todo[place:], done.values(), workers=executor.workers)
            left = f"{len(todo) - place} left{eta}"
            options.log(f"{place + 1} of {len(todo)}: {planned.name} ({left})")
            try:
                key = (planned.config.data.size, planned.config.data.channels)
                if key not in caches:
                    cache = cache_for(planned.config, data, out=out, progress=options.progress)
                    caches[key] = cache.folder.absolute()
            except FAILURES as error:
                fail(planned, error)
            else:
                yield Job(planned, caches[key], data.absolute(), out.absolute(), lists)

    work = partial(train_and_score, progress=options.progress)
    for job, answer in executor.map(work, jobs(), failures=FAILURES):
        if isinstance(answer, Exception):
            fail(job.planned, answer)
        else:
            done[job.planned.name] = answer
    return failed


def train_and_score(job: Job, *, progress: bool) -> FinishedRun:
    """Train a run and score it, except for the steps that are already done.

    Args:
        job: The run and its folders.
        progress: Whether to show progress bars on stderr.

    Raises:
        SurakshaError: As raised by `suraksha.training` and `suraksha.evaluation`.
    """
    planned = job.planned
    run = train(planned.config, job.cache, out=job.out, lists=job.lists, progress=progress)
    found = []
    for grid, source in zip(grids_of(planned), (job.data, job.cache), strict=True):
        if read_evaluation(run, grid, part=planned.part) is None:
            evaluation = evaluate(
                run, source, part=planned.part, progress=lambda images: _bar(images, progress)
            )
            write_evaluation(evaluation, run.folder)
        found.append(read_evaluation(run, grid, part=planned.part))
    native, on_grid = found
    if native is None or on_grid is None:
        raise TrainError(
            f"run {run.folder} has no scores",
            "the evaluation that was just written cannot be read",
            "Check that nothing else writes to that folder, then run the plan again",
        )
    return FinishedRun(planned, native[0], on_grid[0], native[1], on_grid[1])


def _bar(images: Sequence[Any], shown: bool) -> tqdm[Any]:
    return tqdm(images, unit="image", disable=None if shown else True, leave=False)


def _eta(rest: Sequence[PlannedRun], done: Iterable[FinishedRun], *, workers: int) -> str:
    """The remaining time of training, estimated from similar runs, or from any where none is."""
    known = [(_kind(one.planned), one.native.seconds) for one in done]
    if not known:
        return ""
    seconds = 0.0
    for planned in rest:
        similar = [s for kind, s in known if kind == _kind(planned)] or [s for _, s in known]
        seconds += sum(similar) / len(similar)
    hours, minutes = divmod(round(seconds / max(workers, 1) / 60), 60)
    return f", about {hours} h {minutes:02} min of training"


def _kind(planned: PlannedRun) -> tuple[Any, ...]:
    return planned.config.model, planned.config.data.size, planned.config.optim
