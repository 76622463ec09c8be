"""Evaluations as text and as files, and back. It does not import torch."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suraksha.errors import DataError, TrainError
from suraksha.files import write_text
from suraksha.inference.card import DECISION_SUPPORT
from suraksha.metrics.classes import ClassScores
from suraksha.metrics.detection import Detection
from suraksha.metrics.image import ImageScore
from suraksha.metrics.overlap import Counts
from suraksha.metrics.subsets import CONSISTENT, LESION
from suraksha.metrics.summary import Summary, table_row
from suraksha.reporting.markdown import estimate_text, markdown_table

if TYPE_CHECKING:
    from suraksha.evaluation.evaluate import Evaluation

# the parts that can be scored
TEST, VALIDATION, ALL = PARTS = ("test", "validation", "all")
# appended to a model's name: its mask without the post-processing rule
RULELESS = "threshold alone"
# the scores of a run, epoch by epoch
METRICS = "metrics.csv"


def normals_text(summary: Summary) -> str:
    """Normal images with a false positive, or a dash where there are none."""
    normals = summary.normals
    return f"{normals.with_prediction} of {normals.images}" if normals.images else "-"


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The result in at most six lines, without the warnings.

    Args:
        evaluation: An evaluation; its first row names the model.
    """
    model = evaluation.rows[0].model
    lesion, consistent = (evaluation.summary(model, part) for part in (LESION, CONSISTENT))
    mean_mask = evaluation.summary("mean mask", LESION)
    lines = []
    if lesion is not None:
        lines.append(
            f"Dice: mean {estimate_text(lesion.mean['dice'])}, median "
            f"{estimate_text(lesion.median['dice'])} on {lesion.images} lesion images "
            "(95 % intervals)"
        )
    if lesion is not None and consistent is not None and consistent.images < lesion.images:
        lines.append(
            f"without contradictory near-duplicates: mean {estimate_text(consistent.mean['dice'])} "
            f"on {consistent.images} images"
        )
    if lesion is not None:
        found = lesion.lesions
        lines.append(
            f"missed lesions: {found.missed} of {found.found + found.missed}; false positive "
            f"regions on lesion images: {found.false}"
        )
    parts = [row.summary.normals for row in evaluation.rows if row.model == model]
    normal = max(parts, key=lambda one: one.images)
    if normal.images:
        lines.append(
            f"false positives on normals: {normal.with_prediction} of {normal.images} images"
        )
    calibration = evaluation.calibration
    if calibration.pixels.sum():
        lines.append(
            f"calibration of the pixels: expected calibration error "
            f"{calibration.calibration_error:.4f}, Brier score {calibration.brier:.4f}"
        )
    if lesion is not None and mean_mask is not None:
        gain = lesion.mean["dice"].value - mean_mask.mean["dice"].value
        lines.append(
            f"mean training mask: Dice {estimate_text(mean_mask.mean['dice'])}; the network gains "
            f"{gain:+.3f}"
        )
    return lines


def evaluation_table(evaluation: Evaluation) -> str:
    """The rows of an evaluation with 95 % intervals, as Markdown."""
    head = ["model", "part", "images"]
    rows = []
    for row in evaluation.rows:
        cells = table_row(row.summary)
        head = ["model", "part", "images", *cells, "normals flagged"]
        # on normal images every overlap is 0 or undefined
        no_lesion = row.summary.normals.images == row.summary.images
        figures = [
            "-" if no_lesion and title != "pooled accuracy" else estimate_text(cell)
            for title, cell in cells.items()
        ]
        first = [row.model, row.part, str(row.summary.images)]
        rows.append([*first, *figures, normals_text(row.summary)])
    return markdown_table(head, rows)


def classes_text(scores: ClassScores) -> str:
    """The scores of the classification head, as Markdown under its heading."""
    figures = {
        **{f"AUC, {question}": estimate_text(area) for question, area in scores.auc.items()},
        "Brier score, 0 to 2": estimate_text(scores.brier),
        "expected calibration error": f"{scores.calibration_error:.3f}",
    }
    counts = [
        [name, *map(str, row)] for name, row in zip(scores.names, scores.confusion, strict=True)
    ]
    return "\n\n".join(
        (
            f"## Classes: {DECISION_SUPPORT}",
            f"{scores.images} images in {scores.groups} groups; 95 % intervals.",
            markdown_table(("figure", "value"), list(figures.items())),
            "Images by true class (rows) and most probable class (columns):",
            markdown_table(("", *scores.names), counts),
        )
    )


@dataclass(frozen=True, slots=True)
class Written:
    """The files of an evaluation.

    Args:
        stem: Its files without ``.json``, ``.md`` and ``-images.jsonl``.
        record: The JSON.
        text: The title and the table in Markdown.
    """

    stem: Path
    record: str
    text: str


def stem_of(grid: str, part: str = TEST, *, dataset: str = "") -> str:
    """Stem of the files of an evaluation, by the grid of its scores and the scored part.

    Args:
        grid: ``native``, or the size of the cache.
        part: The scored part.
        dataset: Name of the data set, for ``all``.
    """
    suffix = {TEST: "", VALIDATION: f"-{part}"}.get(part, f"-{part}-{dataset}")
    return f"evaluation-{grid}{suffix}"


def write_evaluation(evaluation: Evaluation, folder: Path) -> Written:
    """Write the record, the table and the scores of every image; the record last.

    Raises:
        OSError: The folder cannot be written.
    """
    facts = evaluation.facts
    stem = stem_of(facts["grid"], facts["scored_part"], dataset=facts["scored_dataset"])
    record = json.dumps(evaluation.to_dict(), indent=2, allow_nan=False)
    title = ", ".join(f"{key} {value}" for key, value in facts.items())
    text = "".join(f"{warning}\n\n" for warning in evaluation.warnings)
    text += f"{title}\n\n{evaluation_table(evaluation)}"
    if evaluation.classes is not None:
        text += f"\n\n{classes_text(evaluation.classes)}"
    images = [json.dumps(score.to_dict()) for score in evaluation.scores]
    write_text(folder / f"{stem}-images.jsonl", "\n".join(images) + "\n")
    write_text(folder / f"{stem}.md", f"{text}\n")
    write_text(folder / f"{stem}.json", record + "\n")
    return Written(folder / stem, record, text)


def read_scores(path: Path) -> tuple[ImageScore, ...]:
    """The scores of every image from an evaluation's ``-images.jsonl``.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        lines = path.read_bytes().decode().splitlines()
        return tuple(_score(json.loads(line)) for line in lines)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read",
            f"it does not hold the scores of images: {error}",
            "Evaluate again",
        ) from error


def _score(line: Mapping[str, Any]) -> ImageScore:
    values: dict[str, Any] = {k: math.nan if v is None else v for k, v in line.items()}
    values["counts"], values["lesions"] = Counts(**line["counts"]), Detection(**line["lesions"])
    return ImageScore(**values)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The epochs of a run so far, from ``metrics.csv``.

    Raises:
        TrainError: The file is missing or damaged.
    """
    try:
        with (folder / METRICS).open(newline="") as stream:
            rows = list(csv.DictReader(stream))
            return [{key: float(text) for key, text in row.items() if text} for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise TrainError(
            f"run {folder} has no curves", f"{METRICS} cannot be read: {error}", "Train it again"
        ) from error
