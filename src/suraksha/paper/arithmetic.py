"""A published table against its own arithmetic."""

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

# a fraction of lesion so far from the table's median, as a factor, is another test set
FRACTION_FACTOR = 1.2
# decimals beyond which figures are taken as they are, and what floating point may be off by
MOST_DECIMALS, SLACK = 9, 1e-12
BOTH = "precision with recall"


@dataclass(frozen=True, slots=True)
class RowCheck:
    """What a row's figures imply of each other; NaN where too few are stated.

    Args:
        model: The row's name.
        dice_from_iou: 2 IoU / (1 + IoU).
        dice_from_precision_recall: 2 P R / (P + R).
        lesion_share: The fraction of lesion pixels that accuracy, precision and recall imply.
        background_accuracy: 1 - that share: what a mask without a pixel would score.
        relations: How many pairs of figures could be held against each other.
        contradictions: What does not hold, in words; empty where all agrees.
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
    """Test the arithmetic of a table whose figures are pooled over all pixels.

    Pooled counts tie Dice to IoU and to precision and recall. With the accuracy they also give the
    fraction of lesion pixels, which is one number for all rows of one test set. Means over images
    obey neither, so a contradiction says: not pooled, not one test set, or wrong. Each figure may
    lie anywhere in what its last decimal leaves open.

    Args:
        rows: The table.
        decimals: To how many decimals its shares are rounded (default: the most that one has).
    """
    places = _decimals(rows) if decimals is None else decimals
    known = [fraction for row in rows if math.isfinite(fraction := lesion_fraction(row))]
    middle = median(known) if known else math.nan
    return tuple(_check(row, middle, places) for row in rows)


def _decimals(rows: Sequence[PublishedRow]) -> int:
    shares = (getattr(row, name) for row in rows for name in FIGURES)
    places = (-int(Decimal(str(x)).as_tuple().exponent) for x in shares if math.isfinite(x))
    return min(max(places, default=MOST_DECIMALS), MOST_DECIMALS)


def lesion_fraction(row: PublishedRow) -> float:
    """The fraction of lesion pixels that a row implies; NaN where it cannot be told.

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
    fraction = lesion_fraction(row)
    least, most = _fraction_span(row, half)
    if row.recall * least > row.accuracy + half + SLACK:
        found.append(
            f"accuracy, precision and recall cannot all be so: they need {100 * fraction:.1f} % lesion"
        )
    elif least > middle * FRACTION_FACTOR or most < middle / FRACTION_FACTOR:
        found.append(f"{100 * fraction:.1f} % lesion implied, {100 * middle:.1f} % by the others")
    return RowCheck(
        row.model,
        dice_from_iou=_dice_of_iou(row.iou),
        dice_from_precision_recall=_dice_of_both(row.precision, row.recall),
        lesion_fraction=fraction,
        background_accuracy=1 - fraction,
        relations=pairs + math.isfinite(fraction),
        contradictions=tuple(found),
    )


def _fraction_span(row: PublishedRow, half: float) -> tuple[float, float]:
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
            number_text(check.lesion_fraction, 4),
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
