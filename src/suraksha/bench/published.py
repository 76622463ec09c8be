"""The paper's Table 2, and a check of any such table against its own arithmetic."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from itertools import combinations, product
from pathlib import Path
from statistics import median
from typing import Any

from suraksha.errors import DataError
from suraksha.metrics.picture import jsonable
from suraksha.runtime.markdown import number_text
from suraksha.train.report import markdown_table

# a share of lesion so far from the table's median, as a factor, is another test set
SHARE_FACTOR = 1.2
# decimals beyond which figures are taken as they are, and what floating point may be off by
MOST_DECIMALS, SLACK = 9, 1e-12
BOTH = "precision with recall"
FIGURES = ("accuracy", "iou", "dice", "precision", "recall")


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row of a published table; NaN where it states no figure.

    Args:
        model: The row's name.
        accuracy: Pixel accuracy, 0..1.
        iou: Intersection over union, 0..1.
        dice: Dice coefficient, 0..1.
        precision: Share of the predicted pixels that are true, 0..1.
        recall: Share of the true pixels that are predicted, 0..1.
        training_accuracy: Pixel accuracy on the training pictures, 0..1.
        seconds: Time to train.

    Raises:
        DataError: A share outside 0..1.
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
        shares = {name: getattr(self, name) for name in (*FIGURES, "training_accuracy")}
        odd = {name: share for name, share in shares.items() if share < 0 or share > 1}
        if odd:
            raise DataError(
                f"row '{self.model}' cannot be checked",
                f"no share from 0 to 1: {odd}",
                "Give shares, not percent",
            )


# Keshav Kumar et al. 2025, SURAKSHA, Table 2, in its order
TABLE_2 = tuple(
    PublishedRow(model, *figures)
    for model, *figures in (
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


@dataclass(frozen=True, slots=True)
class RowCheck:
    """What a row's figures imply of each other; NaN where too few are stated.

    Args:
        model: The row's name.
        dice_from_iou: 2 IoU / (1 + IoU).
        dice_from_precision_recall: 2 P R / (P + R).
        lesion_share: The share of lesion pixels that accuracy, precision and recall imply.
        background_accuracy: 1 - that share: what a mask without a pixel would score.
        relations: How many pairs of figures could be held against each other.
        contradictions: What does not hold, in words; empty where all agrees.
    """

    model: str
    dice_from_iou: float
    dice_from_precision_recall: float
    lesion_share: float
    background_accuracy: float
    relations: int
    contradictions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The check as JSON takes it, with None for NaN."""
        return {**jsonable(asdict(self)), "contradictions": list(self.contradictions)}


def check_published(
    rows: Sequence[PublishedRow], *, decimals: int | None = None
) -> tuple[RowCheck, ...]:
    """Test the arithmetic of a table whose figures are pooled over all pixels.

    Pooled counts tie Dice to IoU and to precision and recall. With the accuracy they also give the
    share of lesion pixels, which is one number for all rows of one test set. Means over pictures
    obey neither, so a contradiction says: not pooled, not one test set, or wrong. Each figure may
    lie anywhere in what its last decimal leaves open.

    Args:
        rows: The table.
        decimals: To how many decimals its shares are rounded (default: the most that one has).
    """
    places = _decimals(rows) if decimals is None else decimals
    known = [share for row in rows if math.isfinite(share := lesion_share(row))]
    middle = median(known) if known else math.nan
    return tuple(_check(row, middle, places) for row in rows)


def _decimals(rows: Sequence[PublishedRow]) -> int:
    shares = (getattr(row, name) for row in rows for name in FIGURES)
    places = (-int(Decimal(str(x)).as_tuple().exponent) for x in shares if math.isfinite(x))
    return min(max(places, default=MOST_DECIMALS), MOST_DECIMALS)


def lesion_share(row: PublishedRow) -> float:
    """The share of lesion pixels that a row implies; NaN where it cannot be told.

    With the share s: true positives R s, false positives R s (1 - P) / P, false negatives
    (1 - R) s; the last two make up 1 - accuracy. Above 1 where no counts give the three figures.
    """
    wrong = _wrong(row.precision, row.recall)
    return (1 - row.accuracy) / wrong if wrong > 0 else math.nan


def _wrong(precision: float, recall: float) -> float:
    """False pixels for each lesion pixel."""
    return 1 - recall + recall * (1 - precision) / precision if precision > 0 else math.nan


def _dice_of_iou(iou: float) -> float:
    return 2 * iou / (1 + iou)


def _iou_of_dice(dice: float) -> float:
    return dice / (2 - dice)


def _dice_of_both(precision: float, recall: float) -> float:
    both = precision + recall
    return 2 * precision * recall / both if both > 0 else math.nan


def _check(row: PublishedRow, middle: float, decimals: int) -> RowCheck:
    half = 0.5 * 10.0**-decimals
    pairs, found = _overlaps(row, half, decimals)
    share = lesion_share(row)
    least, most = _share_span(row, half)
    if row.recall * least > row.accuracy + half + SLACK:
        found.append(
            f"accuracy, precision and recall cannot all be so: they need {100 * share:.1f} % lesion"
        )
    elif least > middle * SHARE_FACTOR or most < middle / SHARE_FACTOR:
        found.append(f"{100 * share:.1f} % lesion implied, {100 * middle:.1f} % by the others")
    return RowCheck(
        row.model,
        dice_from_iou=_dice_of_iou(row.iou),
        dice_from_precision_recall=_dice_of_both(row.precision, row.recall),
        lesion_share=share,
        background_accuracy=1 - share,
        relations=pairs + math.isfinite(share),
        contradictions=tuple(found),
    )


def _share_span(row: PublishedRow, half: float) -> tuple[float, float]:
    """Least and greatest lesion share that the rounding leaves open."""
    corners = [
        _wrong(max(row.precision + a, 1e-12), row.recall + b)
        for a, b in product((-half, half), repeat=2)
    ]
    least, most = min(corners), max(corners)
    wrong = 1 - row.accuracy
    return max(wrong - half, 0.0) / most, (wrong + half) / least if least > 0 else math.inf


def _overlaps(row: PublishedRow, half: float, decimals: int) -> tuple[int, list[str]]:
    """How many pairs of Dice, IoU, and precision with recall are stated, and what contradicts."""
    spans = {
        "Dice": [max(row.dice + d, 0.0) for d in (-half, half)],
        "IoU": [_dice_of_iou(max(row.iou + d, 0.0)) for d in (-half, half)],
        BOTH: [
            _dice_of_both(max(row.precision + d, 0.0), max(row.recall + d, 0.0))
            for d in (-half, half)
        ],
    }
    values = {"Dice": row.dice, "IoU": _dice_of_iou(row.iou)}
    values[BOTH] = _dice_of_both(row.precision, row.recall)
    known = [name for name, value in values.items() if math.isfinite(value)]
    pairs = list(combinations(known, 2))
    apart = [
        (a, b)
        for a, b in pairs
        if spans[a][1] < spans[b][0] - SLACK or spans[b][1] < spans[a][0] - SLACK
    ]
    if len(apart) == 2:  # the one that both others contradict
        (odd,) = set(apart[0]) & set(apart[1])
        apart = [(odd, ", and ".join(name for name in known if name != odd) + ",")]

    def told(one: str, others: str) -> str:
        source = next(name for name in known if name in others and name != one)
        in_iou = one == "IoU"
        mine, theirs = (_iou_of_dice(x) if in_iou else x for x in (values[one], values[source]))
        what = f"Dice from {one}" if one == BOTH else one
        verb = "give" if others.endswith(",") else "gives"
        return f"{what} {mine:.{decimals}f}, but {others} {verb} {theirs:.{decimals}f}"

    return len(pairs), [told(*pair) for pair in apart]


def read_table(path: str | Path) -> tuple[PublishedRow, ...]:
    """A table from CSV: a column ``model``, and any of the other fields of `PublishedRow`.

    Raises:
        DataError: No such file, no such columns, or a value that is no number.
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
            f"{path} cannot be checked",
            str(error),
            f"Give CSV with the column model and any of {', '.join(sorted(known - {'model'}))}",
        ) from error


def _row(line: Mapping[str, str]) -> PublishedRow:
    figures = {key: float(text) for key, text in line.items() if key != "model" and text}
    return PublishedRow(line["model"], **figures)


def check_text(rows: Sequence[PublishedRow], checks: Sequence[RowCheck]) -> str:
    """The check as Markdown."""
    head = (
        *("model", "Dice", "from IoU", "from precision and recall"),
        *("accuracy", "all background", "lesion pixels"),
    )
    lines = [
        [
            row.model,
            *(number_text(x, 4) for x in (row.dice, check.dice_from_iou)),
            number_text(check.dice_from_precision_recall, 4),
            *(number_text(x, 4) for x in (row.accuracy, check.background_accuracy)),
            number_text(check.lesion_share, 4),
        ]
        for row, check in zip(rows, checks, strict=True)
    ]
    odd = [f"* {check.model}: {why}" for check in checks for why in check.contradictions]
    said = "The figures agree with each other."
    if not any(check.relations for check in checks):
        said = (
            "Nothing to check: no row states two figures that fix each other (Dice, IoU, precision "
            "with recall, or accuracy, precision and recall)."
        )
    elif odd:
        said = "\n".join(odd)
    return f"{markdown_table(head, lines)}\n\n{said}"
