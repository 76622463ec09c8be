"""The table of networks. Choices of the CLI, docs and tests are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from suraksha.errors import ModelError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One row of the zoo.

    Args:
        name: What to call the network.
        network: ``module:Class`` of the network, built from one spec.
        spec: ``module:Class`` of its frozen spec record.
        divisor: What divides the height and the width of its input.
        source: Where the architecture comes from.
        licence: Licence of the code.
    """

    name: str
    network: str
    spec: str
    divisor: int
    source: str
    licence: str = "Apache-2.0"


ENTRIES = (
    ModelEntry(
        name="suraksha",
        network="suraksha.models.suraksha:Suraksha",
        spec="suraksha.models.suraksha:SurakshaSpec",
        divisor=16,
        source="Keshav Kumar et al. 2025, SURAKSHA, section 2",
    ),
    ModelEntry(
        name="suraksha-lite",
        network="suraksha.models.lite:Lite",
        spec="suraksha.models.lite:LiteSpec",
        divisor=32,
        source="SURAKSHA with encoder blocks of EfficientNet-Lite (arXiv 1905.11946)",
    ),
)


def table_of(entries: tuple[ModelEntry, ...]) -> Mapping[str, ModelEntry]:
    """Entries by name.

    Raises:
        ModelError: Two entries have one name.
    """
    table = {entry.name: entry for entry in entries}
    if len(table) != len(entries):
        names = [entry.name for entry in entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ModelError(
            f"the zoo has more than one {', '.join(twice)}",
            "a name stands for one network",
            "Rename one of them",
        )
    return MappingProxyType(table)


ZOO = table_of(ENTRIES)


def list_models() -> tuple[str, ...]:
    """The names of all networks, sorted."""
    return tuple(sorted(ZOO))


def find_model(name: str) -> ModelEntry:
    """The row of a network.

    Raises:
        UnknownNameError: No network has that name.
    """
    if name not in ZOO:
        raise UnknownNameError("model", name, ZOO)
    return ZOO[name]


def create_model(
    name: str, *, in_channels: int = 1, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a network with fresh weights: (N, C, H, W) -> logits (N, 1, H, W).

    Args:
        name: A name of the zoo.
        in_channels: Colour channels of the pictures.
        options: Further fields of the network's spec, such as ``{"width": 16}``.

    Raises:
        UnknownNameError: No network has that name, or its spec has no such field.
        ModelError: A value that the spec refuses.
    """
    spec = build_spec(name, in_channels=in_channels, options=options)
    network: nn.Module = _load(find_model(name).network)(spec)
    return network


def build_spec(
    name: str, *, in_channels: int = 1, options: Mapping[str, Any] | None = None
) -> object:
    """The spec that `create_model` builds from; the same arguments, the same errors."""
    spec_class = _load(find_model(name).spec)
    given = {"in_channels": in_channels, **(options or {})}
    known = {field.name: type(field.default) for field in fields(spec_class)}
    for key, value in given.items():
        if key not in known:
            raise UnknownNameError(f"option of {name}", key, known)
        if type(value) is not known[key]:
            raise ModelError(
                f"option {key} = {value!r} of {name} cannot be used",
                f"it is of type {type(value).__name__}, not {known[key].__name__}",
                "Correct the [model] part of the recipe",
            )
    spec: object = spec_class(**given)
    return spec


def pretrained_parts(network: nn.Module) -> tuple[nn.Module, ...]:
    """The parts of a network for which ImageNet weights exist.

    Raises:
        ModelError: It has none.
    """
    parts: tuple[nn.Module, ...] | None = getattr(network, "pretrained_parts", None)
    if parts is None:
        raise ModelError(
            f"a {type(network).__name__} has no pretrained encoder",
            "no ImageNet weights fit it",
            "Set [model] pretrained = false and [optim] encoder_rate = 1, or take suraksha-lite",
        )
    return parts


def load_pretrained(network: nn.Module) -> None:
    """Give a network's encoder its ImageNet weights.

    Raises:
        ModelError: It has no such encoder.
        MissingExtraError: The package with the weights is not installed.
    """
    pretrained_parts(network)
    network.load_pretrained()  # type: ignore[operator]


def model_options(network: nn.Module) -> dict[str, Any]:
    """All fields of the spec that a network was built from."""
    options: dict[str, Any] = asdict(network.spec)  # type: ignore[call-overload]
    return options


def _load(path: str) -> Any:  # noqa: ANN401 - a class of any kind
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
