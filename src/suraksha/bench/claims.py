"""What the paper claims of SURAKSHA C3 against its five baselines, held against our runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from suraksha.bench.contenders import PATCHES, PUBLISHED, Contender, gap, own_pooled, reference
from suraksha.bench.formats import Cell, Number, Table

PAPER = "paper"
METRICS = (("accuracy", "accuracy"), ("IoU", "iou"), ("Dice", "dice"), ("seconds", "seconds"))
# published as slower than C3, or as faster: the two halves of what the paper says of time
SLOWER, FASTER = ("UNet",), ("UNet++", "SegNet", "RefineNet", "FCN")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a row of Table 2 says, by metric, as published or as found here."""

    accuracy: float
    iou: float
    dice: float
    seconds: float


def figures_of(one: Contender) -> Figures:
    """Ours, means over the runs of protocol ``paper``."""
    accuracy, iou, dice = (own_pooled(one, PAPER, key=key) for key in ("accuracy", "iou", "dice"))
    return Figures(accuracy, iou, dice, one.mean(PAPER, lambda run: float(run.native["seconds"])))


def claims_table(rows: Sequence[Contender], recipe: str) -> Table:
    """Ratios of C3 to each baseline beside the paper's, and a sentence for each claim.

    Args:
        rows: The networks, of which those with runs of protocol ``paper`` count.
        recipe: For the title.
    """
    rows = [one for one in rows if PAPER in one.runs]
    c3 = reference(rows)
    baselines = [one for one in rows if one.published and one.label not in PATCHES]
    if c3 is None or not baselines:
        return Table(f"The paper's claims, {recipe}", (), (), ("SURAKSHA or the baselines lack.",))
    ours = {one.label: figures_of(one) for one in rows}
    lines = [_ratios(c3, other, ours) for other in baselines]
    heads = (f"{title}, {who}" for title, _ in METRICS for who in ("ours", "published"))
    return Table(
        f"The paper's claims, {recipe}: {c3.label} divided by each baseline",
        ("", *heads),
        tuple(lines),
        tuple(_sentences(c3, baselines, rows, ours)),
    )


def _ratios(c3: Contender, other: Contender, ours: Mapping[str, Figures]) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for _, key in METRICS:
        mine, theirs = (getattr(ours[one.label], key) for one in (c3, other))
        here = mine / theirs if theirs else math.nan
        told = getattr(PUBLISHED[PATCHES[-1]], key) / getattr(PUBLISHED[other.label], key)
        cells += [Number(here), Number(told)]
    return (other.label, *cells)


def _sentences(
    c3: Contender,
    baselines: Sequence[Contender],
    rows: Sequence[Contender],
    ours: Mapping[str, Figures],
) -> list[str]:
    said = [
        _best_sentence(c3, baselines, ours, title=title, key=key)
        for title, key in METRICS
        if key != "seconds"
    ]
    said.append(_apart_sentence(c3, baselines))
    said += _time_sentences(c3, baselines, lambda one: ours[one.label].seconds)
    patches = [ours[label].accuracy for label in PATCHES if label in ours]
    if len(patches) == len(PATCHES):
        grows = patches == sorted(patches)
        accuracies = ", ".join(f"{x:.4f}" for x in patches)
        said.append(
            f"Accuracy from C1 over C2 to C3: {_verdict(grows)} that greater patches are better "
            f"({accuracies}; published .8992, .9183, .9301)."
        )
    return said


def _verdict(holds: bool) -> str:
    return "it holds" if holds else "it does not hold"


def _best_sentence(
    c3: Contender,
    baselines: Sequence[Contender],
    ours: Mapping[str, Figures],
    *,
    title: str,
    key: str,
) -> str:
    best = max(baselines, key=lambda one: getattr(ours[one.label], key))
    mine, theirs = (getattr(ours[one.label], key) for one in (c3, best))
    return (
        f"The highest {title} of all is C3's: {_verdict(mine > theirs)} here ({mine:.4f}; the best "
        f"baseline, {best.label}, {theirs:.4f})."
    )


def _apart_sentence(c3: Contender, baselines: Sequence[Contender]) -> str:
    """Which baselines the pictures tell C3 apart from."""
    gaps = {one.label: gap(c3.runs[PAPER], one.runs[PAPER]) for one in baselines}
    better = [label for label, found in gaps.items() if found.low > 0]
    worse = [label for label, found in gaps.items() if found.high < 0]
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
    return f"By Dice per picture, 95 % intervals, {c3.label} is {'; '.join(parts)}."


def _time_sentences(
    c3: Contender, baselines: Sequence[Contender], seconds: Callable[[Contender], float]
) -> list[str]:
    said = []
    for claim, labels, sign in (("less", SLOWER, 1), ("more", FASTER, -1)):
        known = [one for one in baselines if one.label in labels]
        if not known:
            continue
        holds = [sign * seconds(c3) < sign * seconds(one) for one in known]
        times = ", ".join(f"{one.label} {seconds(one):.0f} s" for one in known)
        verdict = _verdict(all(holds))
        if any(holds) and not all(holds):
            verdict = f"it holds for {sum(holds)} of {len(holds)}"
        said.append(
            f"C3 takes {claim} time to train than {', '.join(one.label for one in known)}: "
            f"{verdict} here ({seconds(c3):.0f} s; {times})."
        )
    return said
