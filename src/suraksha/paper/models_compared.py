"""The networks of a plan as the rows of a table, in the order of the paper's Table 2."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from suraksha.experiments.plan import Cell
from suraksha.experiments.report import RESAMPLES, Scored
from suraksha.metrics.bootstrap import Estimate, Resampler, estimate
from suraksha.paper.published import TABLE_2, PublishedRow

# network -> its row in the paper's Table 2, or what to call it
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
OURS = "suraksha"
# of the paper's network by size, where a plan has all three; C3 is what the paper puts forward
PATCHES = ("SURAKSHA C1", "SURAKSHA C2", "SURAKSHA C3")
# of images by name: the group and a figure
Images = Mapping[str, tuple[str, float]]
PUBLISHED: Mapping[str, PublishedRow] = {row.model: row for row in TABLE_2}
ORDER = tuple(PUBLISHED)


@dataclass(frozen=True, slots=True, eq=False)
class ComparedModel:
    """A network at a size and with a budget, with its runs.

    Args:
        label: What to call it.
        runs: Its finished runs, by protocol.
        planned: How many runs the plan has of it, by protocol.
    """

    label: str
    runs: Mapping[str, tuple[Scored, ...]]
    planned: Mapping[str, int]

    @property
    def first(self) -> Scored:
        """One of its runs."""
        return next(iter(self.runs.values()))[0]

    @property
    def published(self) -> PublishedRow | None:
        """Its row in the paper's Table 2."""
        return PUBLISHED.get(self.label)

    @property
    def params(self) -> int:
        """Parameters."""
        return int(self.first.native["parameters"])

    @property
    def macs(self) -> int:
        """Multiply-accumulates an image."""
        return int(self.first.native["macs"])

    def mean(self, protocol: str, figure: Callable[[Scored], float]) -> float:
        """Mean of a figure over the runs of a protocol; NaN where there are none."""
        found = [figure(run) for run in self.runs.get(protocol, ())]
        return float(np.mean(found)) if found else math.nan


def compared_models(cells: Sequence[Cell], scored: Sequence[Scored]) -> list[ComparedModel]:
    """The networks of finished runs: those of Table 2 in its order, then the others as they came.

    What a network is called depends on the plan alone, not on how far it is.

    Args:
        cells: The plan's runs of one recipe.
        scored: Those that are finished.
    """
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[_identity(cell)].append(cell)
    labels = dict(zip(groups, _labels([members[0] for members in groups.values()]), strict=True))
    runs: dict[str, list[Scored]] = defaultdict(list)
    for run in scored:
        runs[_identity(run.cell)].append(run)
    found = []
    for key, members in runs.items():
        protocols = [cell.config.data.protocol for cell in groups[key]]
        planned = {name: protocols.count(name) for name in protocols}
        found.append(ComparedModel(labels[key], _by_protocol(members), planned))
    places = {label: place for place, label in enumerate(ORDER)}
    return sorted(found, key=lambda one: places.get(one.label, len(places)))


def _traits(cell: Cell) -> dict[str, Any]:
    """All that a run was trained with, but for its split and its seed: ``optim.epochs``, ..."""
    tables = cell.config.to_dict()
    left_out = ("data.protocol", "data.split")
    return {
        f"{table}.{key}": value
        for table, values in tables.items()
        if isinstance(values, dict) and table != "train"
        for key, value in values.items()
        if f"{table}.{key}" not in left_out
    }


def _identity(cell: Cell) -> str:
    return json.dumps(_traits(cell), sort_keys=True)


def reference(found: Sequence[ComparedModel]) -> ComparedModel | None:
    """SURAKSHA at its greatest size, which the others are compared with."""
    ours = [one for one in found if one.first.cell.config.model.name == OURS]
    return max(ours, key=lambda one: one.first.cell.config.data.size, default=None)


def _labels(cells: Sequence[Cell]) -> list[str]:
    """A label each: short, and with size, options and what else differs where it stands twice."""
    models = [(cell.config.model.name, cell.config.data.size) for cell in cells]
    sizes = sorted({size for name, size in models if name == OURS})
    three = len(sizes) == len(PATCHES) == sum(name == OURS for name, _ in models)

    def short(name: str, size: int) -> str:
        if name == OURS:
            return PATCHES[sizes.index(size)] if three else "SURAKSHA"
        return LABELS.get(name, name)

    found = [short(*model) for model in models]
    found = _told_apart(found, [f" {size} px" for _, size in models])
    options = [_listed(cell.config.model.options) for cell in cells]
    found = _told_apart(found, options)
    return _told_apart(found, _differences(found, [_traits(cell) for cell in cells]))


def _listed(settings: Mapping[str, Any]) -> str:
    return "".join(f", {key} {value}" for key, value in settings.items())


def _told_apart(labels: Sequence[str], more: Sequence[str]) -> list[str]:
    """The labels, and more where one stands twice."""
    twice = {label for label in labels if labels.count(label) > 1}
    return [a + b if a in twice else a for a, b in zip(labels, more, strict=True)]


def _differences(labels: Sequence[str], traits: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each was trained with that others of its label were not."""
    found = []
    for label, mine in zip(labels, traits, strict=True):
        peers = [other for name, other in zip(labels, traits, strict=True) if name == label]
        odd = {key: mine[key] for key in mine if any(peer[key] != mine[key] for peer in peers)}
        found.append(_listed({key.rpartition(".")[2]: value for key, value in odd.items()}))
    return found


def _by_protocol(runs: Sequence[Scored]) -> dict[str, tuple[Scored, ...]]:
    protocols: dict[str, list[Scored]] = defaultdict(list)
    for run in runs:
        protocols[run.cell.config.data.protocol].append(run)
    return {protocol: tuple(members) for protocol, members in protocols.items()}


def pooled(run: Scored, model: str, *, key: str) -> float:
    """A pooled figure of the lesion images on a run's grid; NaN where there is none.

    Args:
        run: The run.
        model: Its network's name, or a trivial predictor.
        key: A metric of `suraksha.metrics.overlap.OVERLAP`.
    """
    record = run.grid["models"].get(model)
    value = None if record is None else record["lesion"]["pooled"][key]["value"]
    return math.nan if value is None else float(value)


def pooled_network_grid(one: ComparedModel, protocol: str, *, key: str) -> float:
    """The mean of `pooled` over a contender's runs of a protocol."""
    return one.mean(protocol, lambda run: pooled(run, run.cell.config.model.name, key=key))


def by_image(runs: Sequence[Scored], *, key: str, part: str) -> Images:
    """A figure of each lesion image, its mean over the runs that tested on it, and its group.

    Args:
        runs: Of one network and protocol.
        key: A metric of `suraksha.metrics.image.PER_IMAGE`.
        part: ``lesion`` or ``consistent``.

    Returns:
        name -> (group, figure).
    """
    values: dict[str, list[float]] = defaultdict(list)
    groups: dict[str, str] = {}
    for run in runs:
        for score in run.lesions(part):
            values[score.name].append(getattr(score, key))
            groups[score.name] = score.group
    return {name: (groups[name], float(np.mean(found))) for name, found in values.items()}


def mean_of(images: Images) -> Estimate:
    """Mean over images with its interval by bootstrap over groups; NaN where there are none."""
    if not images:
        return Estimate(math.nan, math.nan, math.nan)
    groups, values = zip(*images.values(), strict=True)
    drawn = Resampler.of(groups, seed=0, resamples=RESAMPLES).means(np.array(values))
    return estimate(float(drawn[0]), drawn[1:])


def less(ours: Images, theirs: Images) -> Images:
    """Ours minus theirs, of the images that both have."""
    return {
        name: (group, value - theirs[name][1])
        for name, (group, value) in ours.items()
        if name in theirs
    }


def apart(ours: Images, theirs: Images) -> Estimate:
    """The mean of ours minus the mean of theirs, of different images; groups drawn together."""
    if not ours or not theirs:
        return Estimate(math.nan, math.nan, math.nan)
    both = [*ours.values(), *theirs.values()]
    values = np.array([value for _, value in both])
    mine = np.arange(len(both)) < len(ours)
    resampler = Resampler.of([group for group, _ in both], seed=0, resamples=RESAMPLES)
    first, second = (resampler.means(np.where(chosen, values, np.nan)) for chosen in (mine, ~mine))
    return estimate(float(first[0] - second[0]), (first - second)[1:])


def gap(one: Sequence[Scored], other: Sequence[Scored]) -> Estimate:
    """Dice of the first minus Dice of the second, paired by image, over those that both have.

    An image that several runs tested on counts with its mean.
    """
    ours, theirs = (by_image(runs, key="dice", part="lesion") for runs in (one, other))
    return mean_of(less(ours, theirs))
