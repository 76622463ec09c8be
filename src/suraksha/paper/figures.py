"""The figures of a benchmark: samples, answers, curves, and Dice against cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.layouts import find_cases, load_case
from suraksha.datasets.samples import Sample, read_samples
from suraksha.evaluation.curves import save_figure
from suraksha.evaluation.evaluate import run_segmenter
from suraksha.experiments.report import Scored
from suraksha.experiments.results import Results
from suraksha.experiments.speed import speed_key
from suraksha.networks.diagram import new_figure
from suraksha.paper.models_compared import (
    ComparedModel,
    by_image,
    compared_models,
    mean_of,
    pooled_network_grid,
)
from suraksha.paper.tables import CLEAN, PAPER
from suraksha.runs.folder import open_run
from suraksha.types import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Mask = NDArray[np.bool_]
# of each class, the images whose lesions are at these places of the order by size
SAMPLES = (0.1, 0.5, 0.9)
# shown of the test images: the best, the median and the worst answer of the first network
CASES = {"best": 1.0, "median": 0.5, "worst": 0.0}
TOP = 3
TRUTH, ANSWER = "#00c2a8", "#ff8c1a"


def draw_figures(
    results: Results, folder: Path, *, data: Path | None = None, runs: Path | None = None
) -> list[Path]:
    """Draw the figures of a plan's results as PNG files, recipe by recipe where it has several.

    Args:
        results: The finished runs.
        folder: Where to write.
        data: The data set, for the samples (``figure-1``); those hold images of it.
        runs: The runs with their checkpoints, for the answers (``figure-4``) on the same data.

    Returns:
        What was written.

    Raises:
        DataError: The data set is not that of the runs.
        TrainError: A checkpoint is not there.
    """
    recipes = {run.cell.config.name: "" for run in results.runs}
    if len(recipes) > 1:
        recipes = {name: f"-{name}" for name in recipes}
    written = []
    if data is not None:
        written.append(_samples(data, folder / "figure-1-samples.png"))
    for name, ending in recipes.items():
        cells = [cell for cell in results.plan.cells if cell.config.name == name]
        rows = compared_models(cells, [run for run in results.runs if run.cell.config.name == name])
        if data is not None and runs is not None:
            path = folder / f"figure-4-answers{ending}.png"
            written.append(_answers(rows, path, data=data, runs=runs))
        written.append(_curves(rows, results, folder / f"figure-5-training{ending}.png"))
        written.append(_dice_by_cost(rows, results, folder / f"figure-dice-by-cost{ending}.png"))
    return written


def _samples(data: Path, path: Path) -> Path:
    """Fig. 1: images of each class, small, middling and large lesions, with their contours."""
    classes: dict[str, list[tuple[float, Image, Mask]]] = {}
    for case in find_cases(data):
        image, mask = load_case(case)
        classes.setdefault(case.label, []).append((float(mask.mean()), image, mask))
    figure = new_figure(3.4 * len(SAMPLES), 2.9 * len(classes))
    grid = figure.subplots(len(classes), len(SAMPLES), squeeze=False)
    for axes_row, (label, found) in zip(grid, sorted(classes.items()), strict=True):
        found.sort(key=lambda one: (one[0], one[1].name))
        for axes, place in zip(axes_row, SAMPLES, strict=True):
            fraction, image, mask = found[round(place * (len(found) - 1))]
            _show(axes, image, {TRUTH: mask}, f"{image.name}: {100 * fraction:.1f} % lesion")
        axes_row[0].set_ylabel(label)
    figure.suptitle("Images by class; lesions from small to large")
    return save_figure(figure, path)


def _answers(rows: Sequence[ComparedModel], path: Path, *, data: Path, runs: Path) -> Path:
    """Fig. 4: image, truth and answer of the best networks by validation accuracy."""
    protocol = PAPER if any(PAPER in one.runs for one in rows) else CLEAN
    known = [one for one in rows if protocol in one.runs]
    accuracy = {one.label: pooled_network_grid(one, protocol, key="accuracy") for one in known}
    top = sorted(known, key=lambda one: -accuracy[one.label])[:TOP]
    scores = sorted(top[0].runs[protocol][0].lesions("lesion"), key=lambda score: score.dice)
    names = [scores[round(place * (len(scores) - 1))].name for place in CASES.values()]
    samples = read_samples(data, names)
    figure = new_figure(3.4 * (1 + len(top)), 2.9 * len(names))
    grid = figure.subplots(len(names), 1 + len(top), squeeze=False)
    for axes_row, kind, sample in zip(grid, CASES, samples, strict=True):
        _show(axes_row[0], sample.image, {TRUTH: sample.truth}, f"{sample.item.name}: truth")
        axes_row[0].set_ylabel(f"{kind} of {top[0].label}")
    for column, one in enumerate(top, start=1):
        run = one.runs[protocol][0]
        dice = {score.name: score.dice for score in run.scores}
        for axes_row, (sample, mask) in zip(grid, _masks(run, samples, runs), strict=True):
            shown = {TRUTH: sample.truth, ANSWER: mask}
            _show(axes_row[column], sample.image, shown, f"Dice {dice[sample.item.name]:.2f}")
        label = f"{one.label}\naccuracy {accuracy[one.label]:.3f}"
        grid[0, column].set_title(f"{label}\n{grid[0, column].get_title()}", fontsize=9)
    figure.suptitle(f"Protocol {protocol}: truth in green, answer in orange")
    return save_figure(figure, path)


def _masks(run: Scored, samples: Sequence[Sample], runs: Path) -> Iterator[tuple[Sample, Mask]]:
    segment = run_segmenter(open_run(runs / run.cell.name))
    for sample in samples:
        yield sample, segment(sample.image).mask


def _show(axes: Axes, image: Image, masks: Mapping[str, Mask], title: str) -> None:
    axes.imshow(image.pixels, cmap="gray")
    for colour, mask in masks.items():
        if mask.any():
            axes.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def _curves(rows: Sequence[ComparedModel], results: Results, path: Path) -> Path:
    """Fig. 5: training accuracy and loss by epoch, a line for each network."""
    figure = new_figure(12, 4.5)
    for axes, (key, title) in zip(
        figure.subplots(1, 2),
        (("train_accuracy", "Training accuracy"), ("train_loss", "Training loss")),
        strict=True,
    ):
        for place, one in enumerate(rows):
            epochs = results.curves[one.first.cell.name]
            line = [(epoch["epoch"], epoch[key]) for epoch in epochs]
            axes.plot(*zip(*line, strict=True), label=one.label, color=_colour(place))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    figure.suptitle(fill(f"{results.plan.title}: recipe {rows[0].first.cell.config.name}", 120))
    return save_figure(figure, path)


def _dice_by_cost(rows: Sequence[ComparedModel], results: Results, path: Path) -> Path:
    """Dice per image with its interval, against MACs and against milliseconds."""
    protocol = CLEAN if any(CLEAN in one.runs for one in rows) else PAPER
    known = [one for one in rows if protocol in one.runs]

    def milliseconds(one: ComparedModel) -> float:
        return results.speeds.milliseconds.get(speed_key(one.first.cell.config), math.nan)

    costs: dict[str, Callable[[ComparedModel], float]] = {
        "G multiply-accumulates an image": lambda one: one.macs / 1e9
    }
    if any(math.isfinite(milliseconds(one)) for one in known):
        costs["milliseconds an image, network alone"] = milliseconds
    figure = new_figure(6.5 * len(costs), 5)
    for axes, (title, cost) in zip(
        figure.subplots(1, len(costs), squeeze=False)[0], costs.items(), strict=True
    ):
        for place, one in enumerate(known):
            found = mean_of(by_image(one.runs[protocol], key="dice", part="lesion"))
            spread = [[found.value - found.low], [found.high - found.value]]
            axes.errorbar(
                *(cost(one), found.value, spread), fmt="o", color=_colour(place), label=one.label
            )
        axes.set_xscale("log", subs=(2, 5))
        for axis_of in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            axis_of("{x:g}")
        axes.set_xlabel(title)
        axes.set_ylabel(f"Dice per image, lesion images, {protocol}")
        axes.grid(alpha=0.3, which="both")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    figure.suptitle(fill(f"{results.plan.title}: 95 % intervals", 60 * len(costs)))
    return save_figure(figure, path)


def _colour(place: int) -> str:
    return f"C{place}" if place < 10 else ("black", "gold", "navy", "saddlebrown")[place % 4 - 2]
