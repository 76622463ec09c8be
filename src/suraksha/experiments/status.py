"""How far the cells of a plan are, from what lies in their folders. Nothing is trained here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suraksha.errors import DataError, SurakshaError
from suraksha.evaluation.summaries import read_scores, stem_of
from suraksha.experiments.plan import Cell, Plan
from suraksha.experiments.report import Scored
from suraksha.metrics.image import ImageScore
from suraksha.runs.folder import Run, open_run, training_facts


def grids(cell: Cell) -> tuple[str, str]:
    """The sizes that a cell is scored at: its images' own, and its cache's."""
    size = cell.config.data.size
    return "native", f"{size}x{size}"


def read(run: Run, grid: str, *, part: str) -> tuple[dict[str, Any], tuple[ImageScore, ...]] | None:
    """The evaluation of this very training on a grid and a part, None where there is none."""
    stem = str(run.folder / stem_of(grid, part))
    try:
        record: dict[str, Any] = json.loads(Path(f"{stem}.json").read_bytes())
        scores = read_scores(Path(f"{stem}-images.jsonl"))
    except (OSError, ValueError, DataError):
        return None
    ours = all(record.get(key) == value for key, value in training_facts(run).items())
    return (record, scores) if ours else None


def scored(cell: Cell, out: Path) -> Scored | None:
    """A finished cell (trained, and scored on both grids), None for any other."""
    try:
        run = open_run(out / cell.name)
    except SurakshaError:  # not begun; a damaged run says so when it is trained
        return None
    native, grid = (read(run, name, part=cell.part) for name in grids(cell))
    if run.finished is None or native is None or grid is None:
        return None
    return Scored(cell, native[0], grid[0], native[1])


def states(plan: Plan, out: str | Path, *, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """How far the chosen cells of a plan are: ``finished``, ``begun`` or ``not begun``."""
    found = []
    for cell in plan.select(only):
        one, data = scored(cell, Path(out)), cell.config.data
        begun = (Path(out) / cell.name).is_dir()
        found.append(
            {
                "run": cell.name,
                "protocol": data.protocol,
                "number": data.split,
                "seed": cell.config.seed,
                "state": "finished" if one else "begun" if begun else "not begun",
                "seconds": one.native["seconds"] if one else None,
            }
        )
    return found
