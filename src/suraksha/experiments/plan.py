"""Plans: TOML in, a list of training runs out. A hash over their configs is a plan's identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suraksha.datasets.splits import find_protocol
from suraksha.errors import TrainError, UnknownNameError, UsageError
from suraksha.evaluation.summaries import TEST, VALIDATION
from suraksha.runs.config import TrainConfig, config_from_dict, load_recipe
from suraksha.runs.records import read_toml, to_record

PARTS = (TEST, VALIDATION)
# keys of a config that `set` may not change, because the plan has its own keys for them
PLAN_DECIDES = {"seed", "protocol", "split"}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A table of ``[[models]]`` in a plan's file.

    Args:
        name: A name of the zoo, or ``package.module:Class``.
        options: Fields of the network's spec, such as ``width``.
        pretrained: Whether the encoder starts from ImageNet weights.
        size: Input size in pixels; None for the recipe's.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    size: int | None = None

    def changes(self) -> dict[str, Any]:
        """The entry as changes of a recipe."""
        model = {"name": self.name, "options": self.options, "pretrained": self.pretrained}
        return {"model": model, **({} if self.size is None else {"data": {"size": self.size}})}


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A table of ``[[runs]]`` in a plan's file.

    Args:
        recipe: A shipped recipe, or a ``.toml`` file relative to the plan.
        protocol: ``paper``, ``community`` or ``clean``.
        splits: Numbers of the splits; one run for each.
        seeds: Random seeds; one run for each.
        set: Changes of the recipe, by table and key.

    Raises:
        TrainError: No split or no seed.
    """

    recipe: str
    protocol: str
    splits: tuple[int, ...]
    seeds: tuple[int, ...] = (0,)
    set: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.splits or not self.seeds:
            raise TrainError(
                "an entry of [[runs]] has no splits or no seeds",
                "each needs at least one number",
                "Give for example splits = [0]",
            )


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The content of a plan's file; see `Plan` and docs/how-to/benchmark.md."""

    name: str
    runs: tuple[RunEntry, ...]
    title: str = ""
    part: str = TEST
    models: tuple[ModelEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a plan.

    Args:
        config: What to train; its hash is the run's identity.
        part: The images that it is scored on, ``test`` or ``validation``.
    """

    config: TrainConfig
    part: str = TEST

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.config.run_name

    def matches(self, choice: str) -> bool:
        """Whether a choice such as ``clean`` or ``clean:0`` includes this run."""
        data = self.config.data
        return choice in (data.protocol, f"{data.protocol}:{data.split}")


@dataclass(frozen=True, slots=True)
class Plan:
    """A list of runs that are trained, scored and reported together.

    Args:
        name: The plan's name.
        runs: Its runs, in order.
        title: Title of its tables; default: the name.

    Raises:
        TrainError: No run, or one run twice.
    """

    name: str
    runs: tuple[PlannedRun, ...]
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.name)
        names = [run.name for run in self.runs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or not names:
            raise TrainError(
                f"plan {self.name} is not valid",
                f"it has {', '.join(repeated)} more than once" if repeated else "it has no run",
                "Correct its [[runs]]: each needs splits, and no two may train the same",
            )

    @property
    def sha256(self) -> str:
        """The plan's identity: a hash over the configs of its runs, in order."""
        text = json.dumps([run.config.sha256 for run in self.runs])
        return hashlib.sha256(text.encode()).hexdigest()

    def select(self, only: Sequence[str]) -> tuple[PlannedRun, ...]:
        """The runs that match any of the choices; all runs without a choice.

        Args:
            only: Choices such as ``clean`` or ``community:1``.

        Raises:
            UsageError: A choice that matches no run.
        """
        for choice in only:
            if not any(run.matches(choice) for run in self.runs):
                data = [run.config.data for run in self.runs]
                known = {f"{one.protocol}:{one.split}" for one in data}
                raise UsageError(
                    f"'{choice}' matches no run",
                    f"plan {self.name} has {', '.join(sorted(known))}",
                    "Give a protocol, or a protocol and a split, such as clean:0",
                )
        if not only:
            return self.runs
        return tuple(run for run in self.runs if any(run.matches(choice) for choice in only))


def load_plan(path: str | Path) -> Plan:
    """Read a plan.

    Args:
        path: A TOML file; recipes by path are relative to it.

    Raises:
        UnknownNameError: A recipe, protocol or part that does not exist.
        TrainError: The file is missing or not valid TOML, an unknown key, a value of another type,
            a recipe that is not valid, or one run twice.
    """
    path = Path(path)
    table = {"name": path.stem, **read_toml(path)}
    return plan_from_dict(table, path.parent, source=str(path))


def plan_from_dict(table: Mapping[str, Any], folder: Path, *, source: str = "the plan") -> Plan:
    """A plan from its tables.

    Args:
        table: The tables of a plan's file.
        folder: Recipes by path are relative to it.
        source: The file that the tables come from, for errors.

    Raises:
        UnknownNameError, TrainError: As `load_plan`.
    """
    file = to_record(table, PlanFile, source=source)
    if file.part not in PARTS:
        raise UnknownNameError("part", file.part, PARTS)
    runs = [
        PlannedRun(config, file.part)
        for entry in file.runs
        for config in _configs(entry, folder, models=file.models, source=source)
    ]
    if file.part == VALIDATION and any(r.config.data.validation_fraction == 0 for r in runs):
        raise TrainError(
            f"plan {file.name} cannot score validation images",
            "a run of it holds no images out for validation",
            "Set data.validation_fraction above 0 in its recipe or its runs",
        )
    return Plan(file.name, tuple(runs), file.title)


def _configs(
    entry: RunEntry, folder: Path, *, models: Sequence[ModelEntry], source: str
) -> list[TrainConfig]:
    """The configs of an entry of ``[[runs]]``: by model, split and seed."""
    if models and "model" in entry.set:
        raise TrainError(
            f"runs.set in {source} has the key model",
            "the plan's [[models]] set it",
            "Remove one of them",
        )
    protocol, recipe = find_protocol(entry.protocol).name, entry.recipe
    base = load_recipe(folder / recipe if recipe.endswith(".toml") else recipe)
    changed = changed_config(base, entry.set)
    found = []
    for config in [changed_config(changed, one.changes()) for one in models] or [changed]:
        for split in entry.splits:
            data = replace(config.data, protocol=protocol, split=split)
            found += [replace(config, seed=seed, data=data) for seed in entry.seeds]
    return found


def changed_config(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """A config with some keys changed; the result is checked like a recipe.

    A value replaces the old one completely: ``options`` of ``[model]`` are not merged.

    Raises:
        TrainError: An unknown key, a value that is not valid, or a key that the plan
            sets elsewhere.
    """
    data = changes.get("data", {})
    given = {*changes, *(data if isinstance(data, Mapping) else ())}
    if refused := sorted(given & PLAN_DECIDES):
        raise TrainError(
            f"runs.set has the key {', '.join(refused)}",
            "an entry of [[runs]] has its own keys for that",
            "Use 'seeds', 'protocol' and 'splits' of the entry",
        )
    tables = config.to_dict()
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(tables.get(key), Mapping)
        tables[key] = {**tables[key], **value} if both else value
    return config_from_dict(tables, source="runs.set")
