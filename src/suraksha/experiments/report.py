"""What a plan's finished cells show: figures by protocol, means, and models paired by image."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from suraksha.datasets.clean_folds import clean_table
from suraksha.evaluation.summaries import RULELESS
from suraksha.experiments.plan import Cell, Plan
from suraksha.metrics.bootstrap import Estimate, Resampler, estimate
from suraksha.metrics.detection import normals
from suraksha.metrics.image import ImageScore, jsonable
from suraksha.metrics.summary import paired_difference

NO_NUMBER = Estimate(math.nan, math.nan, math.nan)
RESAMPLES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A finished cell with its scores.

    Args:
        cell: The cell.
        native: The evaluation at the images' own size, as it was written.
        grid: The evaluation on the cache.
        scores: The scores of every image at its own size.
    """

    cell: Cell
    native: Mapping[str, Any]
    grid: Mapping[str, Any]
    scores: tuple[ImageScore, ...]

    def lesions(self, part: str) -> list[ImageScore]:
        """The scores of the images with a lesion; of part ``consistent``, uncontradicted ones."""
        table = clean_table() if self.native["scored_dataset"] == "busi" else {}
        odd = {name for name, row in table.items() if not row.consistent and part == "consistent"}
        return [s for s in self.scores if s.counts.tp + s.counts.fn and s.name not in odd]


MODEL, NO_RULE = "*", "* without its presence rule"
# protocol -> the figures of a cell: title -> where `_figure` finds it
FIGURES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "clean": {
        "Dice, lesion": ("native", "models", MODEL, "lesion", "mean", "dice"),
        "Dice, consistent": ("native", "models", MODEL, "consistent", "mean", "dice"),
        "median Dice": ("native", "models", MODEL, "lesion", "median", "dice"),
        "Dice, lesion, no rule": ("native", "models", NO_RULE, "lesion", "mean", "dice"),
        "normals flagged": ("normals",),
    },
    "community": {
        "F1": ("grid", "community_batches_of_8", "f1"),
        "IoU": ("grid", "community_batches_of_8", "iou"),
    },
    "paper": {
        f"pooled {title}": ("grid", "models", MODEL, "lesion", "pooled", title.lower())
        for title in ("Dice", "IoU", "accuracy")
    },
}
# figures of `clean` whose mean over the folds has an interval: title -> part
FOLDED = {"Dice, lesion": "lesion", "Dice, consistent": "consistent"}


def _figure(one: Scored, path: Sequence[str]) -> dict[str, Any]:
    fraction = normals([score.counts for score in one.scores]).fraction
    found: Any = {"native": one.native, "grid": one.grid, "normals": fraction}
    name = one.cell.config.model.name
    for key in path:
        if key == NO_RULE:
            found = found.get(f"{name}, {RULELESS}") or found.get(name, {})
        else:
            found = found.get(name if key == MODEL else key, {})
    return _plain(as_estimate(found if isinstance(found, Mapping) else {"value": found}))


def build_report(
    plan: Plan, scored: Sequence[Scored], *, failed: Mapping[str, str]
) -> dict[str, Any]:
    """The report as JSON takes it.

    Args:
        plan: The plan.
        scored: Its finished cells, in the plan's order.
        failed: Why cells failed, by name.
    """
    groups: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        config = one.cell.config
        alike = replace(config, seed=0, data=replace(config.data, number=0))
        groups[alike.sha256].append(one)
    done = {one.cell.name for one in scored}
    return {
        "plan": plan.name,
        "plan_sha256": plan.sha256,
        "part": plan.cells[0].part,
        "missing": [cell.name for cell in plan.cells if cell.name not in done],
        "failed": dict(failed),
        "groups": [_group(members) for members in groups.values()],
        "paired": [_paired(first, second) for first, second in _pairs(scored)],
    }


def _group(members: Sequence[Scored]) -> dict[str, Any]:
    config, facts = members[0].cell.config, members[0].native
    wanted = FIGURES[config.data.protocol]
    rows = [
        {
            "run": one.cell.name,
            "number": one.cell.config.data.split,
            "seed": one.cell.config.seed,
            "figures": {title: _figure(one, path) for title, path in wanted.items()},
            "seconds": one.native["seconds"],
            "device": one.native["device"],
        }
        for one in members
    ]
    return {
        "recipe": config.name,
        "model": config.model.name,
        "options": dict(config.model.options),
        "size": config.data.size,
        "protocol": config.data.protocol,
        "parameters": facts["parameters"],
        "macs": facts["macs"],
        "rows": rows,
        "mean": _mean(members, rows) if len(rows) > 1 else None,
    }


def _mean(members: Sequence[Scored], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of the rows with their standard deviation; with intervals where `FOLDED` has them."""
    found = {}
    for title in rows[0]["figures"]:
        values = [row["figures"][title]["value"] for row in rows]
        known = np.array([value for value in values if value is not None])
        mean = replace(NO_NUMBER, value=float(known.mean()) if len(known) else math.nan)
        if title in FOLDED:
            numbers: dict[int, list[list[ImageScore]]] = defaultdict(list)
            for one in members:
                numbers[one.cell.config.data.split].append(one.lesions(FOLDED[title]))
            mean = mean_over_folds(numbers)
        spread = float(known.std(ddof=1)) if len(known) > 1 else None
        found[title] = {**_plain(mean), "sd": spread}
    return found


def mean_over_folds(folds: Mapping[int, Sequence[Sequence[ImageScore]]]) -> Estimate:
    """Mean over folds of the mean Dice per image, by bootstrap over groups within each fold.

    Groups are whole within a fold, so the folds are drawn independently.

    Args:
        folds: By fold the scores of each training seed; an image's Dice is its mean over the
            seeds that scored it, which may differ in the part that they hold back.
    """
    draws = []
    for fold, runs in folds.items():
        dice: dict[str, list[float]] = defaultdict(list)
        group = {score.name: score.group for run in runs for score in run}
        for run in runs:
            for score in run:
                dice[score.name].append(score.dice)
        if dice:
            values = np.array([np.mean(found) for found in dice.values()])
            groups = [group[name] for name in dice]
            draws.append(Resampler.of(groups, seed=fold, resamples=RESAMPLES).means(values))
    if not draws:
        return NO_NUMBER
    figures = np.mean(draws, axis=0)
    return estimate(float(figures[0]), figures[1:])


def _pairs(scored: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    """Each cell with the plan's first of the same images, training seed and size."""
    alike: dict[Any, list[Scored]] = defaultdict(list)
    for one in scored:
        config, images = one.cell.config, tuple(sorted(score.name for score in one.scores))
        data = config.data
        alike[data.protocol, data.split, config.seed, data.size, images].append(one)
    return [(first, second) for first, *others in alike.values() for second in others]


def _paired(a: Scored, b: Scored) -> dict[str, Any]:
    dice = {}
    for title, part in FOLDED.items():
        ours, theirs = a.lesions(part), b.lesions(part)
        gap = paired_difference(ours, theirs).mean["dice"] if ours else NO_NUMBER
        dice[title] = _plain(gap)
    data = a.cell.config.data
    return {
        "protocol": data.protocol,
        "number": data.split,
        "first": a.cell.name,
        "second": b.cell.name,
        "macs_ratio": a.native["macs"] / b.native["macs"],
        "difference": dice,
    }


def _plain(figure: Estimate) -> dict[str, Any]:
    return jsonable(asdict(figure))


def as_estimate(record: Mapping[str, Any]) -> Estimate:
    """A figure from its JSON."""
    figures = (record.get(key) for key in ("value", "low", "high"))
    return Estimate(*(math.nan if figure is None else figure for figure in figures))
