"""A run: a folder with its config, split, environment, log, curves, checkpoint and fits."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import tomli_w
import torch
from torch import nn

from suraksha.datasets.split_file import Split, load_split
from suraksha.errors import TrainError
from suraksha.files import write_text
from suraksha.networks.zoo import create_model
from suraksha.runs.config import TrainConfig, config_from_dict
from suraksha.runs.fits import RunFits, read_fits
from suraksha.runs.records import read_json, read_toml

ENVIRONMENT = "environment.json"
FINISHED = "finished.json"
PACKAGES = ("suraksha", "torch", "lightning", "kornia", "numpy", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run was made with, as ``environment.json`` holds it.

    Args:
        device: The device that trains.
        platform: Operating system and processor architecture.
        python: Version of Python.
        threads: Threads of torch.
        allocator: Preloaded memory allocator, or ``default``.
        packages: Versions by package.
        truth_sha256: Hash of the masks and classes that it is trained on; empty if unknown.
    """

    device: str
    platform: str
    python: str
    threads: int
    allocator: str
    packages: Mapping[str, str]
    truth_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a training, as ``finished.json`` holds it.

    Args:
        seconds: Duration of all epochs.
        epochs: Number of epochs.
        device: The device that trained.
        devices: GPUs, or processes on the CPU, of each machine.
        nodes: Machines.
        dataset: Name of the data set.
        cache_sha256: Hash of the cache.
    """

    seconds: float
    epochs: int
    device: str
    devices: int = 1
    nodes: int = 1
    dataset: str = ""
    cache_sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, for the file, cards and tables."""
        return {
            one.name: value
            for one in fields(self)
            if (value := getattr(self, one.name)) != one.default
        }


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder, read.

    Args:
        folder: Its path.
        config: Its config.
        split: The images of its training, validation and test part.
        finished: The end of its training, or None before.
        fits: Its post-processing; the default where nothing was fitted.
    """

    folder: Path
    config: TrainConfig
    split: Split
    finished: Finished | None
    fits: RunFits = field(default_factory=RunFits)

    @property
    def checkpoint(self) -> Path:
        """The last complete checkpoint."""
        return self.folder / "last.ckpt"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the trained network by its validation score; empty if nothing is."""
        score = self.fits.facts.get("score", {})
        text = mean_mask_warning(
            score.get("dice"), score.get("mean_mask_dice"), where="the validation images"
        )
        return (text,) if text else ()

    def network(self) -> nn.Module:
        """The trained network (the averaged weights, where the recipe averages), in eval mode.

        Raises:
            TrainError: The run is not finished, or its checkpoint is damaged.
        """
        if self.finished is None:
            raise TrainError(
                f"run {self.folder} is not finished",
                "its last epoch has not been trained",
                "Give the same 'suraksha train' command again; it resumes where it stopped",
            )
        network = create_model(
            self.config.model.name,
            in_channels=self.config.data.channels,
            options=self.config.model.options,
        )
        try:
            loaded = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            saved = loaded["state_dict"]
        except (OSError, RuntimeError, EOFError, KeyError, UnpicklingError) as error:
            raise TrainError(
                f"run {self.folder} is damaged",
                f"its checkpoint cannot be read: {error}",
                "Train it again",
            ) from error
        prefix = "network."
        weights = {k[len(prefix) :]: v for k, v in saved.items() if k.startswith(prefix)}
        network.load_state_dict(weights)
        return network.eval()


def mean_mask_warning(dice: float | None, mean_mask_dice: float | None, *, where: str) -> str:
    """The warning for a network that is not better than the mean mask; empty if it is.

    Args:
        dice: Mean Dice of the network per lesion image; None where it is not known.
        mean_mask_dice: The same of the mean of the training masks.
        where: The images, in words.
    """
    if dice is None or mean_mask_dice is None or dice > mean_mask_dice:
        return ""
    return (
        f"WARNING: the network is not better than the mean training mask on {where} "
        f"(mean Dice {dice:.3f} against {mean_mask_dice:.3f}). Do not use it; train longer, or "
        "check the data and the recipe"
    )


def open_run(folder: str | Path) -> Run:
    """Read a run's folder.

    Raises:
        TrainError: The folder is not a run, or a file of it is damaged.
        DataError: Its split is damaged.
    """
    folder = Path(folder)
    if not (folder / "config.toml").is_file() or not (folder / "split.json").is_file():
        raise TrainError(
            f"{folder} is not a run",
            "it has no config.toml and split.json",
            "Give a folder that 'suraksha train' wrote",
        )
    config, finished = folder / "config.toml", folder / FINISHED
    return Run(
        folder=folder,
        config=config_from_dict(read_toml(config), source=str(config)),
        split=load_split(folder / "split.json"),
        finished=read_json(finished, Finished) if finished.is_file() else None,
        fits=read_fits(folder),
    )


def start_run(out: Path, config: TrainConfig, *, split: Split, truth: str = "") -> Run:
    """The run folder of a config under ``out``: made, or found where the run was started before.

    Args:
        out: The folder of the runs.
        config: What is trained.
        split: On which images.
        truth: `suraksha.datasets.cache.Cache.truth_sha256` of the cache, by which corrected masks
            are noticed.

    Raises:
        TrainError: The folder belongs to another config, split or truth.
    """
    folder = out / config.run_name
    for half in (*folder.glob(".*.part"), *folder.glob("*.half.*")):
        half.unlink()
    if (folder / "config.toml").is_file():
        return _resumed(folder, config, split=split, truth=truth)
    folder.mkdir(parents=True, exist_ok=True)
    split.save(folder / "split.json")
    text = json.dumps(asdict(environment(truth=truth)), indent=2)
    write_text(folder / ENVIRONMENT, text + "\n")
    write_text(folder / "config.toml", tomli_w.dumps(config.to_dict()))
    return open_run(folder)


def _resumed(folder: Path, config: TrainConfig, *, split: Split, truth: str) -> Run:
    run = open_run(folder)
    if run.config.sha256 != config.sha256 or run.split.sha256 != split.sha256:
        raise TrainError(
            f"run {folder} was started with another config or split",
            "its files differ from what was asked for",
            "Give another --out, or move that folder away",
        )
    begun = folder / ENVIRONMENT
    before = read_json(begun, Environment).truth_sha256 if begun.is_file() else ""
    if truth and before not in ("", truth):
        raise TrainError(
            f"run {folder} was trained on other masks or classes",
            "the data set was changed since",
            "Give another --out, or move that folder away to train again",
        )
    return run


def training_facts(run: Run) -> dict[str, Any]:
    """The facts of a run's training, for cards and tables."""
    config, split = run.config, run.split
    return {
        "recipe": config.name,
        "config_sha256": config.sha256,
        "protocol": split.protocol,
        "parameter": split.parameter,
        "split_sha256": split.sha256,
        "images": len(split.train),
        **({} if run.finished is None else run.finished.to_dict()),
    }


def device_name() -> str:
    """The device that trains, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{cpu_name()}, {torch.get_num_threads()} threads"


def environment(*, truth: str = "") -> Environment:
    """The current environment.

    Args:
        truth: Hash of the masks and classes that are trained on.
    """
    return Environment(
        device=device_name(),
        platform=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        threads=torch.get_num_threads(),
        allocator=Path(os.environ.get("LD_PRELOAD", "")).name or "default",
        packages={name: version(name) for name in PACKAGES},
        truth_sha256=truth,
    )


def cpu_name() -> str:
    """The processor, in words."""
    return f"CPU {_cpu()}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
