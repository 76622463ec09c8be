"""The curves of a run as images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suraksha.evaluation.fit_postprocessing import PostProcessingFit, TradePoint
from suraksha.files import promote
from suraksha.networks.diagram import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = (("loss", "Loss"), ("accuracy", "Pixel accuracy"), ("dice", "Pooled Dice"))
TRADES = (("missed", "lesion images missed, %"), ("dice", "mean Dice, lesion images"))


def draw_curves(rows: Sequence[Mapping[str, float]], path: Path, *, title: str) -> None:
    """Loss, accuracy and Dice by epoch, training and validation, as a PNG (whole or not at all).

    Args:
        rows: One mapping an epoch with ``epoch``, ``train_loss``, ``validation_loss`` and so on.
        path: Where to write.
        title: Above the image.
    """
    figure = new_figure(12, 3.6)
    for axes, (key, label) in zip(figure.subplots(1, len(CURVES)), CURVES, strict=True):
        for part in ("train", "validation"):
            points = [
                (row["epoch"], row[f"{part}_{key}"]) for row in rows if f"{part}_{key}" in row
            ]
            if points:
                axes.plot(*zip(*points, strict=True), label=part)
        axes.set_xlabel("epoch")
        axes.set_title(label)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    save_figure(figure, path)


def draw_trade(found: PostProcessingFit, path: Path, *, title: str) -> None:
    """What a presence rule trades, as a PNG (whole or not at all).

    Lesion images missed and mean Dice, over the normals flagged.

    Args:
        found: The fitted rule; its point is marked.
        path: Where to write.
        title: Above the image.
    """
    rule, figure = found.rule, new_figure(10, 4)
    for axes, (key, label) in zip(figure.subplots(1, len(TRADES)), TRADES, strict=True):

        def place(point: TradePoint, key: str = key) -> tuple[float, float]:
            over = 100 * point.flagged if found.normals else 0.0
            return over, (100 if key == "missed" else 1) * getattr(point, key)

        axes.plot(*zip(*map(place, found.curve), strict=True), ".-", label="best rules")
        axes.plot(*place(found.without), "kx", markersize=9, label="no rule")
        axes.plot(*place(found.chosen), "ro", fillstyle="none", markersize=12, label="chosen")
        if found.normals:
            axes.axvline(100 * found.max_flagged, color="grey", linestyle="--", label="limit")
        axes.set_xlabel("normals flagged, %" if found.normals else "no normals")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend()
    lesions = found.images - found.normals
    figure.suptitle(
        f"{title}\npresence rule: peak {rule.min_peak:g}, area {100 * rule.min_area_fraction:g} %, any lesion "
        f"{rule.min_image_probability:g}; {lesions} lesion images, {found.normals} normals"
    )
    save_figure(figure, path)


def draw_reliability(
    pixels: Sequence[Mapping[str, Any]], path: Path, *, lesions: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Reliability diagrams of pixels and lesions, as a PNG (whole or not at all).

    A bar is the share that is lesion (or right) where that much was told; on the diagonal the two
    agree.

    Args:
        pixels: Bins of `suraksha.metrics.calibration`, with ``mean_probability`` and ``observed``.
        path: Where to write.
        lesions: Bins of `suraksha.evaluation.fit_calibration`, with ``mean_confidence``; empty leaves them out.
    """
    wanted = [("pixels", "probability of a pixel", "share that is lesion", pixels, "probability")]
    if lesions:
        title, fraction = "confidence of a lesion", "share with Dice 0.5 or more"
        wanted.append(("lesions", title, fraction, lesions, "confidence"))
    figure = new_figure(5 * len(wanted), 4.6)
    for axes, (kind, told, fraction, bins, key) in zip(
        figure.subplots(1, len(wanted), squeeze=False)[0], wanted, strict=True
    ):
        for one in (one for one in bins if one.get("observed") is not None):
            width = one["high"] - one["low"]
            axes.bar(one["low"], one["observed"], width, align="edge", alpha=0.5, color="C0")
            axes.plot(one[f"mean_{key}"], one["observed"], "ko", markersize=4)
            if kind == "lesions":
                text = f"{one['lesions']}"
                axes.text(one["low"] + width / 2, 0.02, text, ha="center", fontsize=8)
        axes.plot((0, 1), (0, 1), "--", color="grey")
        axes.set_xlabel(told)
        axes.set_ylabel(fraction)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG, whole or not at all; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half.png")
    figure.savefig(half, dpi=110)
    promote(half, path)
    return path
