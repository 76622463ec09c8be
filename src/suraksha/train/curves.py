"""The curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from suraksha.files import promote
from suraksha.models.diagram import new_figure

CURVES = (("loss", "Loss"), ("accuracy", "Pixel accuracy"), ("dice", "Pooled Dice"))


def draw_curves(rows: Sequence[Mapping[str, float]], path: Path, *, title: str) -> None:
    """Loss, accuracy and Dice by epoch, training and validation, as a PNG (whole or not at all).

    Args:
        rows: One mapping an epoch with ``epoch``, ``train_loss``, ``validation_loss`` and so on.
        path: Where to write.
        title: Above the picture.
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
    half = path.with_suffix(".half.png")
    figure.savefig(half, dpi=110)
    promote(half, path)
