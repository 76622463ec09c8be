"""The paper's Table 2 from our runs, and what it lacks: intervals, cost, the leak, paired tests."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from suraksha.experiments.formats import Cell, Number, Table
from suraksha.experiments.report import Scored
from suraksha.experiments.results import Results
from suraksha.experiments.speed import speed_key
from suraksha.metrics.boundary import TOLERANCE_PX
from suraksha.paper.claims import claims_table
from suraksha.paper.leakage import leak_table
from suraksha.paper.models_compared import (
    ComparedModel,
    by_image,
    compared_models,
    gap,
    mean_of,
    pooled,
    pooled_network_grid,
    reference,
)

TRIVIAL = ("all background", "mean mask")
PAPER, CLEAN = "paper", "clean"
NONE = Number(math.nan)
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


def build_tables(results: Results) -> list[Table]:
    """All tables of a plan's results, recipe by recipe."""
    recipes: dict[str, list[Scored]] = defaultdict(list)
    for run in results.runs:
        recipes[run.cell.config.name].append(run)
    found = [table for runs in recipes.values() for table in _tables(runs, results)]
    left = [cell.name for cell in results.plan.cells if cell.name not in results.curves]
    if left:
        found.append(Table("Not finished", (), (), tuple(left)))
    return found


def _tables(runs: Sequence[Scored], results: Results) -> Iterator[Table]:
    name = runs[0].cell.config.name
    cells = [cell for cell in results.plan.cells if cell.config.name == name]
    rows = compared_models(cells, runs)
    recipe = f"recipe {name}"
    if any(PAPER in one.runs for one in rows):
        yield _table_2(rows, results, recipe)
        claims = claims_table(rows, results, recipe=recipe)
        if claims is not None:
            yield claims
    for protocol in (PAPER, CLEAN):
        if any(protocol in one.runs for one in rows):
            yield _per_image(rows, protocol, recipe)
            yield _paired(rows, protocol, recipe)
    if any({PAPER, CLEAN} <= one.runs.keys() for one in rows):
        yield _two_protocols(rows, recipe)
    leak = leak_table(rows, recipe, trained=results.trained)
    if leak is not None:
        yield leak
    yield _costs(rows, results, recipe)


def _table_2(rows: Sequence[ComparedModel], results: Results, recipe: str) -> Table:
    rows = [one for one in rows if PAPER in one.runs]
    lines: list[tuple[Cell, ...]] = []
    for title, key, digits in TABLE_2_ROWS:
        ours = [_table_2_figure(one, key, results) for one in rows]
        trivial = [_trivial(rows, name, key) for name in TRIVIAL]
        known = [getattr(one.published, key, math.nan) for one in rows]
        shown = [*ours, *trivial]
        lines.append((f"{title}, ours", *(Number(x, digits=digits) for x in shown)))
        published = [*known, math.nan, math.nan]
        lines.append((f"{title}, published", *(Number(x, digits=digits) for x in published)))
    splits = sorted({run.cell.config.data.split for one in rows for run in one.runs[PAPER]})
    return Table(
        f"Table 2, {recipe}: {results.plan.title}",
        ("", *(one.label for one in rows), *TRIVIAL),
        tuple(lines),
        (
            f"Protocol paper, seed{'s' * (len(splits) > 1)} {', '.join(map(str, splits))}: counts "
            f"of all pixels of the {rows[0].first.cell.part} part together, on the network's own "
            "grid.",
            "Training accuracy is of the last epoch, on augmented images and with the weights "
            "of the moment; all else is with their moving average, where the recipe has one.",
            "all background: a mask without a pixel. mean mask: for every image the average "
            "training mask, cut where its Dice on the training masks is best. Both on the grid of "
            f"{(reference(rows) or rows[0]).label}.",
            "The time holds scoring the watched part after each epoch.",
            f"Trained on {_devices(rows)}.",
            *_unfinished(rows, PAPER),
        ),
    )


def _table_2_figure(one: ComparedModel, key: str, results: Results) -> float:
    if key == "seconds":
        return one.mean(PAPER, lambda run: float(run.native["seconds"]))
    if key == "training_accuracy":
        return one.mean(PAPER, lambda run: results.curves[run.cell.name][-1]["train_accuracy"])
    return pooled_network_grid(one, PAPER, key=key)


def _trivial(rows: Sequence[ComparedModel], name: str, key: str) -> float:
    """A figure of a trivial predictor, on the grid of the network that is put forward."""
    if key in ("seconds", "training_accuracy"):
        return math.nan
    chosen = reference(rows) or rows[0]
    return chosen.mean(PAPER, lambda run: pooled(run, name, key=key))


def _devices(rows: Sequence[ComparedModel]) -> str:
    return "; ".join(
        sorted({run.native["device"] for one in rows for part in one.runs.values() for run in part})
    )


def _unfinished(rows: Sequence[ComparedModel], protocol: str) -> list[str]:
    """Which rows stand on fewer splits than planned."""
    left = {one.label: (len(one.runs[protocol]), one.planned[protocol]) for one in rows}
    told = [f"{label} {done} of {all_}" for label, (done, all_) in left.items() if done < all_]
    return [f"Not all splits are done, so rows differ in them: {', '.join(told)}."] * bool(told)


def _per_image(rows: Sequence[ComparedModel], protocol: str, recipe: str) -> Table:
    rows = [one for one in rows if protocol in one.runs]
    clean = protocol == CLEAN
    extra = ("Dice, consistent", "normals flagged") if clean else ()
    lines: list[tuple[Cell, ...]] = []
    for one in rows:
        runs = one.runs[protocol]
        cells = [
            Number.of(mean_of(by_image(runs, key=key, part="lesion")), digits=digits)
            for _, key, digits in IMAGE_COLUMNS
        ]
        more: tuple[Cell, ...] = ()
        if clean:
            consistent = by_image(runs, key="dice", part="consistent")
            more = (Number.of(mean_of(consistent)), _flagged(runs))
        tested = len(by_image(runs, key="dice", part="lesion"))
        lines.append((one.label, str(tested), *cells, *more))
    lines += [_trivial_row(rows, name, protocol, len(extra)) for name in TRIVIAL]
    meant = (
        "consistent: without the images whose near-duplicates contradict them. normals flagged: "
        "images without a lesion in which any pixel is marked.",
    )
    return Table(
        f"Per image, {recipe}, protocol {protocol}",
        ("", "images", *(title for title, _, _ in IMAGE_COLUMNS), *extra),
        tuple(lines),
        (
            "Lesion images at their own size; means with 95 % intervals by bootstrap over "
            "near-duplicate groups.",
            f"NSD: fraction of both outlines that lies within {TOLERANCE_PX:g} px of the other. HD95 "
            "of an empty mask is the image's diagonal.",
            *(meant if clean else ()),
            *_unfinished(rows, protocol),
        ),
    )


def _flagged(runs: Sequence[Scored]) -> str:
    scores = [score for run in runs for score in run.scores]
    normals = [score for score in scores if not score.counts.tp + score.counts.fn]
    flagged = sum(score.counts.fp > 0 for score in normals)
    return f"{flagged} of {len(normals)}"


def _trivial_row(
    rows: Sequence[ComparedModel], name: str, protocol: str, extra: int
) -> tuple[Cell, ...]:
    """A trivial predictor on the images of the first network that has it; all have the same."""
    runs = rows[0].runs[protocol]
    records = [run.native["models"].get(name, {}) for run in runs]
    cells = []
    for _, key, digits in IMAGE_COLUMNS:
        found = [record["lesion"]["mean"][key]["value"] for record in records if record]
        cells.append(Number(mean(found) if found else math.nan, digits=digits))
    tested = len({score.name for run in runs for score in run.lesions("lesion")})
    if not extra:
        return (name, str(tested), *cells)
    consistent = [record["consistent"]["mean"]["dice"]["value"] for record in records if record]
    normals = [_normals(record) for record in records if record]
    flagged = f"{sum(n for n, _ in normals)} of {sum(n for _, n in normals)}"
    return (
        name,
        str(tested),
        *cells,
        Number(mean(consistent) if consistent else math.nan),
        flagged,
    )


def _normals(record: Mapping[str, Any]) -> tuple[int, int]:
    found = record.get("normal", {}).get("normals", {"with_prediction": 0, "images": 0})
    return found["with_prediction"], found["images"]


def _paired(rows: Sequence[ComparedModel], protocol: str, recipe: str) -> Table:
    rows = [one for one in rows if protocol in one.runs]
    first = reference(rows) or rows[0]
    lines: list[tuple[Cell, ...]] = [
        (other.label, Number.of(gap(first.runs[protocol], other.runs[protocol]), signed=True))
        for other in rows
        if other is not first
    ]
    return Table(
        f"Paired by image, {recipe}, protocol {protocol}",
        ("", f"Dice of {first.label} minus Dice of this"),
        tuple(lines),
        (
            "Where the interval includes 0, these images show no difference. It is of the "
            "images: another training of the same network moves the figure too.",
        ),
    )


def _two_protocols(rows: Sequence[ComparedModel], recipe: str) -> Table:
    rows = [one for one in rows if {PAPER, CLEAN} <= one.runs.keys()]
    lines: list[tuple[Cell, ...]] = []
    for one in rows:
        cells: list[Cell] = []
        images = [
            mean_of(by_image(one.runs[protocol], key="dice", part="lesion")).value
            for protocol in (PAPER, CLEAN)
        ]
        whole = [pooled_network_grid(one, protocol, key="dice") for protocol in (PAPER, CLEAN)]
        for paper, clean in (images, whole):
            cells += [Number(paper), Number(clean), Number(paper - clean, signed=True)]
        lines.append((one.label, *cells))
    kinds = (
        f"{kind}: {what}"
        for kind in ("per image", "pooled")
        for what in ("paper", "clean", "difference")
    )
    return Table(
        f"With and without the leak, {recipe}: Dice",
        ("", *kinds),
        tuple(lines),
        (
            "paper: a random split, in which near-duplicates of test images are trained on. "
            "clean: groups of near-duplicates stay together, and normals are trained on. The two "
            "test on different images, so the difference is of the images too.",
        ),
    )


def _costs(rows: Sequence[ComparedModel], results: Results, recipe: str) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for one in rows:
        config = one.first.cell.config
        milliseconds = results.speeds.milliseconds.get(speed_key(config), math.nan)
        seconds = [run.native["seconds"] for part in one.runs.values() for run in part]
        lines.append(
            (
                one.label,
                "ImageNet" if config.model.pretrained else "random",
                str(config.data.size),
                Number(one.params / 1e6, digits=2),
                Number(one.macs / 1e9, digits=2),
                Number(1000 / milliseconds, digits=1),
                Number(mean(seconds), digits=0),
                str(config.optim.epochs),
            )
        )
    return Table(
        f"Cost, {recipe}",
        (
            "",
            "starts from",
            "size px",
            "M parameters",
            "G MACs",
            "images/s",
            "seconds to train",
            "epochs",
        ),
        tuple(lines),
        (
            f"images/s: the network alone, one image at a time; {results.speeds.device}.",
            "seconds to train: mean over all its runs; those of protocol paper score the watched "
            "part after each epoch.",
        ),
    )
