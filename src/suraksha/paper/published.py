"""The paper's Table 2, and other published tables from CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from suraksha.errors import DataError

FIGURES = ("accuracy", "iou", "dice", "precision", "recall")


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row of a published table; NaN where a figure is not stated.

    Args:
        model: The row's name.
        accuracy: Pixel accuracy, 0..1.
        iou: Intersection over union, 0..1.
        dice: Dice coefficient, 0..1.
        precision: Fraction of the predicted pixels that are true, 0..1.
        recall: Fraction of the true pixels that are predicted, 0..1.
        training_accuracy: Pixel accuracy on the training images, 0..1.
        seconds: Time to train in seconds.

    Raises:
        DataError: A fraction outside 0..1.
    """

    model: str
    accuracy: float = math.nan
    iou: float = math.nan
    dice: float = math.nan
    precision: float = math.nan
    recall: float = math.nan
    training_accuracy: float = math.nan
    seconds: float = math.nan

    def __post_init__(self) -> None:
        figures = {name: getattr(self, name) for name in (*FIGURES, "training_accuracy")}
        odd = {name: fraction for name, fraction in figures.items() if fraction < 0 or fraction > 1}
        if odd:
            raise DataError(
                f"row '{self.model}' is not valid",
                f"these figures are not in 0..1: {odd}",
                "Give fractions, not percent",
            )


# Keshav Kumar et al. 2025, SURAKSHA, Table 2, in its order
TABLE_2 = tuple(
    PublishedRow(
        model,
        accuracy=accuracy,
        iou=iou,
        dice=dice,
        precision=precision,
        recall=recall,
        training_accuracy=training_accuracy,
        seconds=seconds,
    )
    for model, accuracy, iou, dice, precision, recall, training_accuracy, seconds in (
        ("UNet", 0.8373, 0.3090, 0.4721, 0.3363, 0.7916, 0.9573, 701.78),
        ("UNet++", 0.9037, 0.3833, 0.5542, 0.4850, 0.6464, 0.9541, 433.99),
        ("SegNet", 0.9288, 0.3508, 0.5194, 0.6846, 0.4184, 0.9553, 247.87),
        ("RefineNet", 0.9048, 0.3528, 0.5215, 0.4795, 0.5716, 0.9566, 201.02),
        ("FCN", 0.9170, 0.1604, 0.2764, 0.9325, 0.1622, 0.9588, 85.63),
        ("SURAKSHA C1", 0.8992, 0.3841, 0.5551, 0.4552, 0.7111, 0.9481, 338.44),
        ("SURAKSHA C2", 0.9183, 0.3841, 0.3376, 0.7991, 0.2140, 0.9534, 640.70),
        ("SURAKSHA C3", 0.9301, 0.4487, 0.6195, 0.6283, 0.6110, 0.9412, 674.51),
    )
)


def read_table(path: str | Path) -> tuple[PublishedRow, ...]:
    """A table from CSV: a column ``model``, and any of the other fields of `PublishedRow`.

    Raises:
        DataError: The file cannot be read, has unknown columns, or a value is not a number.
    """
    known = {field.name for field in fields(PublishedRow)}
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            head = set(reader.fieldnames or ())
            if "model" not in head or not head <= known:
                raise ValueError(f"its columns are {sorted(map(str, head))}")
            return tuple(_row(line) for line in reader)
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read",
            str(error),
            f"Give CSV with the column model and any of {', '.join(sorted(known - {'model'}))}",
        ) from error


def _row(line: Mapping[str, str]) -> PublishedRow:
    figures = {key: float(text) for key, text in line.items() if key != "model" and text}
    return PublishedRow(line["model"], **figures)
