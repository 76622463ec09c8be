"""Plans: TOML in, the runs to make out. The hash of what they train is a plan's identity."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suraksha.datasets.splits import find_protocol
from suraksha.errors import TrainError, UnknownNameError, UsageError
from suraksha.evaluation.summaries import TEST, VALIDATION
from suraksha.runs.config import TrainConfig, config_from_dict, load_recipe

# key -> the type of its value
PLAN_KEYS = {"name": str, "title": str, "part": str, "models": list, "runs": list}
# of a table of `models`: fields of `ModelConfig`, and the size that it is trained at
MODEL_KEYS = {"name": str, "options": dict, "pretrained": bool, "size": int}
RUN_KEYS = {"recipe": str, "protocol": str, "numbers": list, "seeds": list, "set": dict}
SCORED = (TEST, VALIDATION)
# what `set` may not change
DECIDED = {"seed", "protocol", "split"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a plan.

    Args:
        config: What to train; its hash is the cell's identity.
        part: Which images it is scored on, ``test`` or ``validation``.
    """

    config: TrainConfig
    part: str = TEST

    @property
    def name(self) -> str:
        """The run's folder."""
        return self.config.run_name

    def fits(self, choice: str) -> bool:
        """Whether ``clean`` or ``clean:0`` chooses this cell."""
        data = self.config.data
        return choice in (data.protocol, f"{data.protocol}:{data.split}")


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan.

    Args:
        name: What to call it.
        cells: Its runs, in order.
        title: What its tables say of it; the name where the plan gives none.

    Raises:
        TrainError: No cell, or one cell twice.
    """

    name: str
    cells: tuple[Cell, ...]
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.name)
        names = [cell.name for cell in self.cells]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            raise TrainError(
                f"plan {self.name} cannot be used",
                f"it holds {', '.join(twice)} more than once" if twice else "it holds no run",
                "Correct its [[runs]]: each needs numbers, and no two may train the same",
            )

    @property
    def sha256(self) -> str:
        """The plan's identity: a hash over its cells, in order."""
        text = json.dumps([cell.config.sha256 for cell in self.cells])
        return hashlib.sha256(text.encode()).hexdigest()

    def select(self, only: Sequence[str]) -> tuple[Cell, ...]:
        """The cells that any of the choices fits, all without a choice.

        Args:
            only: Such as ``clean``, ``community:1``.

        Raises:
            UsageError: A choice that fits no cell.
        """
        for choice in only:
            if not any(cell.fits(choice) for cell in self.cells):
                data = [cell.config.data for cell in self.cells]
                known = {f"{part.protocol}:{part.split}" for part in data}
                raise UsageError(
                    f"'{choice}' chooses nothing",
                    f"plan {self.name} holds {', '.join(sorted(known))}",
                    "Give a protocol, or a protocol and a number, such as clean:0",
                )
        return tuple(c for c in self.cells if not only or any(c.fits(choice) for choice in only))


def load_plan(path: str | Path) -> Plan:
    """Read a plan.

    Args:
        path: A TOML file; recipes by path are relative to it.

    Raises:
        UnknownNameError: A key, recipe or protocol that is not known.
        TrainError: No file, no TOML, a value of another type, a recipe that cannot be used, or
            one run twice.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except (OSError, ValueError) as error:  # no file, no UTF-8, or no TOML
        raise TrainError(
            f"plan {path} cannot be read", str(error), "Give a plan's .toml file"
        ) from error
    return plan_from_dict({"name": path.stem, **table}, path.parent)


def plan_from_dict(table: Mapping[str, Any], folder: Path) -> Plan:
    """A plan from its tables; recipes by path are relative to the folder.

    Raises:
        UnknownNameError, TrainError: As `load_plan`.
    """
    _check(table, PLAN_KEYS, where="", needed=("name", "runs"))
    part = table.get("part", TEST)
    if part not in SCORED:
        raise UnknownNameError("part", part, SCORED)
    networks = [_network(network) for network in table.get("models", ())]
    cells = [cell for run in table["runs"] for cell in _cells(run, folder, networks)]
    if part == VALIDATION and any(cell.config.data.validation_fraction == 0 for cell in cells):
        raise TrainError(
            f"plan {table['name']} cannot score validation parts",
            "a run of it holds none back",
            "Set data.validation_fraction above 0 in its recipe or its runs",
        )
    cells = [replace(cell, part=part) for cell in cells]
    return Plan(table["name"], tuple(cells), table.get("title", ""))


def _network(table: object) -> dict[str, Any]:
    """A table of ``models`` as changes of a recipe."""
    if not isinstance(table, Mapping):
        raise _wrong("models", table, "table")
    _check(table, MODEL_KEYS, where="models.", needed=("name",))
    model = {"options": {}, "pretrained": False, **table}
    size = model.pop("size", None)
    return {"model": model, **({} if size is None else {"data": {"size": size}})}


def _cells(table: object, folder: Path, networks: Sequence[Mapping[str, Any]]) -> list[Cell]:
    if not isinstance(table, Mapping):
        raise _wrong("runs", table, "table")
    _check(table, RUN_KEYS, where="runs.", needed=("recipe", "protocol", "numbers"))
    protocol, recipe = find_protocol(table["protocol"]).name, table["recipe"]
    base = load_recipe(folder / recipe if recipe.endswith(".toml") else recipe)
    changes = table.get("set", {})
    if networks and "model" in changes:
        raise TrainError(
            "runs.set may not hold model",
            "the plan's [[models]] decide it",
            "Leave one of them out",
        )
    numbers, seeds = (_whole(key, table.get(key, [0])) for key in ("numbers", "seeds"))
    changed = merged(base, changes)
    found = []
    for config in [merged(changed, network) for network in networks] or [changed]:
        parts = [replace(config.data, protocol=protocol, split=number) for number in numbers]
        found += [Cell(replace(config, seed=seed, data=data)) for data in parts for seed in seeds]
    return found


def merged(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """A config with keys of its tables changed; the result is checked as a recipe is.

    A value replaces the old one whole: ``options`` of ``[model]`` are not mixed with the old ones.

    Raises:
        UnknownNameError: A key that no recipe has.
        TrainError: A value that cannot be used, or a key that the plan decides elsewhere.
    """
    data = changes.get("data", {})
    given = {*changes, *(data if isinstance(data, Mapping) else ())}
    if odd := sorted(given & DECIDED):
        raise TrainError(
            f"runs.set may not hold {', '.join(odd)}",
            "the run has keys of its own for them",
            "Give 'seeds', 'protocol' and 'numbers' of the run",
        )
    tables = config.to_dict()
    for key, value in changes.items():
        mixed = isinstance(value, Mapping) and isinstance(tables.get(key), Mapping)
        tables[key] = {**tables[key], **value} if mixed else value
    return config_from_dict(tables)


def _check(
    table: Mapping[str, Any], known: Mapping[str, type], *, where: str, needed: Iterable[str]
) -> None:
    for key, value in table.items():
        if key not in known:
            raise UnknownNameError("plan key", where + key, (where + name for name in known))
        if not isinstance(value, known[key]):
            raise _wrong(where + key, value, known[key].__name__)
    for key in needed:
        if key not in table:
            raise TrainError(
                f"{where}{key} is missing", "a plan cannot do without it", "Add it to the plan"
            )


def _whole(key: str, values: list[Any]) -> tuple[int, ...]:
    if not values or any(type(value) is not int for value in values):
        raise _wrong(f"runs.{key}", values, "list of whole numbers")
    return tuple(values)


def _wrong(path: str, value: object, kind: str) -> TrainError:
    return TrainError(
        f"{path} = {value!r} cannot be used", f"it is no {kind}", "Correct that key of the plan"
    )
