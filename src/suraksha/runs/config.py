"""Recipes: TOML in, one frozen record out. The hash of the record is the run's identity."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from suraksha.datasets.augmentation import AugmentSpec
from suraksha.datasets.splits import find_protocol
from suraksha.errors import TrainError, UnknownNameError
from suraksha.networks.zoo import build_spec, find_model
from suraksha.preprocessing import Preparation
from suraksha.runs.records import read_toml, to_record

MASK_LOSSES = ("bce", "dice", "tversky", "focal", "lovasz", "boundary")
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True, slots=True)
class LossSpec:
    """Weights of the terms of the loss.

    Args:
        bce: Weight of the binary cross-entropy, the paper's loss.
        dice: Weight of the soft Dice loss.
        tversky: Weight of the Tversky loss, in which a false negative pixel costs more than a false
            positive one.
        focal: Weight of the focal loss.
        lovasz: Weight of the Lovasz hinge.
        boundary: Weight of the boundary loss.
        normal: Factor of all mask losses for images without a lesion.
        classes: Weight of the cross-entropy of the classification head.

    Raises:
        TrainError: A negative weight, or all mask losses are 0.
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
        usable = all(0 <= weight < math.inf for weight in astuple(self))
        if not usable or not any(getattr(self, name) for name in MASK_LOSSES):
            raise TrainError(
                f"{self} is not valid",
                "weights must be 0 or more, and one of the mask losses "
                f"({', '.join(MASK_LOSSES)}) above 0",
                "Correct the [loss] table of the recipe",
            )


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The network.

    Args:
        name: A name of the zoo, or ``package.module:Class``.
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
    """The images and their size.

    Args:
        size: Side of the network's square input in pixels; C1, C2, C3 are 64, 128, 256.
        channels: 1 for grey, 3 for RGB.
        mean: Subtracted from each value in 0..1.
        std: Divides each value after that.
        protocol: ``paper``, ``community`` or ``clean``.
        split: Number of the split: draw of ``paper``, list of ``community``, fold of ``clean``.
        validation_fraction: Fraction of the training groups that is held out for validation: to
            monitor the training and to fit post-processing and calibration.

    Raises:
        TrainError: A split below 0, or a fraction outside 0..1 (1 excluded).
    """

    size: int = 64
    channels: int = 1
    mean: float = 0.33
    std: float = 0.22
    protocol: str = "clean"
    split: int = 0
    validation_fraction: float = 0.0

    def __post_init__(self) -> None:
        find_protocol(self.protocol)
        if self.split < 0 or not 0 <= self.validation_fraction < 1:
            raise TrainError(
                f"split = {self.split} with validation_fraction = {self.validation_fraction} is "
                "not valid",
                "split must be 0 or more, and validation_fraction in 0..1 (1 excluded)",
                "Correct the [data] table of the recipe",
            )

    @property
    def preparation(self) -> Preparation:
        """How an image becomes the network's input."""
        return Preparation(self.size, self.size, self.channels, self.mean, self.std)


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """The optimiser, AdamW (doi:10.48550/arXiv.1711.05101), and its schedule.

    Args:
        epochs: Passes over the training images.
        small_epochs: Number of first epochs at ``small_size``.
        small_size: Side of the input in these epochs, in pixels.
        batch_size: Images in a batch.
        learning_rate: Maximum learning rate.
        weight_decay: Decoupled weight decay; with 0 AdamW is Adam.
        schedule: ``constant`` or ``cosine`` (to 0 at the end).
        warmup_epochs: Epochs of linear increase at the start.
        clip_norm: Maximum norm of the gradient, 0 for no clipping.
        encoder_rate: Learning rate of a pretrained encoder, as a fraction of ``learning_rate``.
        ema_decay: Decay of the exponential moving average (EMA) of the weights, by step, 0 for
            none. The average warms up: the decay at step t is min(ema_decay, (1 + t) / (10 + t)).

    Raises:
        UnknownNameError: Another schedule.
        TrainError: A number outside its range.
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
                f"{self} is not valid",
                "required: epochs >= 1, batch_size >= 2 (for batch norm), learning_rate > 0, the "
                "rest >= 0, ema_decay < 1, encoder_rate <= 1, warmup_epochs < epochs, "
                "small_epochs <= epochs with a small_size",
                "Correct the [optim] table of the recipe",
            )


@dataclass(frozen=True, slots=True)
class DevicesConfig:
    """The devices that train in parallel; they are not part of the run's identity.

    Args:
        devices: GPUs, or processes on the CPU, of each machine.
        nodes: Machines.

    Raises:
        TrainError: A number below 1.
    """

    devices: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        if min(self.devices, self.nodes) < 1:
            raise TrainError(
                f"{self} is not valid",
                "devices and nodes must be 1 or more",
                "Correct the [train] table of the recipe",
            )

    @property
    def world(self) -> int:
        """Number of processes that train together, one per device."""
        return self.devices * self.nodes


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides the result of a run besides the images, and the devices.

    Args:
        name: The recipe's name; the run folder's name begins with it.
        seed: Random seed of the weights, the order, the augmentation, and the choice of the
            validation images.

    Raises:
        TrainError: Values that do not fit each other.
        UnknownNameError: No network has that name or option.
        ModelError: An option that the network does not accept.
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
        name = self.model.name
        build_spec(name, in_channels=self.data.channels, options=self.model.options)
        if self.seed < 0:
            raise TrainError(
                f"seed = {self.seed} is not valid", "a seed must be 0 or more", "Give 0 or more"
            )
        self._check_sizes(find_model(name).divisor)
        batch, world = self.optim.batch_size, self.train.world
        if batch % world or batch // world < 2:
            raise TrainError(
                f"a batch of {batch} images cannot be split over {world} devices",
                "each device needs the same number of images, at least 2 (for batch norm)",
                f"Set [optim] batch_size to a multiple of {world}, at least {2 * world}",
            )

    def _check_sizes(self, divisor: int) -> None:
        size, small = self.data.size, self.optim.small_size
        sizes = (size, small) if self.optim.small_epochs else (size,)
        valid = [max(divisor, round(side / divisor) * divisor) for side in sizes]
        if list(sizes) != valid:
            raise TrainError(
                f"an input size of {' or '.join(map(str, sizes))} is not valid",
                f"the input size of {self.model.name} must be a multiple of {divisor}",
                f"Give {' and '.join(map(str, valid))}",
            )
        if self.optim.small_epochs and small > size:
            raise TrainError(
                f"small_size = {small} is not valid with size = {size}",
                "the first epochs use smaller images, not larger ones",
                "Set [optim] small_epochs = 0",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain tables, as in a recipe."""
        return asdict(replace(self, model=replace(self.model, options=dict(self.model.options))))

    @property
    def classes(self) -> int:
        """Number of classes of the network's classification head, 0 without one."""
        name, options = self.model.name, self.model.options
        spec = build_spec(name, in_channels=self.data.channels, options=options)
        return int(getattr(spec, "classes", 0))

    @property
    def sha256(self) -> str:
        """The run's identity: a hash over the fields that differ from their defaults.

        A field that a later version adds does not change it. ``train`` is left out.
        """
        table, default = self.to_dict(), TrainConfig().to_dict()
        changed = {
            key: _changed(value, default[key]) for key, value in table.items() if key != "train"
        }
        text = json.dumps(changed, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def run_name(self) -> str:
        """Such as ``strong-suraksha-64-paper-0-1a2b3c4d``."""
        data = self.data
        model = self.model.name.replace(":", ".")
        parts = (self.name, model, data.size, data.protocol, data.split)
        return "-".join((*map(str, parts), self.sha256[:8]))


def _changed(value: Any, default: Any) -> Any:  # noqa: ANN401 - any value of a recipe
    """A table without the fields that have their default; any other value as it is."""
    if not isinstance(value, dict):
        return value
    return {key: own for key, own in value.items() if key not in default or own != default[key]}


def config_from_dict(table: Mapping[str, Any], *, source: str = "the recipe") -> TrainConfig:
    """A config from the tables of a recipe.

    Args:
        table: The tables.
        source: The file that they come from, for errors.

    Raises:
        TrainError: An unknown key, a value of another type, or one that is not valid.
    """
    return to_record(table, TrainConfig, source=source)


def list_recipes() -> tuple[str, ...]:
    """The names of the shipped recipes."""
    folder = resources.files("suraksha.runs") / "recipes"
    return tuple(sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml")))


def load_recipe(recipe: str | Path) -> TrainConfig:
    """A shipped recipe by name, or a TOML file by path (ending in ``.toml``).

    Raises:
        UnknownNameError: No shipped recipe has that name.
        TrainError: The file is missing or not valid TOML, or holds an unknown key or a value that
            is not valid.
    """
    if str(recipe).endswith(".toml"):
        path = Path(recipe)
        if not path.is_file():
            raise TrainError(
                f"recipe {path} was not found",
                "there is no such file",
                f"Give a path, or one of: {', '.join(list_recipes())}",
            )
        return config_from_dict({"name": path.stem, **read_toml(path)}, source=str(path))
    name = str(recipe)
    if name not in list_recipes():
        raise UnknownNameError("recipe", name, list_recipes())
    shipped = resources.files("suraksha.runs") / "recipes" / f"{name}.toml"
    with resources.as_file(shipped) as path:
        return config_from_dict({"name": name, **read_toml(path)}, source=path.name)
