"""The few lines of an evaluation that ``train`` and ``evaluate`` print."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from suraksha.cli.text import count_text

if TYPE_CHECKING:
    from suraksha.evaluation.evaluate import Evaluation
    from suraksha.metrics.bootstrap import Estimate
    from suraksha.metrics.summary import Summary

MEAN_MASK = "mean mask"
NATIVE = "native"


def summary_lines(found: Evaluation) -> list[str]:
    """At most five lines: what was scored, overlap, lesions, normal images, the mean mask."""
    model, facts = found.rows[0].model, found.facts
    parts = _parts(found, model)
    lesions, grid = parts.get("lesion"), facts["grid"]
    size = "at the images' own size" if grid == NATIVE else f"at {grid.replace('x', ' x ')} px"
    lines = [
        f"{model} on {count_text(facts['images_scored'], 'image')} of {facts['scored_dataset']} "
        f"({facts['scored_part']} part), {size}"
    ]
    if lesions is not None:
        mean, median = lesions.mean["dice"], lesions.median["dice"]
        lines.append(
            f"Dice: mean {_text(mean)}, median {_text(median)}, on "
            f"{count_text(lesions.images, 'image')} with a lesion"
        )
        counted = lesions.lesions
        lines.append(
            f"lesions: {counted.found} of {counted.found + counted.missed} found, "
            f"{counted.false} false positive"
        )
    normals = [part.normals for part in parts.values() if part.normals.images]
    if normals:
        images = sum(one.images for one in normals)
        flagged = sum(one.with_prediction for one in normals)
        lines.append(f"normal images: {flagged} of {images} with a false positive")
    mean_mask = mean_dice(found, MEAN_MASK)
    if math.isfinite(mean_mask):
        lines.append(f"for comparison, the mean mask of the training images: Dice {mean_mask:.2f}")
    return lines


def mean_dice(found: Evaluation, model: str | None = None) -> float:
    """Mean Dice on images with a lesion; NaN where there is none."""
    part = _parts(found, model or found.rows[0].model).get("lesion")
    return math.nan if part is None else part.mean["dice"].value


def warning(found: Evaluation) -> str:
    """A warning about a network that is worse than the mean mask; empty for any other."""
    ours, trivial = mean_dice(found), mean_dice(found, MEAN_MASK)
    if math.isnan(ours) or math.isnan(trivial) or ours > trivial:
        return ""
    return (
        f"warning: mean Dice {ours:.2f} is not better than {trivial:.2f} of the mean mask, which "
        "ignores the image. Train for more epochs, or check the data with 'suraksha data check'."
    )


def _parts(found: Evaluation, model: str) -> dict[str, Summary]:
    return {row.part: row.summary for row in found.rows if row.model == model}


def _text(figure: Estimate) -> str:
    """``0.71 (95% CI 0.61-0.79)``."""
    if not math.isfinite(figure.value):
        return "undefined"
    if not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} (95% CI {figure.low:.2f}-{figure.high:.2f})"
