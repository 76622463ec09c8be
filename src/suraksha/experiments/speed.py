"""How long the networks of a plan take for one image, measured in turn in one process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from suraksha.files import write_text
from suraksha.networks.zoo import create_model
from suraksha.runs.config import TrainConfig
from suraksha.runs.folder import device_name
from suraksha.runs.records import read_json

FILE = "speed.json"
# the seconds that a measurement takes by default, and the rounds that it makes
TIME_LIMIT_S = 150.0
WARM_UP_ROUNDS, MIN_ROUNDS, MAX_ROUNDS = 2, 3, 30
# called with what is measured now, and the number of measurements that are left
Progress = Callable[[str, int], None]
Work = Callable[[], object]


def no_progress(title: str, left: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Inference times of networks.

    Args:
        milliseconds: Time per image in ms, by `speed_key`.
        device: The device and the engine, in words.
    """

    milliseconds: Mapping[str, float] = field(default_factory=dict)
    device: str = "not measured"


@dataclass(frozen=True, slots=True)
class SpeedRecord:
    """The content of ``speed.json``.

    Args:
        device: The device, in words.
        engine: What ran the networks, with its version.
        rounds: Measurements of each network.
        milliseconds: Median time per image in ms, by `speed_key`.
    """

    device: str
    engine: str
    rounds: int
    milliseconds: Mapping[str, float]


def speed_key(config: TrainConfig) -> str:
    """What decides a network's speed, as text: its name, options, channels and input size."""
    model, data = config.model, config.data
    return json.dumps([model.name, dict(model.options), data.channels, data.size], sort_keys=True)


def measure_in_turn(
    works: Mapping[str, Work],
    *,
    rounds: int | None = None,
    progress: Progress = no_progress,
) -> dict[str, list[float]]:
    """Time several pieces of work, round by round in turn.

    They take turns so that a disturbance of the machine affects all of them. Rounds to warm up are
    made first and not counted.

    Args:
        works: What to time, by title.
        rounds: Measurements of each; None for as many as take two to three minutes, at most 30.
        progress: Called before each measurement.

    Returns:
        The seconds of each measurement, by title.
    """
    taken: dict[str, list[float]] = {title: [] for title in works}
    start = time.perf_counter()
    for turn in range(WARM_UP_ROUNDS):
        start = time.perf_counter()
        for place, (title, work) in enumerate(works.items()):
            progress(f"warm-up: {title}", (WARM_UP_ROUNDS - turn) * len(works) - place)
            work()
    if rounds is None:
        fitting = TIME_LIMIT_S / max(time.perf_counter() - start, 1e-9)
        rounds = max(MIN_ROUNDS, min(MAX_ROUNDS, int(fitting)))
    for turn in range(rounds):
        for place, (title, work) in enumerate(works.items()):
            progress(title, (rounds - turn) * len(works) - place)
            start = time.perf_counter()
            work()
            taken[title].append(time.perf_counter() - start)
    return taken


def measure_speeds(
    configs: Iterable[TrainConfig],
    folder: Path,
    *,
    rounds: int | None = None,
    progress: Progress = no_progress,
) -> SpeedRecord:
    """Time one image through each network and write ``speed.json``.

    The figure is the median over the rounds. Weights are random, which does not affect the speed.

    Args:
        configs: The networks; equal ones are timed once.
        folder: Where to write.
        rounds: As in `measure_in_turn`.
        progress: Called before each measurement.
    """
    wanted = {speed_key(config): config for config in configs}
    works = {key: _inference(config) for key, config in wanted.items()}
    taken = measure_in_turn(works, rounds=rounds, progress=progress)
    record = SpeedRecord(
        device=device_name(),
        engine=f"torch {torch.__version__}",
        rounds=len(next(iter(taken.values()), [])),
        milliseconds={key: 1000 * median(found) for key, found in taken.items()},
    )
    write_text(folder / FILE, json.dumps(asdict(record), indent=2) + "\n")
    return record


def read_speeds(folder: Path) -> Speeds:
    """The speeds that `measure_speeds` wrote; empty where none were measured.

    Raises:
        TrainError: The file is not valid JSON, has an unknown key or a value of another type.
    """
    path = folder / FILE
    if not path.is_file():
        return Speeds()
    record = read_json(path, SpeedRecord)
    return Speeds(record.milliseconds, f"{record.device}, {record.engine}")


def _inference(config: TrainConfig) -> Work:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data, options = config.data, config.model.options
    network: nn.Module = create_model(config.model.name, in_channels=data.channels, options=options)
    network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
    image: Tensor = torch.zeros(1, data.channels, data.size, data.size, device=device)
    image = image.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def work() -> None:
        network(image)
        if image.is_cuda:
            torch.cuda.synchronize()

    return work
