"""How fast the networks of a plan answer, side by side in one process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from suraksha.errors import TrainError
from suraksha.files import write_text
from suraksha.networks.zoo import create_model
from suraksha.runs.config import TrainConfig
from suraksha.runs.folder import device_name

FILE = "speed.json"
ROUNDS, WARM_UP = 30, 3
Progress = Callable[[Sequence[int]], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Speeds:
    """What was measured.

    Args:
        milliseconds: Of an image, by `speed_key`.
        device: What answered, in words.
    """

    milliseconds: Mapping[str, float] = field(default_factory=dict)
    device: str = "not measured"


def speed_key(config: TrainConfig) -> str:
    """What decides a network's speed, as text: its name, options, channels and size."""
    model, data = config.model, config.data
    return json.dumps([model.name, dict(model.options), data.channels, data.size], sort_keys=True)


def measure_speeds(
    configs: Iterable[TrainConfig],
    folder: Path,
    *,
    rounds: int = ROUNDS,
    progress: Progress = lambda rounds: rounds,
) -> dict[str, Any]:
    """Time one image through each network, round by round in turn, and write ``speed.json``.

    The networks take turns so that whatever else the machine does falls on all of them; the figure
    is the median over the rounds. Weights are random: they do not change the speed.

    Args:
        configs: The networks; each is timed once, however often it is given.
        folder: Where to write.
        rounds: How often each network answers.
        progress: Wraps the rounds, as ``tqdm`` does.
    """
    wanted = {speed_key(config): config for config in configs}
    networks = {key: _prepared(config) for key, config in wanted.items()}
    taken: dict[str, list[float]] = {key: [] for key in wanted}
    for turn in progress(range(-WARM_UP, rounds)):
        for key, (network, image) in networks.items():
            seconds = _seconds(network, image)
            if turn >= 0:
                taken[key].append(seconds)
    record = {
        "device": device_name(),
        "engine": f"torch {torch.__version__}",
        "rounds": rounds,
        "milliseconds": {key: 1000 * median(found) for key, found in taken.items()},
    }
    write_text(folder / FILE, json.dumps(record, indent=2) + "\n")
    return record


def read_speeds(folder: Path) -> Speeds:
    """The speeds of the networks of a folder's runs; empty where none were measured.

    Raises:
        TrainError: The file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return Speeds()
    try:
        record = json.loads(path.read_bytes())
        found = {str(key): float(value) for key, value in record["milliseconds"].items()}
        return Speeds(found, f"{record['device']}, {record['engine']}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainError(
            f"{path} cannot be read", f"it holds no speeds: {error}", "Measure them again"
        ) from error


def _prepared(config: TrainConfig) -> tuple[nn.Module, Tensor]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data, options = config.data, config.model.options
    network = create_model(config.model.name, in_channels=data.channels, options=options).eval()
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
    image = torch.zeros(1, data.channels, data.size, data.size, device=device)
    return network, image.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def _seconds(network: nn.Module, image: Tensor) -> float:
    start = time.perf_counter()
    network(image)
    if image.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start
