"""How fast a file becomes a measured lesion, and how fast the network alone is, side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from suraksha.datasets.phantom import sample_phantom
from suraksha.errors import MissingExtraError
from suraksha.evaluation.export import to_onnx
from suraksha.evaluation.quantization import quantise
from suraksha.inference.bundle import BUNDLES, DEFAULT_BUNDLE, read_bundle
from suraksha.inference.engines import ENGINES, create_engine
from suraksha.inference.segmenter import load_segmenter
from suraksha.io.images import read_image
from suraksha.networks.zoo import create_model
from suraksha.preprocessing import Preparation, prepare
from suraksha.reporting.records import png_bytes
from suraksha.runs.folder import device_name

ROUNDS, WARM_UP = 30, 3
# of a scanner's screen
SHAPE = (600, 800)
PATCHES: tuple[int | str, ...] = (128, 256, "auto")
# other networks at 256 px, by what the zoo calls them, with what options
PEERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("SURAKSHA, width 64 (the paper's U-Net)", "suraksha", {"width": 64}),
    ("SURAKSHA, width 32", "suraksha", {"width": 32}),
    ("MONAI BasicUNet", "monai.networks.nets:BasicUNet", {"spatial_dims": 2, "out_channels": 1}),
    (
        "MONAI AttentionUnet",
        "monai.networks.nets:AttentionUnet",
        {
            "spatial_dims": 2,
            "out_channels": 1,
            "channels": [32, 64, 128, 256, 512],
            "strides": [2, 2, 2, 2],
        },
    ),
)
WHOLE, BESIDE, NETWORK = "whole path", "whole path, side by side", "network alone"
# images of a folder, each answered by one of as many threads as the row says
FOLDER = 10
Progress = Callable[[Sequence[int]], Iterable[int]]
Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class LatencyCandidate:
    """One thing that is timed.

    Args:
        what: ``whole path`` (file to measured lesion), the same of a folder with images side by
            side, as ``suraksha segment`` answers them, or ``network alone``.
        network: The bundle's or network's name.
        engine: What runs it.
        size: Side of the network's input in pixels, or ``auto``.
        threads: Of the engine; side by side, of as many images.
        work: Does it once.
        images: How many images that is.
    """

    what: str
    network: str
    engine: str
    size: int | str
    threads: int
    work: Work
    images: int = 1

    def facts(self) -> dict[str, Any]:
        """All but the work."""
        names = ("what", "network", "engine", "size", "threads")
        return {name: getattr(self, name) for name in names}


def measure_latency(
    *,
    rounds: int = ROUNDS,
    threads: Sequence[int] = (1, 2),
    progress: Progress = lambda rounds: rounds,
) -> dict[str, Any]:
    """Time every shipped bundle on every engine, torch and other networks, round by round in turn.

    They take turns in one process, so that whatever else the machine does falls on all of them; a
    figure is the median over the rounds, a ratio that to the first whole path.

    Args:
        rounds: How often each is timed.
        threads: Numbers of threads to try for the shipped bundles.
        progress: Wraps the rounds, as ``tqdm`` does.

    Returns:
        Device, rows with ``milliseconds``, and the peak memory of a process that segments.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FOLDER):
            image = Path(folder) / f"image{number}.png"
            image.write_bytes(png_bytes(sample_phantom(4, 1, shape=SHAPE).image.pixels))
        compared_models = [*_whole(image, threads), *_alone(image, threads), *_peers(threads)]
        taken: list[list[float]] = [[] for _ in compared_models]
        for turn in progress(range(-WARM_UP, rounds)):
            for place, contender in enumerate(compared_models):
                start = time.perf_counter()
                contender.work()
                if turn >= 0:
                    seconds = time.perf_counter() - start
                    taken[place].append(1000 * seconds / contender.images)
        peak = peak_memory_mib(image)
    rows = [
        {**one.facts(), "milliseconds": median(found), "least": min(found)}
        for one, found in zip(compared_models, taken, strict=True)
    ]
    return {
        "device": device_name(),
        "image": f"{SHAPE[0]} x {SHAPE[1]} PNG",
        "rounds": rounds,
        "torch": torch.__version__,
        "peak_memory_mib": peak,
        "rows": rows,
    }


def _engines() -> list[str]:
    found = []
    for name in ENGINES:
        try:
            create_engine(name, read_bundle(DEFAULT_BUNDLE).model, threads=1)
        except MissingExtraError:
            continue
        found.append(name)
    return found


def _whole(image: Path, threads: Sequence[int]) -> Iterable[LatencyCandidate]:
    for bundle in BUNDLES:
        for engine in _engines():
            for size in PATCHES:
                for count in threads:
                    yield _path(image, bundle, engine=engine, size=size, threads=count)
            yield _beside(image.parent, bundle, engine=engine, threads=max(threads))


def _path(
    image: Path, bundle: str, *, engine: str, size: int | str, threads: int
) -> LatencyCandidate:
    segment = load_segmenter(bundle, engine=engine, threads=threads, patch=size)

    def work() -> object:
        return segment(read_image(image, spacing=0.1)).lesions

    return LatencyCandidate(WHOLE, bundle, engine, size, threads, work)


def _beside(folder: Path, bundle: str, *, engine: str, threads: int) -> LatencyCandidate:
    segment = load_segmenter(bundle, engine=engine, threads=1)
    images = sorted(folder.iterdir())

    def work() -> object:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda path: segment(read_image(path, spacing=0.1)), images))

    size = segment.card.preparation.height
    return LatencyCandidate(BESIDE, bundle, engine, size, threads, work, FOLDER)


def _alone(path: Path, threads: Sequence[int]) -> Iterable[LatencyCandidate]:
    """The bundles' networks on each engine, and the default's in 8 bits and in torch.

    In 8 bits the ranges come from phantoms, which gives the speed and not the accuracy.
    """
    image = read_image(path)
    for bundle in BUNDLES:
        loaded = read_bundle(bundle)
        batch = prepare(image, loaded.card.preparation)
        size = loaded.card.preparation.height
        models = {bundle: loaded.model}
        if bundle == DEFAULT_BUNDLE:
            phantoms = [sample_phantom(4, number).image for number in range(12)]
            small = quantise(loaded.model, phantoms, preparation=loaded.card.preparation)
            models[f"{bundle}, 8 bits"] = small
        for title, model in models.items():
            for engine in _engines():
                for count in threads:
                    work = _engine_work(model, engine, threads=count, batch=batch)
                    yield LatencyCandidate(NETWORK, title, engine, size, count, work)
    card = read_bundle(DEFAULT_BUNDLE).card
    options = {
        key: value for key, value in card.model.items() if key not in ("name", "in_channels")
    }
    for count in threads:
        work = _torch_work(str(card.model["name"]), options, threads=count)
        yield LatencyCandidate(NETWORK, DEFAULT_BUNDLE, "torch eager", 256, count, work)


def _peers(threads: Sequence[int]) -> Iterable[LatencyCandidate]:
    """Other networks as ONNX files; weights are random, which does not change the speed."""
    wanted = Preparation(256, 256)
    batch = np.zeros((1, 1, 256, 256), np.float32)
    for title, name, options in PEERS:
        network = create_model(name, in_channels=1, options=options).eval()
        model = to_onnx(network, wanted)
        for count in threads:
            work = _engine_work(model, "onnxruntime", threads=count, batch=batch)
            yield LatencyCandidate(NETWORK, title, "onnxruntime", 256, count, work)


def _engine_work(model: bytes, name: str, *, threads: int, batch: NDArray[np.float32]) -> Work:
    engine = create_engine(name, model, threads=threads)
    return lambda: engine.run(batch)


def _torch_work(name: str, options: dict[str, Any], *, threads: int) -> Work:
    network = create_model(name, in_channels=1, options=options).eval()
    image = torch.zeros(1, 1, 256, 256)

    @torch.inference_mode()
    def work() -> object:
        torch.set_num_threads(threads)
        return network(image)

    return work


def peak_memory_mib(image: Path) -> float:
    """Greatest resident memory of a fresh process that segments images, two at a time, in MiB.

    NaN where the system has no /proc.
    """
    if not Path("/proc/self/status").is_file():
        return float("nan")
    code = (
        "import suraksha as su\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "segment = su.load_segmenter(threads=1)\n"
        f"one = lambda _: segment(su.read_image({str(image)!r}, spacing=0.1)).lesions\n"
        "with ThreadPoolExecutor(2) as pool: list(pool.map(one, range(10)))\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "print(next(line.split()[1] for line in lines if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return round(float(done.stdout) / 1024, 1)


def latency_rows(record: dict[str, Any]) -> list[list[str]]:
    """The rows as a table shows them: ratios to the first whole path and the first network."""
    kinds = {WHOLE: WHOLE, BESIDE: WHOLE, NETWORK: NETWORK}
    first = {
        kind: next(row for row in record["rows"] if row["what"] == of) for kind, of in kinds.items()
    }
    return [
        [
            *(str(row[name]) for name in ("what", "network", "engine", "size", "threads")),
            f"{row['milliseconds']:.1f}",
            f"{1000 / row['milliseconds']:.1f}",
            f"{first[row['what']]['milliseconds'] / row['milliseconds']:.2f}",
        ]
        for row in record["rows"]
    ]


HEAD = ("what", "network", "engine", "size, px", "threads", "ms", "a second", "times as fast")


def latency_json(record: dict[str, Any]) -> str:
    """The record as a file holds it."""
    return json.dumps(record, indent=2) + "\n"
