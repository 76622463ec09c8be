"""Evaluations as text and as files, and back. It needs no torch."""

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
from suraksha.metrics.summary import Summary, table_row
from suraksha.reporting.markdown import estimate_text as estimate_text
from suraksha.reporting.markdown import markdown_table as markdown_table

if TYPE_CHECKING:
    from suraksha.evaluation.evaluate import Evaluation

# the images that an evaluation may be of
TEST, VALIDATION, ALL = PARTS = ("test", "validation", "all")
# appended to a model's name: its mask without the post-processing rule
RULELESS = "threshold alone"
# the curves of a run, epoch by epoch
METRICS = "metrics.csv"


def normals_text(summary: Summary) -> str:
    """Flagged of normal images, or a dash where there are none."""
    normals = summary.normals
    return f"{normals.with_prediction} of {normals.images}" if normals.images else "-"


def evaluation_table(evaluation: Evaluation) -> str:
    """The rows of an evaluation with 95 % intervals, as Markdown."""
    head = ["model", "part", "images"]
    rows = []
    for row in evaluation.rows:
        cells = table_row(row.summary)
        head = ["model", "part", "images", *cells, "normals flagged"]
        # without a lesion anywhere, every overlap is 0 or undefined and says nothing
        no_lesion = row.summary.normals.images == row.summary.images
        figures = [
            "-" if no_lesion and title != "pooled accuracy" else estimate_text(cell)
            for title, cell in cells.items()
        ]
        first = [row.model, row.part, str(row.summary.images)]
        rows.append([*first, *figures, normals_text(row.summary)])
    return markdown_table(head, rows)


def classes_text(scores: ClassScores) -> str:
    """How well classes are told, as Markdown under its heading."""
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
    """An evaluation that was written.

    Args:
        stem: Its files without ``.json``, ``.md`` and ``-images.jsonl``.
        record: The JSON.
        text: The title and the table in Markdown.
    """

    stem: Path
    record: str
    text: str


def stem_of(grid: str, part: str = TEST, *, dataset: str = "") -> str:
    """How the files of an evaluation begin, by the grid of its scores and the part scored."""
    odd = {TEST: "", VALIDATION: f"-{part}"}
    return f"evaluation-{grid}{odd.get(part, f'-{part}-{dataset}')}"


def write_evaluation(evaluation: Evaluation, folder: Path) -> Written:
    """Write the record, the table and the scores of every image; the record last.

    Raises:
        OSError: A place that cannot be written.
    """
    facts = evaluation.facts
    stem = stem_of(facts["grid"], facts["scored_part"], dataset=facts["scored_dataset"])
    record = json.dumps(evaluation.to_dict(), indent=2, allow_nan=False)
    title = ", ".join(f"{key} {value}" for key, value in facts.items())
    text = f"{title}\n\n{evaluation_table(evaluation)}"
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
        DataError: The file is not there or damaged.
    """
    try:
        lines = path.read_bytes().decode().splitlines()
        return tuple(_score(json.loads(line)) for line in lines)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read", f"it holds no scores of images: {error}", "Evaluate again"
        ) from error


def _score(line: Mapping[str, Any]) -> ImageScore:
    values: dict[str, Any] = {k: math.nan if v is None else v for k, v in line.items()}
    values["counts"], values["lesions"] = Counts(**line["counts"]), Detection(**line["lesions"])
    return ImageScore(**values)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The epochs of a run, as far as it is trained; ``metrics.csv`` holds them.

    Raises:
        TrainError: The file is not there or damaged.
    """
    try:
        with (folder / METRICS).open(newline="") as stream:
            rows = list(csv.DictReader(stream))
            return [{key: float(text) for key, text in row.items() if text} for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise TrainError(
            f"run {folder} has no curves", f"{METRICS} cannot be read: {error}", "Train it again"
        ) from error
