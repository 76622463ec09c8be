"""The networks of a plan as the rows of a table, in the order of the paper's Table 2."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.experiments.plan import PlannedRun
from suraksha.experiments.report import RESAMPLES
from suraksha.experiments.results import FinishedRun
from suraksha.metrics.bootstrap import Estimate, Resampler, estimate
from suraksha.metrics.overlap import score_counts
from suraksha.paper.published import TABLE_2, PublishedRow

PAPER, CLEAN = "paper", "clean"
# name in the zoo -> row of the paper's Table 2, or label
LABELS = {
    "unet": "UNet",
    "unet++": "UNet++",
    "segnet": "SegNet",
    "refinenet": "RefineNet",
    "fcn-8s": "FCN",
    "attention-unet": "Attention U-Net",
    "segresnet": "SegResNet",
    "swin-unetr": "Swin UNETR",
}
SURAKSHA = "suraksha"
# labels of the paper's network by input size, where a plan has three; C3 is the proposed one
SURAKSHA_ROWS = ("SURAKSHA C1", "SURAKSHA C2", "SURAKSHA C3")
PUBLISHED: Mapping[str, PublishedRow] = {row.model: row for row in TABLE_2}
# image name -> (group of near-duplicates, value of a metric)
ImageValues = Mapping[str, tuple[str, float]]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ComparedModel:
    """A network with its options, input size and training, and its runs.

    Args:
        label: Its name in tables.
        runs: Its finished runs, by protocol.
        planned: The number of its runs in the plan, by protocol.
    """

    label: str
    runs: Mapping[str, tuple[FinishedRun, ...]]
    planned: Mapping[str, int]

    @property
    def first(self) -> FinishedRun:
        """One of its runs."""
        return next(iter(self.runs.values()))[0]

    @property
    def published(self) -> PublishedRow | None:
        """Its row in the paper's Table 2; None for other networks."""
        return PUBLISHED.get(self.label)

    def mean(self, protocol: str, figure: Callable[[FinishedRun], float]) -> float:
        """Mean of a figure over the runs of a protocol; NaN where there are none."""
        found = [figure(run) for run in self.runs.get(protocol, ())]
        return float(np.mean(found)) if found else math.nan

    def seconds(self, protocol: str) -> float:
        """Mean duration of the training in seconds."""
        return self.mean(protocol, lambda run: run.native.seconds)

    def pooled(self, protocol: str, key: str) -> float:
        """Mean of `pooled_metric` over the runs of a protocol."""
        return self.mean(
            protocol, lambda run: pooled_metric(run, run.planned.config.model.name, key=key)
        )


def compared_models(
    planned: Sequence[PlannedRun], finished: Sequence[FinishedRun]
) -> list[ComparedModel]:
    """The networks of finished runs: those of Table 2 in its order, then the others as planned.

    A network's label depends on the plan alone, not on which runs are finished.

    Args:
        planned: The plan's runs of one recipe.
        finished: Those that are finished.
    """
    groups: dict[str, list[PlannedRun]] = defaultdict(list)
    for one in planned:
        groups[_identity(one)].append(one)
    labels = dict(zip(groups, _labels([members[0] for members in groups.values()]), strict=True))
    runs: dict[str, list[FinishedRun]] = defaultdict(list)
    for run in finished:
        runs[_identity(run.planned)].append(run)
    found = []
    for key, members in runs.items():
        protocols = [one.config.data.protocol for one in groups[key]]
        counts = {name: protocols.count(name) for name in protocols}
        found.append(ComparedModel(labels[key], _by_protocol(members), counts))
    places = {label: place for place, label in enumerate(PUBLISHED)}
    return sorted(found, key=lambda model: places.get(model.label, len(places)))


def proposed_model(models: Sequence[ComparedModel]) -> ComparedModel | None:
    """SURAKSHA at its largest input size, with which the others are compared; None without it."""
    ours = [one for one in models if one.first.planned.config.model.name == SURAKSHA]
    return max(ours, key=lambda one: one.first.planned.config.data.size, default=None)


def _traits(planned: PlannedRun) -> dict[str, Any]:
    """The settings of a run except for its split and seed: ``optim.epochs``, ..."""
    left_out = ("data.protocol", "data.split")
    return {
        f"{table}.{key}": value
        for table, values in planned.config.to_dict().items()
        if isinstance(values, dict) and table != "train"
        for key, value in values.items()
        if f"{table}.{key}" not in left_out
    }


def _identity(planned: PlannedRun) -> str:
    return json.dumps(_traits(planned), sort_keys=True)


def _labels(planned: Sequence[PlannedRun]) -> list[str]:
    """A unique label for each: short, with input size, options and other differences as needed."""
    models = [(one.config.model.name, one.config.data.size) for one in planned]
    sizes = sorted({size for name, size in models if name == SURAKSHA})
    three = len(sizes) == len(SURAKSHA_ROWS) == sum(name == SURAKSHA for name, _ in models)

    def short(name: str, size: int) -> str:
        if name == SURAKSHA:
            return SURAKSHA_ROWS[sizes.index(size)] if three else "SURAKSHA"
        return LABELS.get(name, name)

    found = [short(name, size) for name, size in models]
    found = _extend_repeated(found, [f" {size} px" for _, size in models])
    found = _extend_repeated(found, [_listed(one.config.model.options) for one in planned])
    return _extend_repeated(found, _differences(found, [_traits(one) for one in planned]))


def _listed(settings: Mapping[str, Any]) -> str:
    return "".join(f", {key} {value}" for key, value in settings.items())


def _extend_repeated(labels: Sequence[str], suffixes: Sequence[str]) -> list[str]:
    """The labels, with a suffix where a label occurs more than once."""
    repeated = {label for label in labels if labels.count(label) > 1}
    return [a + b if a in repeated else a for a, b in zip(labels, suffixes, strict=True)]


def _differences(labels: Sequence[str], traits: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings of each in which it differs from others with the same label."""
    found = []
    for label, mine in zip(labels, traits, strict=True):
        peers = [other for name, other in zip(labels, traits, strict=True) if name == label]
        differing = {key: mine[key] for key in mine if any(p[key] != mine[key] for p in peers)}
        found.append(_listed({key.rpartition(".")[2]: v for key, v in differing.items()}))
    return found


def _by_protocol(runs: Sequence[FinishedRun]) -> dict[str, tuple[FinishedRun, ...]]:
    protocols: dict[str, list[FinishedRun]] = defaultdict(list)
    for run in runs:
        protocols[run.planned.config.data.protocol].append(run)
    return {protocol: tuple(members) for protocol, members in protocols.items()}


def pooled_metric(run: FinishedRun, model: str, *, key: str) -> float:
    """A pooled metric of the lesion images at a run's input size; NaN where there is none.

    Args:
        run: The run.
        model: Its network's name, or a trivial predictor.
        key: A metric of `suraksha.metrics.overlap.OVERLAP`.
    """
    summary = run.on_grid.summary(model, "lesion")
    value = None if summary is None else summary.pooled[key].value
    return math.nan if value is None else value


def pooled_draws(models: Sequence[Sequence[FinishedRun]], *, key: str) -> list[Floats]:
    """Bootstrap samples of a pooled metric of several models on the same images.

    Per split, the groups of near-duplicates of the images that all runs have in common are drawn
    with replacement, the same for all models. A model's value is the mean over its runs.

    Args:
        models: The runs of each model.
        key: A metric of `suraksha.metrics.overlap.OVERLAP`.

    Returns:
        For each model (1 + resamples,): the value of the images themselves, then of the resamples.
        Empty arrays where the models have no split in common.
    """
    splits = [{run.planned.config.data.split for run in runs} for runs in models]
    found: list[list[Floats]] = [[] for _ in models]
    for split in sorted(set.intersection(*splits)):
        chosen = [[r for r in runs if r.planned.config.data.split == split] for runs in models]
        scores = [
            [{s.name: s for s in run.lesion_scores(grid=True)} for run in runs] for runs in chosen
        ]
        names = sorted(set.intersection(*(set(one) for runs in scores for one in runs)))
        if not names:
            continue
        groups = [scores[0][0][name].group for name in names]
        resampler = Resampler.of(groups, seed=split, resamples=RESAMPLES)
        for place, runs_scores in enumerate(scores):
            values = []
            for one in runs_scores:
                counts = [one[name].counts for name in names]
                table = np.array([(c.tp, c.fp, c.fn, c.tn) for c in counts], dtype=np.float64)
                values.append(score_counts(resampler.totals(table))[key])
            found[place].append(np.mean(values, axis=0))
    return [np.mean(draws, axis=0) if draws else np.empty(0) for draws in found]


def estimate_draws(draws: Floats) -> Estimate:
    """The estimate of bootstrap samples of which the first is the value itself."""
    if draws.size == 0:
        return Estimate(math.nan, math.nan, math.nan)
    return estimate(float(draws[0]), draws[1:])


def metric_by_image(
    runs: Sequence[FinishedRun], *, key: str = "dice", part: str = "lesion"
) -> ImageValues:
    """A metric of each lesion image at its own size: the mean over the runs that tested on it.

    Args:
        runs: Of one network and protocol.
        key: A metric of `suraksha.metrics.image.PER_IMAGE`.
        part: ``lesion`` or ``consistent``.
    """
    values: dict[str, list[float]] = defaultdict(list)
    groups: dict[str, str] = {}
    for run in runs:
        for score in run.lesion_scores(part):
            values[score.name].append(getattr(score, key))
            groups[score.name] = score.group
    return {name: (groups[name], float(np.mean(found))) for name, found in values.items()}


def mean_with_interval(images: ImageValues) -> Estimate:
    """Mean over images with its 95 % interval by bootstrap over groups; NaN without images."""
    if not images:
        return Estimate(math.nan, math.nan, math.nan)
    groups, values = zip(*images.values(), strict=True)
    resampler = Resampler.of(groups, seed=0, resamples=RESAMPLES)
    return estimate_draws(resampler.means(np.array(values)))


def differences_by_image(first: ImageValues, second: ImageValues) -> ImageValues:
    """First minus second, of the images that both have."""
    return {
        name: (group, value - second[name][1])
        for name, (group, value) in first.items()
        if name in second
    }


def unpaired_difference(first: ImageValues, second: ImageValues) -> Estimate:
    """The mean of the first minus the mean of the second, of different images.

    A group with images in both is drawn for both.
    """
    if not first or not second:
        return Estimate(math.nan, math.nan, math.nan)
    both = [*first.values(), *second.values()]
    values = np.array([value for _, value in both])
    in_first = np.arange(len(both)) < len(first)
    resampler = Resampler.of([group for group, _ in both], seed=0, resamples=RESAMPLES)
    means = [resampler.means(np.where(part, values, np.nan)) for part in (in_first, ~in_first)]
    return estimate_draws(means[0] - means[1])


def paired_dice_difference(first: Sequence[FinishedRun], second: Sequence[FinishedRun]) -> Estimate:
    """Dice of the first minus Dice of the second, paired by image, over the images of both.

    The Dice of an image that several runs tested on is its mean.
    """
    return mean_with_interval(differences_by_image(metric_by_image(first), metric_by_image(second)))
