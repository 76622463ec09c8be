"""The claims of the paper for SURAKSHA C3, each with the figure that decides it.

Source: Keshav Kumar et al. 2025, SURAKSHA: abstract, Table 2, figures 4 and 5, conclusions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from suraksha.experiments.formats import Cell, Number, Table
from suraksha.experiments.results import Results
from suraksha.metrics.bootstrap import Estimate
from suraksha.paper.models_compared import (
    PAPER,
    PUBLISHED,
    SURAKSHA_ROWS,
    ComparedModel,
    estimate_draws,
    paired_dice_difference,
    pooled_draws,
    pooled_metric,
    proposed_model,
)

C3 = PUBLISHED[SURAKSHA_ROWS[-1]]
METRICS = (("accuracy", "accuracy"), ("IoU", "iou"), ("Dice", "dice"))
# the paper's statements on the time to train: C3 is faster than the first, slower than the second
SLOWER, FASTER = ("UNet", "UNet++"), ("SegNet", "RefineNet", "FCN")
OVERFITTED = ("RefineNet", "FCN")
# the best validation accuracy before it, as the paper states it, and its own first three
PREVIOUS_BEST, FIRST_THREE = 0.9222, ("SURAKSHA C3", "SegNet", "SURAKSHA C2")
YES, NO, UNDECIDED = "yes", "no", "undecided"
HEAD = ("claim", "quantity", "published", "ours", "95 % low", "95 % high", "holds")


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper and the figure that decides it.

    Args:
        claim: The claim.
        quantity: The quantity that decides it, with its unit.
        published: Its value by the paper's own figures; NaN where the paper gives none.
        ours: Its value in our runs; the interval is NaN where the quantity has none.
        holds: ``yes``, ``no``, or ``undecided`` where the interval includes the limit.
        digits: Decimals to show.
        signed: Whether a plus is shown, for differences.
    """

    claim: str
    quantity: str
    published: float
    ours: Estimate
    holds: str
    digits: int = 4
    signed: bool = False

    def row(self) -> tuple[Cell, ...]:
        """The claim as a row under `HEAD`."""
        published, value, low, high = (
            Number(x, digits=self.digits, signed=self.signed)
            for x in (self.published, self.ours.value, self.ours.low, self.ours.high)
        )
        return (self.claim, self.quantity, published, value, low, high, self.holds)


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """The runs of protocol ``paper`` that the claims are about.

    Args:
        proposed: SURAKSHA at its largest input size.
        baselines: The paper's baselines that were run.
        smaller: SURAKSHA at its other input sizes; empty unless all were run.
        results: For the training curves.
    """

    proposed: ComparedModel
    baselines: tuple[ComparedModel, ...]
    smaller: tuple[ComparedModel, ...]
    results: Results

    @property
    def others(self) -> tuple[ComparedModel, ...]:
        """All but the proposed one."""
        return (*self.baselines, *self.smaller)

    def named(self, labels: Sequence[str]) -> list[ComparedModel]:
        """The baselines with these labels that were run."""
        return [one for one in self.baselines if one.label in labels]

    def training_accuracy(self, one: ComparedModel, epoch: int) -> float:
        """Mean training accuracy of an epoch (0 the first, -1 the last), 0..1."""
        curves = self.results.curves
        return one.mean(PAPER, lambda run: curves[run.planned.name][epoch]["train_accuracy"])


def compared_runs(models: Sequence[ComparedModel], results: Results) -> ComparedRuns | None:
    """The runs that the claims are about; None without SURAKSHA or without a baseline."""
    models = [one for one in models if PAPER in one.runs]
    proposed = proposed_model(models)
    baselines = [one for one in models if one.published and one.label not in SURAKSHA_ROWS]
    if proposed is None or not baselines:
        return None
    smaller = [one for one in models if one.label in SURAKSHA_ROWS[:-1]]
    if proposed.label != SURAKSHA_ROWS[-1] or len(smaller) < len(SURAKSHA_ROWS) - 1:
        smaller = []
    return ComparedRuns(proposed, tuple(baselines), tuple(smaller), results)


def comparison_table(runs: ComparedRuns, *, recipe: str) -> Table:
    """The proposed network against each baseline, our figures beside the paper's.

    Args:
        runs: The runs.
        recipe: For the title.
    """
    rows = []
    for other in runs.baselines:
        theirs = PUBLISHED[other.label]
        cells: list[Cell] = [other.label]
        for _, key in METRICS:
            ours = _difference(runs.proposed, other, key)
            published = getattr(C3, key) - getattr(theirs, key)
            cells += [Number.of(ours, digits=4, signed=True), _signed(published)]
        seconds = runs.proposed.seconds(PAPER) / other.seconds(PAPER)
        macs = runs.proposed.first.native.macs / other.first.native.macs
        cells += [Number(seconds), Number(C3.seconds / theirs.seconds), Number(macs)]
        rows.append(tuple(cells))
    metrics = (
        f"{title}, difference, {source}" for title, _ in METRICS for source in ("ours", "published")
    )
    label = runs.proposed.label
    return Table(
        f"{label} against each baseline, {recipe}",
        ("", *metrics, "seconds, ratio, ours", "seconds, ratio, published", "MACs, ratio, ours"),
        tuple(rows),
        (
            f"Differences are {label} minus baseline, ratios {label} divided by baseline. "
            "Accuracy, IoU and Dice are pooled over all pixels at the input size, with 95 % "
            "intervals by bootstrap over near-duplicate groups, paired by image.",
        ),
    )


def claims_table(runs: ComparedRuns, *, recipe: str) -> Table:
    """Each claim of the paper with the figure that decides it.

    Args:
        runs: The runs.
        recipe: For the title.
    """
    background = runs.proposed.mean(
        PAPER, lambda run: pooled_metric(run, "all background", key="accuracy")
    )
    return Table(
        f"Claims of the paper, {recipe}",
        HEAD,
        tuple(claim.row() for claim in claims(runs)),
        (
            "holds: undecided where the 95 % interval includes the limit (0 for a difference). "
            "Intervals are over the test images; another training moves the figures too. "
            "Quantities without an interval are decided by their value.",
            "A network overfits if its training accuracy is above its validation accuracy.",
            f"The accuracy of a mask without a lesion pixel is {background:.4f} here.",
            "The paper gives no widths, epochs or split, so times and multiply-accumulates are "
            "those of the widths chosen here.",
        ),
    )


def claims(runs: ComparedRuns) -> Iterator[Claim]:
    """The claims that the runs can decide."""
    yield from _accuracy_claims(runs)
    yield from _size_claims(runs)
    yield from _cost_claims(runs)
    yield from _training_claims(runs)


def above(ours: Estimate, limit: float = 0.0) -> str:
    """Whether a figure is above a limit, by its interval, or by its value where it has none."""
    low, high = ((ours.value if math.isnan(x) else x) for x in (ours.low, ours.high))
    if math.isnan(ours.value):
        return UNDECIDED
    if low > limit:
        return YES
    return UNDECIDED if high > limit else NO


def _accuracy_claims(runs: ComparedRuns) -> Iterator[Claim]:
    label = runs.proposed.label
    for title, key in METRICS:
        best = max(runs.others, key=lambda one: one.pooled(PAPER, key))
        published = getattr(C3, key) - max(
            getattr(row, key) for name, row in PUBLISHED.items() if row is not C3
        )
        difference = _difference(runs.proposed, best, key)
        yield Claim(
            f"highest {title} of all networks",
            f"{title}, {label} minus the best other ({best.label})",
            published,
            difference,
            above(difference),
            signed=True,
        )
    gains = {one.label: _relative_gain(runs.proposed, one) for one in runs.baselines}
    for name, choose, published in (("smallest", min, 0.139), ("largest", max, 11.083)):
        baseline = choose(gains, key=lambda label: gains[label].value)
        limit = 0.0 if choose is min else published
        yield Claim(
            f"accuracy above every baseline's, {name} gain {published} %",
            f"relative gain in accuracy over {baseline}, %",
            published,
            gains[baseline],
            above(gains[baseline], limit),
            digits=3,
            signed=True,
        )
    accuracy = estimate_draws(pooled_draws([runs.proposed.runs[PAPER]], key="accuracy")[0])
    yield Claim(
        f"accuracy above the previous best, {PREVIOUS_BEST}",
        f"accuracy of {label}",
        C3.accuracy,
        accuracy,
        above(accuracy, PREVIOUS_BEST),
    )
    for other in runs.baselines:
        dice = paired_dice_difference(runs.proposed.runs[PAPER], other.runs[PAPER])
        yield Claim(
            "better segmentation than each baseline",
            f"Dice per image, {label} minus {other.label}",
            math.nan,
            dice,
            above(dice),
            signed=True,
        )


def _size_claims(runs: ComparedRuns) -> Iterator[Claim]:
    if not runs.smaller:
        return
    accuracy = {one.label: one.pooled(PAPER, "accuracy") for one in (runs.proposed, *runs.others)}
    ranking = sorted(accuracy, key=lambda label: -accuracy[label])
    for place, label in enumerate(FIRST_THREE, start=1):
        if label not in ranking:
            continue
        rank = 1 + ranking.index(label)
        yield Claim(
            f"first three by accuracy: {', '.join(FIRST_THREE)}",
            f"rank of {label} by accuracy",
            float(place),
            Estimate(float(rank), math.nan, math.nan),
            YES if rank == place else NO,
            digits=0,
        )
    for one in runs.smaller:
        dice = paired_dice_difference(one.runs[PAPER], runs.proposed.runs[PAPER])
        yield Claim(
            "smaller input sizes do not reduce the quality",
            f"Dice per image, {one.label} minus {runs.proposed.label}",
            math.nan,
            dice,
            above(dice),
            signed=True,
        )


def _cost_claims(runs: ComparedRuns) -> Iterator[Claim]:
    proposed = runs.proposed
    for claim, labels, sign in (("less", SLOWER, -1.0), ("more", FASTER, 1.0)):
        for other in runs.named(labels):
            ratio = proposed.seconds(PAPER) / other.seconds(PAPER)
            yield Claim(
                f"{claim} time to train than {', '.join(labels)}",
                f"seconds to train, {proposed.label} / {other.label}",
                C3.seconds / PUBLISHED[other.label].seconds,
                Estimate(ratio, math.nan, math.nan),
                YES if sign * (ratio - 1) > 0 else NO,
                digits=3,
            )
    for other in runs.named(SLOWER):
        ratio = proposed.first.native.macs / other.first.native.macs
        yield Claim(
            f"computationally cheaper than {', '.join(SLOWER)}",
            f"multiply-accumulates per image, {proposed.label} / {other.label}",
            math.nan,
            Estimate(ratio, math.nan, math.nan),
            YES if ratio < 1 else NO,
            digits=3,
        )


def _training_claims(runs: ComparedRuns) -> Iterator[Claim]:
    highest = max((runs.proposed, *runs.smaller), key=lambda one: runs.training_accuracy(one, 0))
    for other in runs.baselines:
        difference = runs.training_accuracy(highest, 0) - runs.training_accuracy(other, 0)
        yield Claim(
            "lower training accuracy at the start than the baselines",
            f"training accuracy of epoch 1, {highest.label} minus {other.label}",
            math.nan,
            Estimate(difference, math.nan, math.nan),
            YES if difference < 0 else NO,
            signed=True,
        )

    def overfit(one: ComparedModel) -> float:
        return runs.training_accuracy(one, -1) - one.pooled(PAPER, "accuracy")

    for other in runs.named(OVERFITTED):
        row = PUBLISHED[other.label]
        published = (row.training_accuracy - row.accuracy) - (C3.training_accuracy - C3.accuracy)
        difference = overfit(other) - overfit(runs.proposed)
        yield Claim(
            f"{' and '.join(OVERFITTED)} overfit more",
            f"training minus validation accuracy, {other.label} minus {runs.proposed.label}",
            published,
            Estimate(difference, math.nan, math.nan),
            YES if difference > 0 and overfit(other) > 0 else NO,
            signed=True,
        )


def _signed(value: float) -> Number:
    return Number(value, digits=4, signed=True)


def _difference(first: ComparedModel, second: ComparedModel, key: str) -> Estimate:
    ours, theirs = pooled_draws([first.runs[PAPER], second.runs[PAPER]], key=key)
    return estimate_draws(ours - theirs)


def _relative_gain(first: ComparedModel, second: ComparedModel) -> Estimate:
    """Gain in accuracy in percent of the second's."""
    ours, theirs = pooled_draws([first.runs[PAPER], second.runs[PAPER]], key="accuracy")
    return estimate_draws(100 * (ours / theirs - 1))
