"""What the paper claims of SURAKSHA C3 against its five baselines, held against our runs.

Source: Keshav Kumar et al. 2025, SURAKSHA: abstract, Table 2, figures 4 and 5, conclusions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suraksha.experiments.formats import Cell, Number, Table
from suraksha.experiments.results import FinishedRun, Results
from suraksha.metrics.bootstrap import Estimate
from suraksha.paper.models_compared import (
    SURAKSHA_ROWS,
    PUBLISHED,
    ComparedModel,
    paired_dice_difference,
    pooled_metric,
    mean_pooled_metric,
    proposed_model,
)

PAPER = "paper"
METRICS = (("accuracy", "accuracy"), ("IoU", "iou"), ("Dice", "dice"), ("seconds", "seconds"))
# what the paper says of time: C3 needs less than the first, more than the second
SLOWER, FASTER = ("UNet", "UNet++"), ("SegNet", "RefineNet", "FCN")
OVERFIT = ("RefineNet", "FCN")
# the validation accuracy that the paper names as the best before it, and its own first three
BEFORE, FIRST_THREE = 0.9222, ("SURAKSHA C3", "SegNet", "SURAKSHA C2")


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a network, means over its runs of protocol ``paper``.

    Args:
        accuracy: Of the test pixels, 0..1.
        iou: Pooled, 0..1.
        dice: Pooled, 0..1.
        seconds: To train.
        gmacs: Multiply-accumulates an image, 1e9.
        start: Training accuracy of the first epoch, 0..1.
        training: Training accuracy of the last epoch, 0..1.
    """

    accuracy: float
    iou: float
    dice: float
    seconds: float
    gmacs: float
    start: float
    training: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sentences are made from.

    Args:
        c3: The label of SURAKSHA at its greatest size.
        baselines: Labels of the paper's baselines that were run.
        patches: Labels of SURAKSHA at its other sizes; empty unless all were run.
        figures: By label.
        gaps: By label, Dice per image of C3 minus this one's.
        background: The accuracy of a mask without a pixel.
    """

    c3: str
    baselines: tuple[str, ...]
    patches: tuple[str, ...]
    figures: Mapping[str, Figures]
    gaps: Mapping[str, Estimate]
    background: float


def claims_table(rows: Sequence[ComparedModel], results: Results, *, recipe: str) -> Table | None:
    """Ratios of C3 to each baseline beside the paper's, and a sentence for each claim.

    None where SURAKSHA or all baselines were left out.

    Args:
        rows: The networks, of which those with runs of protocol ``paper`` count.
        results: For the training curves.
        recipe: For the title.
    """
    rows = [one for one in rows if PAPER in one.runs]
    c3 = proposed_model(rows)
    baselines = [one for one in rows if one.published and one.label not in SURAKSHA_ROWS]
    if c3 is None or not baselines:
        return None
    patches = [one for one in rows if one.label in SURAKSHA_ROWS[:-1]]
    if c3.label != SURAKSHA_ROWS[-1] or len(patches) < len(SURAKSHA_ROWS) - 1:
        patches = []
    shown = [c3, *baselines, *patches]
    evidence = Evidence(
        c3.label,
        tuple(one.label for one in baselines),
        tuple(one.label for one in patches),
        {one.label: _figures(one, results) for one in shown},
        {one.label: paired_dice_difference(c3.runs[PAPER], one.runs[PAPER]) for one in shown[1:]},
        c3.mean(PAPER, lambda run: pooled_metric(run, "all background", key="accuracy")),
    )
    heads = (f"{title}, {who}" for title, _ in METRICS for who in ("ours", "published"))
    return Table(
        f"The paper's claims, {recipe}: {c3.label} divided by each baseline",
        ("", *heads),
        tuple(_ratios(evidence, label) for label in evidence.baselines),
        tuple(sentences(evidence)),
    )


def _figures(one: ComparedModel, results: Results) -> Figures:
    accuracy, iou, dice = (
        mean_pooled_metric(one, PAPER, key=key) for key in ("accuracy", "iou", "dice")
    )

    def trained(run: FinishedRun, epoch: int) -> float:
        return float(results.curves[run.planned.name][epoch]["train_accuracy"])

    start = one.mean(PAPER, lambda run: trained(run, 0))
    training = one.mean(PAPER, lambda run: trained(run, -1))
    seconds = one.mean(PAPER, lambda run: float(run.native.seconds))
    return Figures(accuracy, iou, dice, seconds, one.macs / 1e9, start, training)


def _ratios(found: Evidence, other: str) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for _, key in METRICS:
        mine, theirs = (getattr(found.figures[label], key) for label in (found.c3, other))
        here = mine / theirs if theirs else math.nan
        told = getattr(PUBLISHED[SURAKSHA_ROWS[-1]], key) / getattr(PUBLISHED[other], key)
        cells += [Number(here), Number(told)]
    return (other, *cells)


def sentences(found: Evidence) -> list[str]:
    """A plain sentence for each claim of the paper: whether it holds in these runs."""
    said = [_best(found, title=title, key=key) for title, key in METRICS if key != "seconds"]
    said += [_improvement(found), _before(found), _apart(found)]
    if found.patches:
        said += [_first_three(found), _sizes(found)]
    said += [*_times(found), *_compute(found), _start(found), *_overfit(found)]
    said.append(
        "The paper gives no widths, epochs or split, so times and MACs are those of the widths "
        "chosen here."
    )
    return said


def _verdict(holds: bool) -> str:
    return "it holds" if holds else "it does not hold"


def _best(found: Evidence, *, title: str, key: str) -> str:
    others = (*found.baselines, *found.patches)
    best = max(others, key=lambda label: getattr(found.figures[label], key))
    mine, theirs = (getattr(found.figures[label], key) for label in (found.c3, best))
    return (
        f"The highest {title} of all is {found.c3}'s: {_verdict(mine > theirs)} here ({mine:.4f}; "
        f"the best other, {best}, {theirs:.4f})."
    )


def _improvement(found: Evidence) -> str:
    mine = found.figures[found.c3].accuracy
    gains = [100 * (mine / found.figures[label].accuracy - 1) for label in found.baselines]
    return (
        f"Its accuracy is 0.139 % to 11.083 % above the baselines': {_verdict(min(gains) > 0)} "
        f"that it is above all of them ({min(gains):+.3f} % to {max(gains):+.3f} %)."
    )


def _before(found: Evidence) -> str:
    mine = found.figures[found.c3].accuracy
    return (
        f"Its accuracy is above {100 * BEFORE:.2f} %, the best before it: "
        f"{_verdict(mine > BEFORE)} here ({100 * mine:.2f} %); a mask without a pixel has "
        f"{100 * found.background:.2f} %."
    )


def _apart(found: Evidence) -> str:
    """Which baselines the images tell C3 apart from."""
    gaps = {label: found.gaps[label] for label in found.baselines}
    better = [label for label, one in gaps.items() if one.low > 0]
    worse = [label for label, one in gaps.items() if one.high < 0]
    level = [label for label in gaps if label not in better + worse]
    parts = [
        f"{what} {', '.join(labels)}"
        for what, labels in (
            ("better than", better),
            ("worse than", worse),
            ("not told apart from", level),
        )
        if labels
    ]
    return f"By Dice per image, 95 % intervals, {found.c3} is {'; '.join(parts)}."


def _first_three(found: Evidence) -> str:
    ranked = sorted(found.figures, key=lambda label: -found.figures[label].accuracy)[:3]
    return (
        f"The first three by accuracy are {', '.join(FIRST_THREE)}: "
        f"{_verdict(tuple(ranked) == FIRST_THREE)} here ({', '.join(ranked)})."
    )


def _sizes(found: Evidence) -> str:
    gaps = {label: found.gaps[label] for label in found.patches}
    told = ", ".join(
        f"{label} {-one.value:+.3f} ({-one.high:+.3f} to {-one.low:+.3f})"
        for label, one in gaps.items()
    )
    level = all(one.low <= 0 for one in gaps.values())
    return (
        f"Smaller patches do not compromise it: {_verdict(level)} here, by Dice per image "
        f"against {found.c3}: {told}."
    )


def _compared(found: Evidence, labels: Sequence[str], key: str) -> tuple[str, list[bool]]:
    """C3's figure against those of the labels that were run: as text, and where it is less."""
    mine = getattr(found.figures[found.c3], key)
    known = {label: getattr(found.figures[label], key) for label in labels}
    unit, form = ("s", ".0f") if key == "seconds" else ("G", ".2f")
    text = ", ".join(f"{label} {value:{form}} {unit}" for label, value in known.items())
    return f"{mine:{form}} {unit}; {text}", [mine < value for value in known.values()]


def _of_several(holds: Sequence[bool]) -> str:
    if any(holds) and not all(holds):
        return f"it holds for {sum(holds)} of {len(holds)}"
    return _verdict(all(holds))


def _times(found: Evidence) -> list[str]:
    said = []
    for claim, labels, less in (("less", SLOWER, True), ("more", FASTER, False)):
        known = [label for label in labels if label in found.baselines]
        if not known:
            continue
        text, lower = _compared(found, known, "seconds")
        verdict = _of_several([one is less for one in lower])
        own = " (the paper's own table has UNet++ faster)" if "UNet++" in known else ""
        said.append(
            f"It takes {claim} time to train than {', '.join(known)}{own}: {verdict} here ({text})."
        )
    return said


def _compute(found: Evidence) -> list[str]:
    known = [label for label in SLOWER if label in found.baselines]
    if not known:
        return []
    text, lower = _compared(found, known, "gmacs")
    return [
        f"It is computationally cheaper than {', '.join(known)}: {_of_several(lower)} here, by "
        f"multiply-accumulates ({text})."
    ]


def _start(found: Evidence) -> str:
    ours = {label: found.figures[label].start for label in (found.c3, *found.patches)}
    theirs = {label: found.figures[label].start for label in found.baselines}
    holds = [max(ours.values()) < value for value in theirs.values()]
    text = ", ".join(f"{label} {value:.3f}" for label, value in {**ours, **theirs}.items())
    return (
        f"It starts from a lower training accuracy than the baselines: {_of_several(holds)} here "
        f"(mean of the first epoch: {text})."
    )


def _overfit(found: Evidence) -> list[str]:
    known = [label for label in OVERFIT if label in found.baselines]
    if not known:
        return []
    drops = {
        label: found.figures[label].training - found.figures[label].accuracy
        for label in (found.c3, *known)
    }
    holds = [drops[label] > max(drops[found.c3], 0.0) for label in known]
    text = ", ".join(f"{label} {value:+.3f}" for label, value in drops.items())
    return [
        f"{' and '.join(known)} overfit more than it: {_of_several(holds)} here, by training minus "
        f"validation accuracy ({text})."
    ]
