"""The figures of a benchmark: samples, predictions, training curves, and Dice against cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.layouts import find_cases, load_case
from suraksha.datasets.samples import Sample, read_samples
from suraksha.evaluation.curves import save_figure
from suraksha.evaluation.evaluate import run_segmenter
from suraksha.experiments.results import FinishedRun, Results
from suraksha.experiments.speed import speed_key
from suraksha.networks.diagram import new_figure
from suraksha.paper.models_compared import (
    CLEAN,
    PAPER,
    ComparedModel,
    compared_models,
    mean_with_interval,
    metric_by_image,
)
from suraksha.runs.folder import open_run
from suraksha.types import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Mask = NDArray[np.bool_]
# figure 1 shows the lesions at these quantiles of each class by size
SAMPLE_QUANTILES = (0.1, 0.5, 0.9)
# figure 4 shows the test images at these quantiles of the best network by Dice
CASES = {"best": 1.0, "median": 0.5, "worst": 0.0}
BEST_MODELS = 3
TRUTH_COLOUR, PREDICTION_COLOUR = "#00c2a8", "#ff8c1a"
CURVES = (("train_accuracy", "Training accuracy"), ("train_loss", "Training loss"))
CURVE_COLOURS = {"train_accuracy": "C0", "train_loss": "C3"}
CURVE_COLUMNS = 4
MARKERS = "osD^vP*Xp<>h"


def draw_figures(
    results: Results, folder: Path, *, data: Path | None = None, runs: Path | None = None
) -> list[Path]:
    """Draw the figures of a plan's results as PNG files; one set for each recipe.

    Args:
        results: The finished runs.
        folder: Where to write.
        data: The data set; with it ``figure-1`` (samples) is drawn, which shows images of it.
        runs: The runs with their checkpoints; with ``data``, ``figure-4`` (predictions) is drawn.

    Returns:
        The paths of the files.

    Raises:
        DataError: The data set is not that of the runs.
        TrainError: A checkpoint is missing.
    """
    names = list(dict.fromkeys(run.planned.config.name for run in results.runs))
    written = []
    if data is not None:
        written.append(_samples(data, folder / "figure-1-samples.png"))
    for name in names:
        suffix = f"-{name}" if len(names) > 1 else ""
        planned = [one for one in results.plan.runs if one.config.name == name]
        finished = [run for run in results.runs if run.planned.config.name == name]
        models = compared_models(planned, finished)
        if data is not None and runs is not None:
            path = folder / f"figure-4-predictions{suffix}.png"
            written.append(_predictions(models, path, data=data, runs=runs))
        written.append(_curves(models, results, folder / f"figure-5-training{suffix}.png"))
        written.append(_dice_by_cost(models, results, folder / f"figure-dice-by-cost{suffix}.png"))
    return written


def _samples(data: Path, path: Path) -> Path:
    """Figure 1: images of each class with the contours of small, medium and large lesions."""
    classes: dict[str, list[tuple[float, Image, Mask]]] = {}
    for case in find_cases(data):
        image, mask = load_case(case)
        classes.setdefault(case.label, []).append((float(mask.mean()), image, mask))
    figure = new_figure(3.4 * len(SAMPLE_QUANTILES), 2.9 * len(classes))
    grid = figure.subplots(len(classes), len(SAMPLE_QUANTILES), squeeze=False)
    for axes_row, (label, found) in zip(grid, sorted(classes.items()), strict=True):
        found.sort(key=lambda one: (one[0], one[1].name))
        for axes, quantile in zip(axes_row, SAMPLE_QUANTILES, strict=True):
            fraction, image, mask = found[round(quantile * (len(found) - 1))]
            title = f"{image.name}: {100 * fraction:.1f} % lesion"
            _show(axes, image, {TRUTH_COLOUR: mask}, title)
        axes_row[0].set_ylabel(label)
    figure.suptitle("Images by class; lesions from small to large")
    return save_figure(figure, path)


def _predictions(models: Sequence[ComparedModel], path: Path, *, data: Path, runs: Path) -> Path:
    """Figure 4: image, truth and prediction of the best networks by validation accuracy."""
    protocol = PAPER if any(PAPER in one.runs for one in models) else CLEAN
    known = [one for one in models if protocol in one.runs]
    accuracy = {one.label: one.pooled(protocol, "accuracy") for one in known}
    best = sorted(known, key=lambda one: -accuracy[one.label])[:BEST_MODELS]
    scores = sorted(best[0].runs[protocol][0].lesion_scores(), key=lambda score: score.dice)
    names = [scores[round(place * (len(scores) - 1))].name for place in CASES.values()]
    samples = read_samples(data, names)
    figure = new_figure(3.4 * (1 + len(best)), 2.9 * len(names))
    grid = figure.subplots(len(names), 1 + len(best), squeeze=False)
    for axes_row, kind, sample in zip(grid, CASES, samples, strict=True):
        title = f"{sample.item.name}: truth"
        _show(axes_row[0], sample.image, {TRUTH_COLOUR: sample.truth}, title)
        axes_row[0].set_ylabel(f"{kind} of {best[0].label}")
    for column, one in enumerate(best, start=1):
        run = one.runs[protocol][0]
        dice = {score.name: score.dice for score in run.scores}
        for axes_row, (sample, mask) in zip(grid, _masks(run, samples, runs), strict=True):
            masks = {TRUTH_COLOUR: sample.truth, PREDICTION_COLOUR: mask}
            _show(axes_row[column], sample.image, masks, f"Dice {dice[sample.item.name]:.2f}")
        label = f"{one.label}\naccuracy {accuracy[one.label]:.3f}"
        grid[0, column].set_title(f"{label}\n{grid[0, column].get_title()}", fontsize=9)
    figure.suptitle(f"Protocol {protocol}: truth in green, prediction in orange")
    return save_figure(figure, path)


def _masks(
    run: FinishedRun, samples: Sequence[Sample], runs: Path
) -> Iterator[tuple[Sample, Mask]]:
    segment = run_segmenter(open_run(runs / run.planned.name))
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


def _curves(models: Sequence[ComparedModel], results: Results, path: Path) -> Path:
    """Figure 5: training accuracy and loss by epoch, one panel for each network.

    Each panel shows the curves of all networks in grey, so that a network can be compared with the
    others although no curves of equal weight overlap.
    """
    columns = min(CURVE_COLUMNS, len(models))
    rows = math.ceil(len(models) / columns)
    figure = new_figure(3.2 * columns, 4.2 * rows + 0.6)
    grid = figure.subplots(2 * rows, columns, squeeze=False, sharex=True)
    for axes in grid.flat:
        axes.set_visible(False)
    lines = [results.curves[one.first.planned.name] for one in models]
    for kind, (key, title) in enumerate(CURVES):
        for place, (one, line) in enumerate(zip(models, lines, strict=True)):
            axes = grid[2 * (place // columns) + kind, place % columns]
            axes.set_visible(True)
            for other in lines:
                _plot(axes, other, key, color="0.8", linewidth=0.8, zorder=1)
            _plot(
                axes, line, key, color=CURVE_COLOURS[key], linewidth=1.8, marker="o", markersize=3
            )
            last = line[-1]
            name = f"{one.label}: " if kind == 0 else ""
            axes.set_title(f"{name}{last[key]:.3f}", fontsize=9)
            axes.set_ylim(*_limits(lines, key))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.25)
            if place % columns == 0:
                axes.set_ylabel(title)
            if kind == 1:
                axes.set_xlabel("epoch")
                axes.tick_params(labelbottom=True)
    recipe = models[0].first.planned.config.name
    title = (
        f"{results.plan.title}: recipe {recipe}. Grey: the other networks. Numbers: the last epoch"
    )
    figure.suptitle(fill(title, 34 * columns))
    return save_figure(figure, path)


def _plot(axes: Axes, line: Sequence[Mapping[str, float]], key: str, **style: Any) -> None:  # noqa: ANN401 - of matplotlib
    axes.plot([one["epoch"] for one in line], [one[key] for one in line], **style)


def _limits(lines: Sequence[Sequence[Mapping[str, float]]], key: str) -> tuple[float, float]:
    """Limits that show the differences: without the first epochs, which are far from the rest."""
    values = [one[key] for line in lines for one in line[len(line) // 4 :]]
    margin = 0.05 * (max(values) - min(values)) or 0.01
    return min(values) - margin, max(values) + margin


def _dice_by_cost(models: Sequence[ComparedModel], results: Results, path: Path) -> Path:
    """Dice per image with its interval, against multiply-accumulates and milliseconds."""
    protocol = CLEAN if any(CLEAN in one.runs for one in models) else PAPER
    known = [one for one in models if protocol in one.runs]

    def milliseconds(one: ComparedModel) -> float:
        return results.speeds.milliseconds.get(speed_key(one.first.planned.config), math.nan)

    costs: dict[str, Callable[[ComparedModel], float]] = {
        "G multiply-accumulates per image": lambda one: one.first.native.macs / 1e9
    }
    if any(math.isfinite(milliseconds(one)) for one in known):
        costs["milliseconds per image, network alone"] = milliseconds
    figure = new_figure(6.5 * len(costs), 5)
    for axes, (title, cost) in zip(
        figure.subplots(1, len(costs), squeeze=False)[0], costs.items(), strict=True
    ):
        for place, one in enumerate(known):
            dice = mean_with_interval(metric_by_image(one.runs[protocol]))
            axes.errorbar(
                x=cost(one),
                y=dice.value,
                yerr=[[dice.value - dice.low], [dice.high - dice.value]],
                fmt=MARKERS[place % len(MARKERS)],
                color=f"C{place % 10}",
                label=one.label,
            )
        axes.set_xscale("log", subs=(2, 5))
        for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            set_formatter("{x:g}")
        axes.set_xlabel(title)
        axes.set_ylabel(f"Dice per image, lesion images, {protocol}")
        axes.grid(alpha=0.3, which="both")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    figure.suptitle(fill(f"{results.plan.title}: 95 % intervals", 60 * len(costs)))
    return save_figure(figure, path)
