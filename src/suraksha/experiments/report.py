"""The report of a plan: scores by protocol, means, and models paired by image; as JSON and text."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from suraksha.datasets.splits import PROTOCOLS
from suraksha.evaluation.summaries import RULELESS
from suraksha.experiments.plan import Plan
from suraksha.experiments.results import EvaluationRecord, Figure, FinishedRun
from suraksha.metrics.bootstrap import Estimate, Resampler, estimate
from suraksha.metrics.detection import normals
from suraksha.metrics.image import ImageScore, jsonable
from suraksha.metrics.summary import paired_difference
from suraksha.reporting.markdown import NO_FIGURE, estimate_text, markdown_table

UNDEFINED = Estimate(math.nan, math.nan, math.nan)
RESAMPLES = 1000
# figures of `clean` whose mean over the folds has an interval: title -> part of the images
MEAN_DICE_TITLES = {"Dice, lesion": "lesion", "Dice, consistent": "consistent"}


def build_report(
    plan: Plan, finished: Sequence[FinishedRun], *, failed: Mapping[str, str]
) -> dict[str, Any]:
    """The report as JSON takes it.

    Args:
        plan: The plan.
        finished: Its finished runs, in the plan's order.
        failed: Error messages of runs, by name.
    """
    groups: dict[str, list[FinishedRun]] = defaultdict(list)
    for run in finished:
        config = run.planned.config
        same = replace(config, seed=0, data=replace(config.data, split=0))
        groups[same.sha256].append(run)
    names = {run.planned.name for run in finished}
    return {
        "plan": plan.name,
        "plan_sha256": plan.sha256,
        "part": plan.runs[0].part,
        "missing": [planned.name for planned in plan.runs if planned.name not in names],
        "failed": dict(failed),
        "groups": [_group(members) for members in groups.values()],
        "paired": [_paired(first, second) for first, second in _pairs(finished)],
    }


def _figures(run: FinishedRun) -> dict[str, dict[str, Any]]:
    """The figures of a run by title, as its protocol is usually reported."""
    model, protocol = run.planned.config.model.name, run.planned.config.data.protocol
    if protocol == "community":
        batches = run.on_grid.community_batches_of_8
        return {
            title: _plain(_estimate_of(Figure(batches.get(title.lower()))))
            for title in ("F1", "IoU")
        }
    if protocol == "paper":
        return {
            f"pooled {title}": _summary_figure(
                run.on_grid, model, part="lesion", kind="pooled", key=title.lower()
            )
            for title in ("Dice", "IoU", "accuracy")
        }
    ruleless = f"{model}, {RULELESS}"
    without_rule = ruleless if ruleless in run.native.models else model
    flagged = normals([score.counts for score in run.scores]).fraction
    return {
        "Dice, lesion": _summary_figure(run.native, model, part="lesion"),
        "Dice, consistent": _summary_figure(run.native, model, part="consistent"),
        "median Dice": _summary_figure(run.native, model, part="lesion", kind="median"),
        "Dice, lesion, no rule": _summary_figure(run.native, without_rule, part="lesion"),
        "normals flagged": _plain(replace(UNDEFINED, value=flagged)),
    }


def _summary_figure(
    record: EvaluationRecord, model: str, *, part: str, kind: str = "mean", key: str = "dice"
) -> dict[str, Any]:
    summary = record.summary(model, part)
    figures: Mapping[str, Figure] = {} if summary is None else getattr(summary, kind)
    return _plain(_estimate_of(figures.get(key, Figure(None))))


def _group(members: Sequence[FinishedRun]) -> dict[str, Any]:
    config, native = members[0].planned.config, members[0].native
    rows = [
        {
            "run": run.planned.name,
            "split": run.planned.config.data.split,
            "seed": run.planned.config.seed,
            "figures": _figures(run),
            "seconds": run.native.seconds,
            "device": run.native.device,
        }
        for run in members
    ]
    return {
        "recipe": config.name,
        "model": config.model.name,
        "options": dict(config.model.options),
        "size": config.data.size,
        "protocol": config.data.protocol,
        "parameters": native.parameters,
        "macs": native.macs,
        "rows": rows,
        "mean": _mean(members, rows) if len(rows) > 1 else None,
    }


def _mean(members: Sequence[FinishedRun], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of the rows with their standard deviation, and intervals for `MEAN_DICE_TITLES`."""
    found = {}
    for title in rows[0]["figures"]:
        values = [row["figures"][title]["value"] for row in rows]
        known = np.array([value for value in values if value is not None])
        mean = replace(UNDEFINED, value=float(known.mean()) if len(known) else math.nan)
        if title in MEAN_DICE_TITLES:
            folds: dict[int, list[list[ImageScore]]] = defaultdict(list)
            for run in members:
                scores = run.lesion_scores(MEAN_DICE_TITLES[title])
                folds[run.planned.config.data.split].append(scores)
            mean = mean_over_folds(folds)
        sd = float(known.std(ddof=1)) if len(known) > 1 else None
        found[title] = {**_plain(mean), "sd": sd}
    return found


def mean_over_folds(folds: Mapping[int, Sequence[Sequence[ImageScore]]]) -> Estimate:
    """Mean over folds of the mean Dice per image, by bootstrap over groups within each fold.

    No group is in two folds, so the folds are resampled independently.

    Args:
        folds: By fold the scores of each random seed. The Dice of an image is its mean over the
            seeds that scored it; seeds may hold out different validation images.

    Returns:
        Dice in 0..1 with its 95 % interval; NaN without a score.
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
        return UNDEFINED
    figures = np.mean(draws, axis=0)
    return estimate(float(figures[0]), figures[1:])


def _pairs(finished: Sequence[FinishedRun]) -> list[tuple[FinishedRun, FinishedRun]]:
    """Each run with the plan's first run of the same images, random seed and input size."""
    comparable: dict[Any, list[FinishedRun]] = defaultdict(list)
    for run in finished:
        config, images = run.planned.config, tuple(sorted(score.name for score in run.scores))
        data = config.data
        comparable[data.protocol, data.split, config.seed, data.size, images].append(run)
    return [(first, second) for first, *others in comparable.values() for second in others]


def _paired(first: FinishedRun, second: FinishedRun) -> dict[str, Any]:
    differences = {}
    for title, part in MEAN_DICE_TITLES.items():
        a, b = first.lesion_scores(part), second.lesion_scores(part)
        differences[title] = _plain(paired_difference(a, b).mean["dice"] if a else UNDEFINED)
    data = first.planned.config.data
    return {
        "protocol": data.protocol,
        "split": data.split,
        "first": first.planned.name,
        "second": second.planned.name,
        "macs_ratio": first.native.macs / second.native.macs,
        "difference": differences,
    }


def _plain(figure: Estimate) -> dict[str, Any]:
    return jsonable(asdict(figure))


def _estimate_of(figure: Figure) -> Estimate:
    return Estimate(
        *(math.nan if x is None else x for x in (figure.value, figure.low, figure.high))
    )


def report_text(report: Mapping[str, Any]) -> str:
    """A report as Markdown.

    Args:
        report: As `build_report` returns it.
    """
    parts = [
        f"# Plan {report['plan']}",
        f"Scored on the {report['part']} part. Plan SHA-256: {report['plan_sha256']}.",
    ]
    if report["missing"]:
        parts.append(_listing("Not finished:", report["missing"]))
    if report["failed"]:
        errors = [f"{name}: {error}" for name, error in report["failed"].items()]
        parts.append(_listing("Failed:", errors))
    for group in report["groups"]:
        options = "".join(f", {key} {value}" for key, value in group["options"].items())
        title = f"{group['recipe']}: {group['model']}{options}"
        parts.append(f"## {title}, {group['size']} px, {group['protocol']}")
        parts.append(f"{group['parameters']:,} parameters, {group['macs']:,} MACs per image.")
        parts.append(_group_table(group))
    if report["paired"]:
        parts.append("## Paired by image: Dice of the first minus Dice of the second")
        parts.append(_paired_table(report["paired"]))
    return "\n\n".join(parts) + "\n"


def _listing(title: str, lines: Iterable[str]) -> str:
    return "\n".join((title, "", *(f"* {line}" for line in lines)))


def _group_table(group: Mapping[str, Any]) -> str:
    titles = list(group["rows"][0]["figures"])
    split = PROTOCOLS[group["protocol"]].number
    head = [split, "random seed", *titles, "seconds to train", "device", "run"]
    rows = []
    for row in group["rows"]:
        figures = [_text(row["figures"][title]) for title in titles]
        facts = [f"{row['seconds']:.0f}", row["device"], row["run"]]
        rows.append([str(row["split"]), str(row["seed"]), *figures, *facts])
    if group["mean"] is not None:
        rows.append(["mean", "", *(_text(group["mean"][title]) for title in titles), "", "", ""])
    return markdown_table(head, rows)


def _paired_table(pairs: Sequence[Mapping[str, Any]]) -> str:
    head = ["split", "first", "second", "MACs, first / second", *MEAN_DICE_TITLES]
    rows = []
    for pair in pairs:
        facts = [f"{pair['protocol']} {pair['split']}", pair["first"], pair["second"]]
        differences = [_signed(pair["difference"][title]) for title in MEAN_DICE_TITLES]
        rows.append([*facts, f"{pair['macs_ratio']:.3f}", *differences])
    return markdown_table(head, rows)


def _text(figure: Mapping[str, Any]) -> str:
    """The value with its interval, else with its standard deviation, else alone."""
    value, sd = figure["value"], figure.get("sd")
    if value is None or figure["low"] is not None:
        ends = (figure[key] for key in ("value", "low", "high"))
        return estimate_text(Estimate(*(math.nan if end is None else end for end in ends)))
    return f"{value:.4f}" + ("" if sd is None else f" (sd {sd:.4f})")


def _signed(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return NO_FIGURE
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f})"
