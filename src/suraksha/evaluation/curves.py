"""Plots of a run and an evaluation as PNG files: training curves, rule fit, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suraksha.files import promote
from suraksha.inference.postprocessing import PostProcessing
from suraksha.networks.diagram import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# one plot each, in rows of three
CURVES = (
    ("loss", "Loss"),
    ("dice", "Pooled Dice"),
    ("iou", "Pooled IoU"),
    ("precision", "Pooled precision"),
    ("recall", "Pooled recall"),
    ("accuracy", "Pixel accuracy"),
)
# part -> colour, marker
STYLES = {"train": ("C0", "o"), "validation": ("C1", "s")}
# above so many epochs, only some points have a marker
MAX_MARKERS = 40


def draw_curves(rows: Sequence[Mapping[str, float]], path: Path, *, title: str) -> None:
    """Draw loss and scores by epoch, training and validation, as a PNG (whole or not at all).

    Args:
        rows: One mapping per epoch with ``epoch``, ``train_loss``, ``validation_loss`` and so on.
        path: The file to write.
        title: Title of the figure.
    """
    figure = new_figure(12, 6.4)
    grid = figure.subplots(2, 3, sharex=True)
    for number, (axes, (key, label)) in enumerate(zip(grid.flat, CURVES, strict=True)):
        for part, (colour, marker) in STYLES.items():
            points = [
                (row["epoch"], row[f"{part}_{key}"]) for row in rows if f"{part}_{key}" in row
            ]
            if points:
                axes.plot(
                    [epoch for epoch, _ in points],
                    [value for _, value in points],
                    color=colour,
                    marker=marker,
                    markersize=3.5,
                    markevery=max(1, len(points) // MAX_MARKERS),
                    linewidth=1.5,
                    label=part,
                )
        axes.set_title(label)
        axes.margins(y=0.08)
        axes.grid(alpha=0.3)
        if number >= 3:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        if number == 0 and axes.lines:
            axes.legend()
    figure.suptitle(title)
    save_figure(figure, path)


def draw_rule_fit(fit: Mapping[str, Any], path: Path, *, rule: PostProcessing, title: str) -> None:
    """Draw the trade-off of the post-processing rule as a PNG (whole or not at all).

    Missed lesion images and mean Dice, over the normal images with a false positive.

    Args:
        fit: `suraksha.evaluation.fit_postprocessing.PostProcessingFit.to_dict`.
        path: The file to write.
        rule: The chosen rule.
        title: Title of the figure.
    """
    normals, lesions = fit["normals"], fit["images"] - fit["normals"]
    chosen = [one for one in fit["curve"] if PostProcessing(**one["rule"]) == rule]
    figure = new_figure(11, 4.6)
    plots = (("missed", 100, "missed lesion images, %"), ("dice", 1, "mean Dice, lesion images"))
    for axes, (key, factor, label) in zip(figure.subplots(1, 2), plots, strict=True):
        for points, style, text in (
            (fit["curve"], {"marker": ".", "color": "C0"}, "best rules"),
            ([fit["without"]], {"marker": "x", "color": "k", "linestyle": ""}, "no rule"),
            (
                chosen,
                {"marker": "o", "color": "C3", "fillstyle": "none", "markersize": 12,
                 "linestyle": ""},
                "chosen",
            ),
        ):  # fmt: skip
            axes.plot(
                [100 * (one["flagged"] or 0) for one in points],
                [factor * (one[key] or 0) for one in points],
                label=text,
                **style,
            )
        if normals:
            axes.axvline(100 * fit["max_flagged"], color="grey", linestyle="--", label="limit")
        axes.set_xlabel("normal images with a false positive, %" if normals else "no normal images")
        axes.set_ylabel(label)
        axes.margins(0.06)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(
        f"{title}\nrule: peak at least {rule.min_peak:g}, area at least "
        f"{100 * rule.min_area_fraction:g} %, lesion probability at least "
        f"{rule.min_image_probability:g}; {lesions} lesion images, {normals} normals"
    )
    save_figure(figure, path)


def draw_reliability(
    calibration: Mapping[str, Any],
    path: Path,
    *,
    title: str,
    lesions: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Draw reliability diagrams of pixels and lesions as a PNG (whole or not at all).

    On the diagonal, predicted probability and observed fraction agree.

    Args:
        calibration: `suraksha.metrics.calibration.Reliability.to_dict`.
        path: The file to write.
        title: Title of the figure.
        lesions: ``lesion_bins`` of `suraksha.evaluation.fit_calibration.calibration_metrics`;
            empty leaves them out.
    """
    figure = new_figure(5.4 * (1 + bool(lesions)), 5.2)
    grid = figure.subplots(1, 1 + bool(lesions), squeeze=False)[0]
    bins = [one for one in calibration["bins"] if one.get("observed") is not None]
    pixels = calibration["pixels"]
    counts = [f"{one['fraction']:.1%}" for one in bins]
    _reliability(grid[0], bins, key="mean_probability", counts=counts)
    grid[0].set_title(f"Pixels, n = {pixels:,}")
    grid[0].set_xlabel("predicted probability of a pixel")
    grid[0].set_ylabel("observed fraction of lesion pixels")
    if lesions:
        _reliability(
            grid[1],
            lesions,
            key="mean_confidence",
            counts=[str(one["lesions"]) for one in lesions],
        )
        grid[1].set_title(f"Regions, n = {sum(one['lesions'] for one in lesions)}")
        grid[1].set_xlabel("confidence of a region")
        grid[1].set_ylabel("observed fraction with Dice 0.5 or more")
    figure.suptitle(title)
    save_figure(figure, path)


def _reliability(
    axes: Axes, bins: Sequence[Mapping[str, Any]], *, key: str, counts: Sequence[str]
) -> None:
    """Bars of the observed fraction, points at the mean prediction, n of each bin below."""
    axes.plot((0, 1), (0, 1), "--", color="grey", label="calibrated")
    for one, count in zip(bins, counts, strict=True):
        width = one["high"] - one["low"]
        axes.bar(one["low"], one["observed"], width, align="edge", alpha=0.35, color="C0")
        axes.text(one["low"] + width / 2, -0.045, count, ha="center", va="center", fontsize=7)
    axes.plot(
        [one[key] for one in bins], [one["observed"] for one in bins], "ko-", markersize=5,
        linewidth=1, label="observed",
    )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.09, 1.02)
    axes.set_aspect("equal", adjustable="box")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG, whole or not at all; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half.png")
    figure.savefig(half, dpi=110)
    promote(half, path)
    return path
