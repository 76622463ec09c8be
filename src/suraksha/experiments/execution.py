"""Run a plan: train what is not trained, score what is not scored, report what is there."""

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
from suraksha.experiments.plan import Cell, Plan, load_plan
from suraksha.experiments.render import report_text
from suraksha.experiments.report import Scored, build_report
from suraksha.experiments.status import grids, read, scored
from suraksha.files import write_text
from suraksha.training.fit import cache_for, train

# what one run may raise while the others go on; torch raises RuntimeError where memory is short
FAILURES = (SurakshaError, OSError, RuntimeError, MemoryError)


def _silent(line: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How to run a plan.

    Args:
        lists: Folder with the ``community`` list files.
        only: Which cells: ``clean``, ``community:1``; empty for all.
        progress: Whether to show progress bars on stderr.
        tell: Is called with a line at the start, before each run and after each failure.
        executor: Where the runs are trained and scored.
    """

    lists: Path | None = None
    only: tuple[str, ...] = ()
    progress: bool = True
    log: Callable[[str], None] = _silent
    executor: Executor = field(default_factory=LocalExecutor)


@dataclass(frozen=True, slots=True)
class Job:
    """A cell to train and score, and where; all paths are whole.

    Args:
        cell: The cell.
        cache: The packed data set of its size.
        data: The data set's folder.
        out: Where the run's folder lies.
        lists: Folder with the ``community`` list files.
    """

    cell: Cell
    cache: Path
    data: Path
    out: Path
    lists: Path | None

    def __str__(self) -> str:
        return self.cell.name


@dataclass(frozen=True, slots=True)
class Benched:
    """What running a plan came to.

    Args:
        report: What ``report.json`` holds: all finished cells of the plan, chosen or not.
        text: What ``report.md`` holds.
        failed: Why a chosen cell failed, by its name.
    """

    report: Mapping[str, Any]
    text: str
    failed: Mapping[str, str]


def run_plan(
    plan: Plan | str | Path,
    data: str | Path,
    *,
    out: str | Path,
    options: BenchOptions | None = None,
) -> Benched:
    """Run a plan; a plan that was stopped goes on where it was.

    A cell is trained, then scored on the images at their own size and on those of its cache. A
    cell that fails does not stop the others. ``out`` gets the runs' folders, a cache of each size,
    and ``report.json`` and ``report.md`` over all cells that are finished.

    Args:
        plan: A plan, or its TOML file.
        data: The data set's folder.
        out: Where runs, caches and the report lie.
        options: Which cells, where to work on them, and how to tell of them. Elsewhere than in this
            process, ``data``, ``out`` and the lists must be in folders that all machines share.

    Raises:
        UsageError: ``data`` is a cache, or a choice fits no cell.
        TrainError: A plan that cannot be used.
    """
    plan = plan if isinstance(plan, Plan) else load_plan(plan)
    options, out = options or BenchOptions(), Path(out)
    if is_cache(data):
        raise UsageError(
            f"{data} is a cache", "a plan scores images at their own size", "Give the data set"
        )
    chosen = plan.select(options.only)
    done = {cell.name: one for cell in plan.cells if (one := scored(cell, out))}
    todo = [cell for cell in chosen if cell.name not in done]
    options.log(f"plan {plan.name}: {len(chosen)} runs, {len(chosen) - len(todo)} finished")
    failed = _work(todo, done, data=Path(data), out=out, options=options)
    finished = [done[cell.name] for cell in plan.cells if cell.name in done]
    report = build_report(plan, finished, failed=failed)
    text = report_text(report)
    write_text(out / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    write_text(out / "report.md", text)
    return Benched(report, text, failed)


def _work(
    todo: Sequence[Cell], done: dict[str, Scored], *, data: Path, out: Path, options: BenchOptions
) -> dict[str, str]:
    """Finish the cells and put them into ``done``; why some failed, by name."""
    failed: dict[str, str] = {}
    packed: dict[tuple[int, int], Path] = {}
    executor, lists = options.executor, options.lists and options.lists.absolute()

    def fail(cell: Cell, error: Exception) -> None:
        failed[cell.name] = str(error)
        options.log(f"failed: {cell.name}: {error}")

    def jobs() -> Iterator[Job]:
        for place, cell in enumerate(todo):
            eta = _eta(todo[place:], done.values(), workers=executor.workers)
            options.log(f"{place + 1} of {len(todo)}: {cell.name} ({len(todo) - place} left{eta})")
            try:
                key = (cell.config.data.size, cell.config.data.channels)
                if key not in packed:
                    cache = cache_for(cell.config, data, out=out, progress=options.progress)
                    packed[key] = cache.folder.absolute()
            except FAILURES as error:
                fail(cell, error)
            else:
                yield Job(cell, packed[key], data.absolute(), out.absolute(), lists)

    work = partial(finish, progress=options.progress)
    for job, answer in executor.map(work, jobs(), failures=FAILURES):
        if isinstance(answer, Exception):
            fail(job.cell, answer)
        else:
            done[job.cell.name] = answer
    return failed


def finish(job: Job, *, progress: bool) -> Scored:
    """Train a cell as far as it is not trained, and score it where it is not scored.

    Args:
        job: The cell, and where all lies.
        progress: Whether to show progress bars on stderr.

    Raises:
        SurakshaError: What `suraksha.training` and `suraksha.evaluate` raise.
    """
    cell = job.cell
    run = train(cell.config, job.cache, out=job.out, lists=job.lists, progress=progress)
    found = []
    for grid, source in zip(grids(cell), (job.data, job.cache), strict=True):
        if read(run, grid, part=cell.part) is None:
            scores = evaluate(run, source, part=cell.part, progress=lambda xs: _bar(xs, progress))
            write_evaluation(scores, run.folder)
        found.append(read(run, grid, part=cell.part))
    native, on_cache = found
    if native is None or on_cache is None:
        raise TrainError(
            f"run {run.folder} has no scores", "what was written is not there", "Try again"
        )
    return Scored(cell, native[0], on_cache[0], native[1])


def _bar(images: Sequence[Any], shown: bool) -> tqdm[Any]:
    return tqdm(images, unit="image", disable=None if shown else True, leave=False)


def _eta(rest: Sequence[Cell], done: Iterable[Scored], *, workers: int) -> str:
    """How long the rest will train, from what alike cells took, or any cells where none is."""
    took = [(_kind(one.cell), one.native["seconds"]) for one in done]
    if not took:
        return ""
    seconds = 0.0
    for cell in rest:
        alike = [s for kind, s in took if kind == _kind(cell)] or [s for _, s in took]
        seconds += sum(alike) / len(alike)
    hours, minutes = divmod(round(seconds / max(workers, 1) / 60), 60)
    return f", about {hours} h {minutes:02} min of training"


def _kind(cell: Cell) -> tuple[Any, ...]:
    return cell.config.model, cell.config.data.size, cell.config.optim
