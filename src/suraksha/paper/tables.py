"""The tables of a plan: Table 2 of the paper, the claims, intervals, cost, and the leak."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import mean

from suraksha.experiments.formats import Cell, Number, Table
from suraksha.experiments.results import FinishedRun, Results, SummaryRecord
from suraksha.experiments.speed import speed_key
from suraksha.metrics.boundary import TOLERANCE_PX
from suraksha.paper.claims import claims_table, compared_runs, comparison_table
from suraksha.paper.leakage import leak_table
from suraksha.paper.models_compared import (
    CLEAN,
    PAPER,
    ComparedModel,
    compared_models,
    mean_with_interval,
    metric_by_image,
    paired_dice_difference,
    pooled_metric,
    proposed_model,
)

TRIVIAL = ("all background", "mean mask")
# the rows of Table 2: title, metric, decimals
TABLE_2_ROWS = (
    ("Accuracy (training)", "training_accuracy", 4),
    ("Accuracy (validation)", "accuracy", 4),
    ("Intersection over union", "iou", 4),
    ("Dice coefficient", "dice", 4),
    ("Precision", "precision", 4),
    ("Recall", "recall", 4),
    ("Time to train (seconds)", "seconds", 0),
)
IMAGE_COLUMNS = (
    ("Dice", "dice", 3),
    ("IoU", "iou", 3),
    ("precision", "precision", 3),
    ("recall", "recall", 3),
    ("HD95 px", "hd95_px", 1),
    ("NSD", "nsd", 3),
)
COST_COLUMNS = (
    "initial weights",
    "input size px",
    "M parameters",
    "G MACs",
    "images/s",
    "seconds to train",
    "epochs",
)


def build_tables(results: Results) -> list[Table]:
    """All tables of a plan's results, recipe by recipe."""
    recipes: dict[str, list[FinishedRun]] = defaultdict(list)
    for run in results.runs:
        recipes[run.planned.config.name].append(run)
    found = [table for runs in recipes.values() for table in _tables(runs, results)]
    names = [planned.name for planned in results.plan.runs]
    unfinished = tuple(name for name in names if name not in results.curves)
    if unfinished:
        found.append(Table("Not finished", (), (), unfinished))
    return found


def _tables(runs: Sequence[FinishedRun], results: Results) -> Iterator[Table]:
    name = runs[0].planned.config.name
    planned = [one for one in results.plan.runs if one.config.name == name]
    models = compared_models(planned, runs)
    recipe = f"recipe {name}"
    if any(PAPER in one.runs for one in models):
        yield _table_2(models, results, recipe)
        compared = compared_runs(models, results)
        if compared is not None:
            yield comparison_table(compared, recipe=recipe)
            yield claims_table(compared, recipe=recipe)
    for protocol in (PAPER, CLEAN):
        if any(protocol in one.runs for one in models):
            yield _per_image(models, protocol, recipe)
            yield _paired(models, protocol, recipe)
    if any({PAPER, CLEAN} <= one.runs.keys() for one in models):
        yield _two_protocols(models, recipe)
    leak = leak_table(models, recipe, train_images=results.train_images)
    if leak is not None:
        yield leak
    yield _costs(models, results, recipe)


def _table_2(models: Sequence[ComparedModel], results: Results, recipe: str) -> Table:
    models = [one for one in models if PAPER in one.runs]
    rows: list[tuple[Cell, ...]] = []
    for title, key, digits in TABLE_2_ROWS:
        ours = [_table_2_figure(one, key, results) for one in models]
        ours += [_trivial(models, name, key) for name in TRIVIAL]
        published = [getattr(one.published, key, math.nan) for one in models]
        published += [math.nan for _ in TRIVIAL]
        rows.append((f"{title}, ours", *(Number(x, digits=digits) for x in ours)))
        rows.append((f"{title}, published", *(Number(x, digits=digits) for x in published)))
    data = [run.planned.config.data for one in models for run in one.runs[PAPER]]
    splits = sorted({one.split for one in data})
    label = (proposed_model(models) or models[0]).label
    return Table(
        f"Table 2, {recipe}: {results.plan.title}",
        ("", *(one.label for one in models), *TRIVIAL),
        tuple(rows),
        (
            f"Protocol paper, split{'s' * (len(splits) > 1)} {', '.join(map(str, splits))}: pixel "
            f"counts pooled over the {models[0].first.planned.part} images, at the network's input "
            "size.",
            "Training accuracy: of the last epoch, on augmented images, with the current weights. "
            "All other figures use the moving average of the weights, where the recipe has one.",
            "all background: a mask without a lesion pixel. mean mask: for every image the average "
            "training mask, thresholded where its Dice on the training masks is highest. Both at "
            f"the input size of {label}.",
            "The time to train includes scoring the monitored images after each epoch.",
            f"Trained on {_devices(models)}.",
            *_unfinished(models, PAPER),
        ),
    )


def _table_2_figure(one: ComparedModel, key: str, results: Results) -> float:
    if key == "seconds":
        return one.seconds(PAPER)
    if key == "training_accuracy":
        curves = results.curves
        return one.mean(PAPER, lambda run: curves[run.planned.name][-1]["train_accuracy"])
    return one.pooled(PAPER, key)


def _trivial(models: Sequence[ComparedModel], name: str, key: str) -> float:
    """A figure of a trivial predictor, at the input size of the proposed network."""
    if key in ("seconds", "training_accuracy"):
        return math.nan
    chosen = proposed_model(models) or models[0]
    return chosen.mean(PAPER, lambda run: pooled_metric(run, name, key=key))


def _devices(models: Sequence[ComparedModel]) -> str:
    runs = [run for one in models for part in one.runs.values() for run in part]
    return "; ".join(sorted({run.native.device for run in runs}))


def _unfinished(models: Sequence[ComparedModel], protocol: str) -> list[str]:
    """A note on the models with fewer finished runs than planned."""
    counts = {one.label: (len(one.runs[protocol]), one.planned[protocol]) for one in models}
    texts = [
        f"{label} {done} of {planned}"
        for label, (done, planned) in counts.items()
        if done < planned
    ]
    if not texts:
        return []
    return [f"Not all runs are finished, so rows differ in their splits: {', '.join(texts)}."]


def _per_image(models: Sequence[ComparedModel], protocol: str, recipe: str) -> Table:
    models = [one for one in models if protocol in one.runs]
    clean = protocol == CLEAN
    rows: list[tuple[Cell, ...]] = []
    for one in models:
        runs = one.runs[protocol]
        values = {key: metric_by_image(runs, key=key) for _, key, _ in IMAGE_COLUMNS}
        cells: list[Cell] = [
            Number.of(mean_with_interval(values[key]), digits=digits)
            for _, key, digits in IMAGE_COLUMNS
        ]
        if clean:
            consistent = metric_by_image(runs, part="consistent")
            cells += [Number.of(mean_with_interval(consistent)), _flagged(runs)]
        rows.append((one.label, str(len(values["dice"])), *cells))
    rows += [_trivial_row(models[0].runs[protocol], name, clean=clean) for name in TRIVIAL]
    notes = [
        "Lesion images at their own size; means with 95 % intervals by bootstrap over "
        "near-duplicate groups.",
        f"NSD: fraction of both outlines within {TOLERANCE_PX:g} px of the other. HD95 of an empty "
        "mask is the image's diagonal.",
    ]
    if clean:
        notes.append(
            "consistent: without the images that their near-duplicates contradict. normals "
            "flagged: images without a lesion in which any pixel is predicted as lesion."
        )
    extra = ("Dice, consistent", "normals flagged") if clean else ()
    return Table(
        f"Per image, {recipe}, protocol {protocol}",
        ("", "images", *(title for title, _, _ in IMAGE_COLUMNS), *extra),
        tuple(rows),
        (*notes, *_unfinished(models, protocol)),
    )


def _flagged(runs: Sequence[FinishedRun]) -> str:
    scores = [score for run in runs for score in run.scores]
    normals = [score for score in scores if not score.counts.tp + score.counts.fn]
    flagged = sum(score.counts.fp > 0 for score in normals)
    return f"{flagged} of {len(normals)}"


def _trivial_row(runs: Sequence[FinishedRun], name: str, *, clean: bool) -> tuple[Cell, ...]:
    """A trivial predictor on the images of one network's runs; it is the same for all networks."""

    def summaries(part: str) -> list[SummaryRecord]:
        found = (run.native.summary(name, part) for run in runs)
        return [one for one in found if one is not None]

    def mean_figure(part: str, key: str) -> float:
        values = [one.mean[key].value for one in summaries(part)]
        known = [value for value in values if value is not None]
        return mean(known) if known else math.nan

    tested = len({score.name for run in runs for score in run.lesion_scores()})
    cells: list[Cell] = [
        Number(mean_figure("lesion", key), digits=digits) for _, key, digits in IMAGE_COLUMNS
    ]
    if clean:
        normals = [one.normals for one in summaries("normal")]
        flagged = sum(one.with_prediction for one in normals)
        cells += [
            Number(mean_figure("consistent", "dice")),
            f"{flagged} of {sum(one.images for one in normals)}",
        ]
    return (name, str(tested), *cells)


def _paired(models: Sequence[ComparedModel], protocol: str, recipe: str) -> Table:
    models = [one for one in models if protocol in one.runs]
    first = proposed_model(models) or models[0]
    rows: list[tuple[Cell, ...]] = []
    for other in models:
        if other is not first:
            dice = paired_dice_difference(first.runs[protocol], other.runs[protocol])
            rows.append((other.label, Number.of(dice, signed=True)))
    return Table(
        f"Paired by image, {recipe}, protocol {protocol}",
        ("", f"Dice of {first.label} minus Dice of this"),
        tuple(rows),
        (
            "An interval that includes 0 shows no difference on these images. The interval is over "
            "images: another training of the same network changes the figure too.",
        ),
    )


def _two_protocols(models: Sequence[ComparedModel], recipe: str) -> Table:
    models = [one for one in models if {PAPER, CLEAN} <= one.runs.keys()]
    rows: list[tuple[Cell, ...]] = []
    for one in models:
        cells: list[Cell] = []
        images = [mean_with_interval(metric_by_image(one.runs[p])).value for p in (PAPER, CLEAN)]
        pooled = [one.pooled(protocol, "dice") for protocol in (PAPER, CLEAN)]
        for paper, clean in (images, pooled):
            cells += [Number(paper), Number(clean), Number(paper - clean, signed=True)]
        rows.append((one.label, *cells))
    head = (
        f"{kind}: {what}"
        for kind in ("per image", "pooled")
        for what in ("paper", "clean", "difference")
    )
    return Table(
        f"With and without the leak, {recipe}: Dice",
        ("", *head),
        tuple(rows),
        (
            "paper: a random split, in which near-duplicates of test images are trained on. "
            "clean: groups of near-duplicates stay together, and normals are trained on. The two "
            "test on different images, which contributes to the difference.",
        ),
    )


def _costs(models: Sequence[ComparedModel], results: Results, recipe: str) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one in models:
        config, native = one.first.planned.config, one.first.native
        milliseconds = results.speeds.milliseconds.get(speed_key(config), math.nan)
        seconds = mean(run.native.seconds for part in one.runs.values() for run in part)
        rows.append(
            (
                one.label,
                "ImageNet" if config.model.pretrained else "random",
                str(config.data.size),
                Number(native.parameters / 1e6, digits=2),
                Number(native.macs / 1e9, digits=2),
                Number(1000 / milliseconds, digits=1),
                Number(seconds, digits=0),
                str(config.optim.epochs),
            )
        )
    return Table(
        f"Cost, {recipe}",
        ("", *COST_COLUMNS),
        tuple(rows),
        (
            f"images/s: the network alone, one image at a time; {results.speeds.device}.",
            "seconds to train: mean over all its runs; runs of protocol paper score the monitored "
            "images after each epoch.",
        ),
    )
