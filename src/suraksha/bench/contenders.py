"""The networks of a plan as the rows of a table, in the order of the paper's Table 2."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suraksha.bench.published import TABLE_2, PublishedRow
from suraksha.bench.report import RESAMPLES, Scored
from suraksha.metrics.bootstrap import Estimate, Resampler, estimate

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
# of pictures by name: the group and a figure
Pictures = Mapping[str, tuple[str, float]]
PUBLISHED: Mapping[str, PublishedRow] = {row.model: row for row in TABLE_2}
ORDER = tuple(PUBLISHED)


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A network at a size, with its runs.

    Args:
        label: What to call it.
        runs: Its finished runs, by protocol.
    """

    label: str
    runs: Mapping[str, tuple[Scored, ...]]

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
        """Multiply-accumulates a picture."""
        return int(self.first.native["macs"])

    def mean(self, protocol: str, figure: Callable[[Scored], float]) -> float:
        """Mean of a figure over the runs of a protocol; NaN where there are none."""
        found = [figure(run) for run in self.runs.get(protocol, ())]
        return float(np.mean(found)) if found else math.nan


def contenders(scored: Sequence[Scored]) -> list[Contender]:
    """The networks of finished runs: those of Table 2 in its order, then the others as they came.

    Args:
        scored: The runs of one recipe.
    """
    groups: dict[tuple[str, str, int], list[Scored]] = defaultdict(list)
    for run in scored:
        config = run.cell.config
        options = ", ".join(f"{key} {value}" for key, value in config.model.options.items())
        groups[config.model.name, options, config.data.size].append(run)
    found = [
        Contender(label, _by_protocol(runs))
        for label, runs in zip(_labels(list(groups)), groups.values(), strict=True)
    ]
    places = {label: place for place, label in enumerate(ORDER)}
    return sorted(found, key=lambda one: places.get(one.label, len(places)))


def reference(found: Sequence[Contender]) -> Contender | None:
    """SURAKSHA at its greatest size, which the others are compared with."""
    ours = [one for one in found if one.first.cell.config.model.name == OURS]
    return max(ours, key=lambda one: one.first.cell.config.data.size, default=None)


def _labels(keys: Sequence[tuple[str, str, int]]) -> list[str]:
    """A label each: short, and with options or size where it would stand twice."""
    sizes = sorted({size for name, _, size in keys if name == OURS})
    three = len(sizes) == len(PATCHES) == sum(name == OURS for name, _, _ in keys)

    def short(name: str, size: int) -> str:
        if name == OURS:
            return PATCHES[sizes.index(size)] if three else "SURAKSHA"
        return LABELS.get(name, name)

    plain = [short(name, size) for name, _, size in keys]
    sized = [f"{one} {key[2]} px" for one, key in zip(plain, keys, strict=True)]
    full = [f"{one}, {key[1]}" for one, key in zip(sized, keys, strict=True)]
    found = [a if plain.count(a) == 1 else b for a, b in zip(plain, sized, strict=True)]
    return [a if found.count(a) == 1 else b for a, b in zip(found, full, strict=True)]


def _by_protocol(runs: Sequence[Scored]) -> dict[str, tuple[Scored, ...]]:
    protocols: dict[str, list[Scored]] = defaultdict(list)
    for run in runs:
        protocols[run.cell.config.data.protocol].append(run)
    return {protocol: tuple(members) for protocol, members in protocols.items()}


def pooled(run: Scored, model: str, *, key: str) -> float:
    """A pooled figure of the lesion pictures on a run's grid; NaN where there is none.

    Args:
        run: The run.
        model: Its network's name, or a trivial predictor.
        key: A metric of `suraksha.metrics.overlap.OVERLAP`.
    """
    record = run.grid["models"].get(model)
    value = None if record is None else record["lesion"]["pooled"][key]["value"]
    return math.nan if value is None else float(value)


def own_pooled(one: Contender, protocol: str, *, key: str) -> float:
    """The mean of `pooled` over a contender's runs of a protocol."""
    return one.mean(protocol, lambda run: pooled(run, run.cell.config.model.name, key=key))


def by_picture(runs: Sequence[Scored], *, key: str, part: str) -> Pictures:
    """A figure of each lesion picture, its mean over the runs that tested on it, and its group.

    Args:
        runs: Of one network and protocol.
        key: A metric of `suraksha.metrics.picture.PER_PICTURE`.
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


def mean_of(pictures: Pictures) -> Estimate:
    """Mean over pictures with its interval by bootstrap over groups; NaN where there are none."""
    if not pictures:
        return Estimate(math.nan, math.nan, math.nan)
    groups, values = zip(*pictures.values(), strict=True)
    drawn = Resampler.of(groups, seed=0, resamples=RESAMPLES).means(np.array(values))
    return estimate(float(drawn[0]), drawn[1:])


def less(ours: Pictures, theirs: Pictures) -> Pictures:
    """Ours minus theirs, of the pictures that both have."""
    return {
        name: (group, value - theirs[name][1])
        for name, (group, value) in ours.items()
        if name in theirs
    }


def gap(one: Sequence[Scored], other: Sequence[Scored]) -> Estimate:
    """Dice of the first minus Dice of the second, paired by picture, over those that both have.

    A picture that several runs tested on counts with its mean.
    """
    ours, theirs = (by_picture(runs, key="dice", part="lesion") for runs in (one, other))
    return mean_of(less(ours, theirs))
