"""Check that the figures of a published table are consistent with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import combinations, product
from statistics import median
from typing import Any

from suraksha.metrics.image import jsonable
from suraksha.paper.published import FIGURES, PublishedRow
from suraksha.reporting.markdown import markdown_table, number_text

# a lesion fraction that differs from the table's median by this factor indicates another test set
FRACTION_FACTOR = 1.2
# figures with more decimals are taken as exact; tolerance for floating point
MAX_DECIMALS, TOLERANCE = 9, 1e-12
PRECISION_RECALL = "precision with recall"


@dataclass(frozen=True, slots=True)
class RowCheck:
    """What the figures of a row imply about each other; NaN where too few are stated.

    Args:
        model: The row's name.
        dice_from_iou: 2 IoU / (1 + IoU).
        dice_from_precision_recall: 2 P R / (P + R).
        lesion_fraction: The fraction of lesion pixels that accuracy, precision and recall imply.
        background_accuracy: 1 - lesion_fraction, the accuracy of a mask without a lesion pixel.
        relations: The number of relations between figures that could be checked.
        contradictions: The relations that do not hold, in words.
    """

    model: str
    dice_from_iou: float
    dice_from_precision_recall: float
    lesion_fraction: float
    background_accuracy: float
    relations: int
    contradictions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The check as JSON takes it, with None for NaN."""
        return {**jsonable(asdict(self)), "contradictions": list(self.contradictions)}


def check_published(
    rows: Sequence[PublishedRow], *, decimals: int | None = None
) -> tuple[RowCheck, ...]:
    """Check the arithmetic of a table whose figures are pooled over all pixels.

    Pooled counts tie Dice to IoU and to precision and recall. With the accuracy they also give the
    fraction of lesion pixels, which is the same for all rows of one test set. Means over images
    obey neither, so a contradiction means: not pooled, not one test set, or wrong. Rounding of the
    figures is taken into account.

    Args:
        rows: The table.
        decimals: Number of decimals of its figures (default: the maximum in the table).
    """
    places = _decimals(rows) if decimals is None else decimals
    known = [fraction for row in rows if math.isfinite(fraction := lesion_fraction(row))]
    middle = median(known) if known else math.nan
    return tuple(_check(row, middle, places) for row in rows)


def _decimals(rows: Sequence[PublishedRow]) -> int:
    figures = (getattr(row, name) for row in rows for name in FIGURES)
    places = (-int(Decimal(str(x)).as_tuple().exponent) for x in figures if math.isfinite(x))
    return min(max(places, default=MAX_DECIMALS), MAX_DECIMALS)


def lesion_fraction(row: PublishedRow) -> float:
    """The fraction of lesion pixels that a row implies; NaN where its figures do not determine it.

    With the lesion fraction s: true positives R s, false positives R s (1 - P) / P, false negatives
    (1 - R) s; the last two add up to 1 - accuracy. Above 1 where no counts give the three figures.
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


def _dice_of_precision_recall(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else math.nan


def _check(row: PublishedRow, middle: float, decimals: int) -> RowCheck:
    half = 0.5 * 10.0**-decimals
    pairs, found = _overlaps(row, half, decimals)
    fraction = lesion_fraction(row)
    low, high = _fraction_range(row, half)
    if row.recall * low > row.accuracy + half + TOLERANCE:
        found.append(
            "accuracy, precision and recall contradict each other: they imply "
            f"{100 * fraction:.1f} % lesion"
        )
    elif low > middle * FRACTION_FACTOR or high < middle / FRACTION_FACTOR:
        found.append(f"implies {100 * fraction:.1f} % lesion, the others {100 * middle:.1f} %")
    return RowCheck(
        row.model,
        dice_from_iou=_dice_of_iou(row.iou),
        dice_from_precision_recall=_dice_of_precision_recall(row.precision, row.recall),
        lesion_fraction=fraction,
        background_accuracy=1 - fraction,
        relations=pairs + math.isfinite(fraction),
        contradictions=tuple(found),
    )


def _fraction_range(row: PublishedRow, half: float) -> tuple[float, float]:
    """Min and max lesion fraction that the rounding allows."""
    corners = [
        _wrong(max(row.precision + a, 1e-12), row.recall + b)
        for a, b in product((-half, half), repeat=2)
    ]
    smallest, largest = min(corners), max(corners)
    wrong = 1 - row.accuracy
    low = max(wrong - half, 0.0) / largest
    return low, (wrong + half) / smallest if smallest > 0 else math.inf


def _overlaps(row: PublishedRow, half: float, decimals: int) -> tuple[int, list[str]]:
    """The number of stated pairs of Dice, IoU, and precision with recall; the contradictions."""
    ranges = {
        "Dice": [max(row.dice + d, 0.0) for d in (-half, half)],
        "IoU": [_dice_of_iou(max(row.iou + d, 0.0)) for d in (-half, half)],
        PRECISION_RECALL: [
            _dice_of_precision_recall(max(row.precision + d, 0.0), max(row.recall + d, 0.0))
            for d in (-half, half)
        ],
    }
    values = {"Dice": row.dice, "IoU": _dice_of_iou(row.iou)}
    values[PRECISION_RECALL] = _dice_of_precision_recall(row.precision, row.recall)
    known = [name for name, value in values.items() if math.isfinite(value)]
    pairs = list(combinations(known, 2))
    contradicting = [
        (a, b)
        for a, b in pairs
        if ranges[a][1] < ranges[b][0] - TOLERANCE or ranges[b][1] < ranges[a][0] - TOLERANCE
    ]
    if len(contradicting) == 2:  # both others contradict one
        (odd,) = set(contradicting[0]) & set(contradicting[1])
        contradicting = [(odd, ", and ".join(name for name in known if name != odd) + ",")]

    def text(one: str, others: str) -> str:
        source = next(name for name in known if name in others and name != one)
        in_iou = one == "IoU"
        mine, theirs = (_iou_of_dice(x) if in_iou else x for x in (values[one], values[source]))
        what = f"Dice from {one}" if one == PRECISION_RECALL else one
        verb = "give" if others.endswith(",") else "gives"
        return f"{what} {mine:.{decimals}f}, but {others} {verb} {theirs:.{decimals}f}"

    return len(pairs), [text(one, others) for one, others in contradicting]


def check_text(rows: Sequence[PublishedRow], checks: Sequence[RowCheck]) -> str:
    """The check as Markdown."""
    head = ["model", "Dice", "from IoU", "from precision and recall"]
    head += ["accuracy", "all background", "lesion pixels"]
    lines = [
        [
            row.model,
            *(number_text(x, 4) for x in (row.dice, check.dice_from_iou)),
            number_text(check.dice_from_precision_recall, 4),
            *(number_text(x, 4) for x in (row.accuracy, check.background_accuracy)),
            number_text(check.lesion_fraction, 4),
        ]
        for row, check in zip(rows, checks, strict=True)
    ]
    contradictions = [f"* {check.model}: {why}" for check in checks for why in check.contradictions]
    result = "The figures agree with each other."
    if not any(check.relations for check in checks):
        result = (
            "Nothing to check: no row states two related figures (Dice, IoU, precision with "
            "recall, or accuracy, precision and recall)."
        )
    elif contradictions:
        result = "\n".join(contradictions)
    return f"{markdown_table(head, lines)}\n\n{result}"
