"""Recipes: TOML in, one frozen record out. Its hash is the run's identity."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from suraksha.datasets.augmentation import AugmentSpec
from suraksha.datasets.splits import find_protocol
from suraksha.errors import TrainError, UnknownNameError
from suraksha.networks.zoo import build_spec, find_model
from suraksha.preprocessing import Preparation

MASK_LOSSES = ("bce", "dice", "tversky", "focal", "lovasz", "boundary")
SCHEDULES = ("constant", "cosine")
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class LossSpec:
    """The weights of the parts of the loss.

    Args:
        bce: Weight of binary cross-entropy, the paper's loss.
        dice: Weight of the soft Dice loss.
        tversky: Weight of the Tversky loss, in which a missed pixel costs more than a false one.
        focal: Weight of the focal loss.
        lovasz: Weight of the Lovasz hinge.
        boundary: Weight of the boundary loss.
        normal: Factor of all these for images without a lesion.
        classes: Weight of the cross-entropy of the second output.

    Raises:
        TrainError: A negative weight, or no part of the mask's loss above 0.
    """

    bce: float = 1.0
    dice: float = 0.0
    tversky: float = 0.0
    focal: float = 0.0
    lovasz: float = 0.0
    boundary: float = 0.0
    normal: float = 1.0
    classes: float = 0.0

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or not any(getattr(self, name) for name in MASK_LOSSES):
            raise TrainError(
                f"{self} cannot be used",
                "weights are at least 0 and one of the mask's parts is above 0",
                "Correct the [loss] part of the recipe",
            )


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which network.

    Args:
        name: A name of the zoo.
        options: Fields of the network's spec, such as ``width``.
        pretrained: Whether the encoder starts from ImageNet weights.
    """

    name: str = "suraksha"
    options: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False

    def __post_init__(self) -> None:
        find_model(self.name)


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which images, at which size.

    Args:
        size: Side of the network's square input in pixels; C1, C2, C3 are 64, 128, 256.
        channels: 1 for grey, 3 for RGB.
        mean: Taken off each value in 0..1.
        std: Divides each value after that.
        protocol: ``paper``, ``community`` or ``clean``.
        number: The protocol's seed, list or fold.
        validation_fraction: Share of the training groups that is held back, to watch the training
            and to fit the presence rule.
        twins: From which correlation on near-duplicates share the mean of their masks, 0 for never.
        teachers: Folders of runs whose mean probability is learnt beside the masks; a run counts
            only for the images that it did not train on.
        teacher_share: How much of the target the teachers give.
    """

    size: int = 64
    channels: int = 1
    mean: float = 0.33
    std: float = 0.22
    protocol: str = "clean"
    number: int = 0
    validation_fraction: float = 0.0
    twins: float = 0.0
    teachers: tuple[str, ...] = ()
    teacher_fraction: float = 0.5

    def __post_init__(self) -> None:
        find_protocol(self.protocol)
        shares = (self.twins, self.teacher_fraction)
        if not 0 <= self.validation_fraction < 1 or min(shares) < 0 or max(shares) > 1:
            raise TrainError(
                f"validation_fraction = {self.validation_fraction}, twins = {self.twins} or "
                f"teacher_share = {self.teacher_fraction} cannot be used",
                "validation_fraction lies from 0 to below 1, the others from 0 to 1",
                "Correct the [data] part of the recipe",
            )

    @property
    def preparation(self) -> Preparation:
        """How an image becomes the network's input."""
        return Preparation(self.size, self.size, self.channels, self.mean, self.std)


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """How the weights move (AdamW, doi 10.48550/arXiv.1711.05101).

    Args:
        epochs: Passes over the training images.
        small_epochs: So many of them, the first, see images shrunk to ``small_size``.
        small_size: Side of the shrunk images in pixels.
        batch_size: Images in a batch.
        learning_rate: Greatest learning rate.
        weight_decay: Decoupled weight decay; 0 makes AdamW Adam.
        schedule: ``constant`` or ``cosine`` (to 0 at the end).
        warmup_epochs: Linear rise at the start.
        clip_norm: Greatest norm of the gradient, 0 for no clipping.
        encoder_rate: Learning rate of a pretrained encoder, as a fraction of the others'.
        ema_decay: Exponential moving average of the weights by step, 0 for none.
    """

    epochs: int = 40
    small_epochs: int = 0
    small_size: int = 0
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    clip_norm: float = 0.0
    encoder_rate: float = 1.0
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise UnknownNameError("schedule", self.schedule, SCHEDULES)
        rest = (self.weight_decay, self.warmup_epochs, self.clip_norm, self.ema_decay)
        usable = (
            self.epochs >= 1
            and self.batch_size >= 2
            and 0 < self.learning_rate < math.inf
            and all(0 <= value < math.inf for value in rest)
            and self.ema_decay < 1
            and self.warmup_epochs < self.epochs
            and 0 < self.encoder_rate <= 1
            and 0 <= self.small_epochs <= self.epochs
            and self.small_size >= bool(self.small_epochs)
        )
        if not usable:
            raise TrainError(
                f"{self} cannot be used",
                "epochs >= 1, batch_size >= 2 (batch norm), learning_rate > 0, the rest >= 0, "
                "ema_decay < 1, encoder_rate <= 1, warmup_epochs < epochs, small_epochs <= epochs "
                "with a small_size",
                "Correct the [optim] part of the recipe",
            )


@dataclass(frozen=True, slots=True)
class DevicesConfig:
    """What a run is trained on, in parallel; it is no part of the run's identity.

    Args:
        devices: GPUs, or processes on the CPU, of each machine.
        nodes: Machines.
    """

    devices: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        if min(self.devices, self.nodes) < 1:
            raise TrainError(
                f"{self} cannot be used", "both are counted", "Correct the [train] part"
            )

    @property
    def world(self) -> int:
        """Processes that train together, one a device."""
        return self.devices * self.nodes


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """All that decides a run's result, next to the images themselves, and where it is trained.

    Args:
        name: The recipe's name; the run folder begins with it.
        seed: Of the weights, the order, the augmentation, and of what `validation_fraction` holds
            back.
    """

    name: str = "custom"
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossSpec = field(default_factory=LossSpec)
    augment: AugmentSpec = field(default_factory=AugmentSpec)
    train: DevicesConfig = field(default_factory=DevicesConfig)

    def __post_init__(self) -> None:
        name, size = self.model.name, self.data.size
        build_spec(name, in_channels=self.data.channels, options=self.model.options)
        divisor = find_model(name).divisor
        if min(self.seed, self.data.number) < 0:
            raise TrainError(
                f"seed = {self.seed} or number = {self.data.number} cannot be used",
                "seeds, lists and folds are counted from 0",
                "Give 0 or more",
            )
        sizes = (size, self.optim.small_size) if self.optim.small_epochs else (size,)
        fit = [max(divisor, round(side / divisor) * divisor) for side in sizes]
        if list(sizes) != fit:
            raise TrainError(
                f"a size of {' or '.join(map(str, sizes))} cannot be used",
                f"{divisor} divides the input of {name}",
                f"Give {' and '.join(map(str, fit))}",
            )
        if self.optim.small_epochs and self.optim.small_size > size:
            raise TrainError(
                f"small_size = {self.optim.small_size} cannot be used with a size of {size}",
                "the first epochs see smaller images, not larger ones",
                "Set [optim] small_epochs = 0",
            )
        batch, world = self.optim.batch_size, self.train.world
        if batch % world or batch // world < 2:
            raise TrainError(
                f"batches of {batch} images cannot be shared out to {world} devices",
                "each gets the same number, at least 2 (batch norm)",
                f"Set [optim] batch_size to a multiple of {world}, at least {2 * world}",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain tables, as a recipe has them."""
        return asdict(replace(self, model=replace(self.model, options=dict(self.model.options))))

    @property
    def classes(self) -> int:
        """How many classes the network's second output tells, 0 where it has none."""
        name, options = self.model.name, self.model.options
        spec = build_spec(name, in_channels=self.data.channels, options=options)
        return int(getattr(spec, "classes", 0))

    @property
    def sha256(self) -> str:
        """The run's identity: a hash over every field but ``train``, which says where, not what."""
        what = {key: value for key, value in self.to_dict().items() if key != "train"}
        text = json.dumps(what, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def run_name(self) -> str:
        """``strong-suraksha-64-paper-0-1a2b3c4d``."""
        data = self.data
        model = self.model.name.replace(":", ".")
        parts = (self.name, model, data.size, data.protocol, data.number)
        return "-".join((*map(str, parts), self.sha256[:8]))


def config_from_dict(table: Mapping[str, Any]) -> TrainConfig:
    """A config from the tables of a recipe.

    Raises:
        UnknownNameError: A key that no record has.
        TrainError: A value of another type.
    """
    return _record(TrainConfig, table, "")


def list_recipes() -> tuple[str, ...]:
    """The names of the shipped recipes."""
    folder = resources.files("suraksha.runs") / "recipes"
    return tuple(sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml")))


def load_recipe(recipe: str | Path) -> TrainConfig:
    """A shipped recipe by name, or a TOML file by path (it ends in ``.toml``).

    Raises:
        UnknownNameError: No shipped recipe has that name, or a key that no record has.
        TrainError: The file is missing or no TOML, or a value of another type.
    """
    if str(recipe).endswith(".toml"):
        path = Path(recipe)
        if not path.is_file():
            raise TrainError(
                f"recipe {path} is not there",
                "no file has that path",
                f"Give a path, or one of: {', '.join(list_recipes())}",
            )
        content, name = path.read_bytes(), path.stem
    else:
        name = str(recipe)
        if name not in list_recipes():
            raise UnknownNameError("recipe", name, list_recipes())
        content = (resources.files("suraksha.runs") / "recipes" / f"{name}.toml").read_bytes()
    try:
        table = tomllib.loads(content.decode())
    except ValueError as error:  # no UTF-8, or no TOML
        raise TrainError(
            f"recipe {recipe} cannot be read", f"it is no TOML: {error}", "Correct that line"
        ) from error
    return config_from_dict({"name": name, **table})


def _record(kind: type[Record], table: Mapping[str, Any], where: str) -> Record:
    """Fill a dataclass from a table, key by key."""
    types = get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        path = f"{where}{key}"
        if key not in known:
            raise UnknownNameError("recipe key", path, (where + name for name in known))
        values[key] = _value(types[key], value, path)
    return kind(**values)


def _value(wanted: Any, value: Any, path: str) -> Any:  # noqa: ANN401 - TOML values
    if is_dataclass(wanted) and isinstance(value, Mapping):
        return _record(wanted, value, f"{path}.")  # type: ignore[arg-type]
    if wanted is float and type(value) is int:
        return float(value)
    if wanted == tuple[str, ...]:
        if isinstance(value, list | tuple):
            return tuple(_value(str, one, path) for one in value)
        wanted = list
    simple = wanted if isinstance(wanted, type) else Mapping
    if isinstance(value, bool) is not (simple is bool) or not isinstance(value, simple):
        raise TrainError(
            f"{path} = {value!r} cannot be used",
            f"it is of type {type(value).__name__}, not {getattr(simple, '__name__', simple)}",
            "Correct that key of the recipe",
        )
    return value
