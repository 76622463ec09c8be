"""A run: a folder with its config, split, environment, log, curves and checkpoint."""

from __future__ import annotations

import json
import os
import platform
import tomllib
from dataclasses import dataclass, field
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
from suraksha.runs.fits import (
    CLASSES_FILE,
    POSTPROCESSING_FILE,
    RunClasses,
    RunPostProcessing,
    read_classes,
    read_postprocessing,
)

ENVIRONMENT = "environment.json"
FINISHED = "finished.json"
PACKAGES = ("suraksha", "torch", "lightning", "kornia", "numpy", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder, read.

    Args:
        folder: Where it lies.
        config: Its config.
        split: Which images it trained on and which it did not see.
        finished: Seconds of training and device, or None while it is not finished.
        presence: Threshold and presence rule; no rule where it was not fitted.
        classes: What the network's second output tells, or None where it has none.
    """

    folder: Path
    config: TrainConfig
    split: Split
    finished: dict[str, Any] | None
    postprocessing: RunPostProcessing = field(default_factory=RunPostProcessing)
    classes: RunClasses | None = None

    @property
    def checkpoint(self) -> Path:
        """The last whole checkpoint."""
        return self.folder / "last.ckpt"

    def network(self) -> nn.Module:
        """The trained network (the averaged weights, where the recipe averages), in eval mode.

        Raises:
            TrainError: The run is not finished.
        """
        if self.finished is None:
            raise TrainError(
                f"run {self.folder} is not finished",
                "its last epoch has not been trained",
                "Give the same 'suraksha train' command again; it goes on where it stopped",
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
            raise _damaged(self.folder, error) from error
        prefix = "network."
        weights = {k[len(prefix) :]: v for k, v in saved.items() if k.startswith(prefix)}
        network.load_state_dict(weights)
        return network.eval()


def _damaged(folder: Path, error: Exception) -> TrainError:
    return TrainError(
        f"run {folder} is damaged", f"a file of it cannot be read: {error}", "Train it again"
    )


def open_run(folder: str | Path) -> Run:
    """Read a run's folder.

    Raises:
        TrainError: The folder is no run.
        DataError: Its split is damaged.
    """
    folder = Path(folder)
    if not (folder / "config.toml").is_file() or not (folder / "split.json").is_file():
        raise TrainError(
            f"{folder} is no run",
            "it has no config.toml and split.json",
            "Give a folder that 'suraksha train' wrote",
        )
    result = folder / FINISHED
    try:
        table = tomllib.loads((folder / "config.toml").read_bytes().decode())
        finished = json.loads(result.read_bytes()) if result.is_file() else None
        postprocessing, classes = (
            read_postprocessing(folder / POSTPROCESSING_FILE),
            read_classes(folder / CLASSES_FILE),
        )
    except ValueError as error:  # no UTF-8, no TOML, no JSON, no rule or no classes
        raise _damaged(folder, error) from error
    config = config_from_dict(table)
    split = load_split(folder / "split.json")
    return Run(folder, config, split, finished, postprocessing, classes)


def start_run(out: Path, config: TrainConfig, *, split: Split, truth: str = "") -> Run:
    """The folder of a config under ``out``: made, or found where the run was begun before.

    Args:
        out: Where runs lie.
        config: What is trained.
        split: On which images.
        truth: `suraksha.datasets.cache.Cache.truth_sha256` of the cache, by which corrected masks are
            noticed.

    Raises:
        TrainError: The folder was begun with another config, split or truth.
    """
    folder = out / config.run_name
    for half in (*folder.glob(".*.part"), *folder.glob("*.half.*")):
        half.unlink()
    if (folder / "config.toml").is_file():
        run = open_run(folder)
        if run.config.sha256 != config.sha256 or run.split.sha256 != split.sha256:
            raise TrainError(
                f"run {folder} was begun with another config or split",
                "its files differ from what was asked for",
                "Give another --out, or move that folder away",
            )
        if truth and _begun_with(folder) not in ("", truth):
            raise TrainError(
                f"run {folder} was trained on other masks or classes",
                "those of the data set have been changed since",
                "Give another --out, or move that folder away to train anew",
            )
        return run
    folder.mkdir(parents=True, exist_ok=True)
    split.save(folder / "split.json")
    facts = {**environment(), **({"truth_sha256": truth} if truth else {})}
    write_text(folder / ENVIRONMENT, json.dumps(facts, indent=2) + "\n")
    write_text(folder / "config.toml", tomli_w.dumps(config.to_dict()))
    return open_run(folder)


def _begun_with(folder: Path) -> str:
    """The truth that a run was begun with; empty for one that does not say."""
    try:
        return str(json.loads((folder / ENVIRONMENT).read_bytes()).get("truth_sha256", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def training_facts(run: Run) -> dict[str, Any]:
    """What a card and a table say of a run's training."""
    config, split = run.config, run.split
    return {
        "recipe": config.name,
        "config_sha256": config.sha256,
        "protocol": split.protocol,
        "parameter": split.parameter,
        "split_sha256": split.sha256,
        "images": len(split.train),
        **(run.finished or {}),
    }


def device_name() -> str:
    """The device that trains, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{cpu_name()}, {torch.get_num_threads()} threads"


def environment() -> dict[str, Any]:
    """What a run was made with."""
    return {
        "device": device_name(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "allocator": Path(os.environ.get("LD_PRELOAD", "")).name or "default",
        "packages": {name: version(name) for name in PACKAGES},
    }


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
