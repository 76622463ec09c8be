"""The table of networks, from which the CLI, the documentation and the tests are made."""

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
        divisor: Height and width of its input must be multiples of it.
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
        network="suraksha.networks.suraksha:Suraksha",
        spec="suraksha.networks.suraksha:SurakshaSpec",
        divisor=16,
        source="Keshav Kumar et al. 2025, SURAKSHA, section 2",
    ),
    ModelEntry(
        name="suraksha-lite",
        network="suraksha.networks.lite:Lite",
        spec="suraksha.networks.lite:LiteSpec",
        divisor=32,
        source="SURAKSHA with encoder blocks of EfficientNet-Lite (arXiv 1905.11946)",
    ),
    ModelEntry(
        name="unet",
        network="suraksha.networks.suraksha:Suraksha",
        spec="suraksha.networks.baselines.unet:UNetSpec",
        divisor=16,
        source="Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28",
    ),
    ModelEntry(
        name="attention-unet",
        network="suraksha.networks.suraksha:Suraksha",
        spec="suraksha.networks.baselines.unet:AttentionUNetSpec",
        divisor=16,
        source="Oktay et al. 2018, arXiv 1804.03999",
    ),
    ModelEntry(
        name="unet++",
        network="suraksha.networks.baselines.unetpp:UNetPlusPlus",
        spec="suraksha.networks.baselines.unetpp:UNetPlusPlusSpec",
        divisor=16,
        source="Zhou et al. 2020, doi 10.1109/TMI.2019.2959609",
    ),
    ModelEntry(
        name="segnet",
        network="suraksha.networks.baselines.segnet:SegNet",
        spec="suraksha.networks.baselines.vgg:VGGSpec",
        divisor=32,
        source="Badrinarayanan et al. 2017, doi 10.1109/TPAMI.2016.2644615",
    ),
    ModelEntry(
        name="refinenet",
        network="suraksha.networks.baselines.refinenet:RefineNet",
        spec="suraksha.networks.baselines.refinenet:RefineNetSpec",
        divisor=32,
        source="Lin et al. 2017, doi 10.1109/CVPR.2017.549",
    ),
    ModelEntry(
        name="fcn-8s",
        network="suraksha.networks.baselines.fcn:FCN8s",
        spec="suraksha.networks.baselines.vgg:VGGSpec",
        divisor=32,
        source="Long et al. 2015, doi 10.1109/CVPR.2015.7298965",
    ),
    ModelEntry(
        name="segresnet",
        network="suraksha.networks.references:SegResNet",
        spec="suraksha.networks.references:SegResNetSpec",
        divisor=8,
        source="Myronenko 2018, doi 10.1007/978-3-030-11726-9_28; code: MONAI",
    ),
    ModelEntry(
        name="swin-unetr",
        network="suraksha.networks.references:SwinUNETR",
        spec="suraksha.networks.references:SwinUNETRSpec",
        divisor=64,
        source="Hatamizadeh et al. 2022, doi 10.1007/978-3-031-08999-2_22; code: MONAI",
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
            "each name must be unique",
            "Rename one of them",
        )
    return MappingProxyType(table)


ZOO = table_of(ENTRIES)
# separates module and class in the name of a custom network
CLASS_SEPARATOR = ":"
CUSTOM_MODULE = "suraksha.networks.custom"


def list_models() -> tuple[str, ...]:
    """The names of all networks, sorted."""
    return tuple(sorted(ZOO))


def find_model(name: str) -> ModelEntry:
    """The entry of a network; for a custom one, ``package.module:Class``, it is made here.

    Raises:
        UnknownNameError: No network has that name.
        ModelError: No network is at that path.
    """
    if CLASS_SEPARATOR in name:
        divisor: int = _load(f"{CUSTOM_MODULE}:divisor_of")(name)
        return ModelEntry(name, name, "", divisor, source="custom", licence="not stated")
    if name not in ZOO:
        raise UnknownNameError("model", name, ZOO)
    return ZOO[name]


def create_model(
    name: str, *, in_channels: int = 1, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a network with random weights: (N, C, H, W) -> logits (N, 1, H, W).

    Args:
        name: A name of the zoo, or ``package.module:Class`` of a custom network, whose class takes
            ``in_channels`` and the options by name, and may have an integer ``divisor``.
        in_channels: Colour channels of the images.
        options: Further fields of the network's spec, such as ``{"width": 16}``.

    Raises:
        UnknownNameError: No network has that name, or its spec has no such field.
        ModelError: A value that the spec refuses, or a custom network that cannot be loaded or does
            not return such logits.
    """
    spec = build_spec(name, in_channels=in_channels, options=options)
    if CLASS_SEPARATOR in name:
        custom: nn.Module = _load(f"{CUSTOM_MODULE}:build_custom")(name, spec)
        return custom
    network: nn.Module = _load(find_model(name).network)(spec)
    return network


def build_spec(
    name: str, *, in_channels: int = 1, options: Mapping[str, Any] | None = None
) -> object:
    """The spec that `create_model` builds from, with the same arguments and errors."""
    if CLASS_SEPARATOR in name:
        custom: object = _load(f"{CUSTOM_MODULE}:custom_spec")(
            name, in_channels=in_channels, options=options or {}
        )
        return custom
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
            "there are no ImageNet weights for it",
            "Set [model] pretrained = false and [optim] encoder_rate = 1, or use suraksha-lite",
        )
    return parts


def load_pretrained(network: nn.Module) -> None:
    """Load ImageNet weights into a network's encoder.

    Raises:
        ModelError: It has no such encoder.
        MissingExtraError: The package with the weights is not installed.
    """
    pretrained_parts(network)
    network.load_pretrained()  # type: ignore[operator]


def model_options(network: nn.Module) -> dict[str, Any]:
    """All fields of the spec that a network was built from."""
    options: dict[str, Any] = asdict(network.spec)  # type: ignore[call-overload]
    further: dict[str, Any] = options.pop("options", {})
    return {**options, **further}


def _load(path: str) -> Any:  # noqa: ANN401 - a class of any kind
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
