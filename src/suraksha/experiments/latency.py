"""Time from image file to measured lesions, and of the networks alone, with bundles and engines."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from suraksha.experiments.speed import Progress, Work, measure_in_turn, no_progress
from suraksha.inference.bundle import BUNDLES, DEFAULT_BUNDLE, read_bundle
from suraksha.inference.engines import ENGINES, create_engine
from suraksha.inference.segmenter import load_segmenter
from suraksha.io.images import read_image
from suraksha.networks.zoo import create_model
from suraksha.preprocessing import Preparation, prepare
from suraksha.reporting.records import png_bytes
from suraksha.runs.folder import device_name

# size of the test images, (rows, columns): a scanner's screen
SHAPE = (600, 800)
PATCH_SIZES: tuple[int | str, ...] = (128, 256, "auto")
OTHER_SIZE = 256
# other networks, timed at OTHER_SIZE: title, name in the zoo, options
OTHER_NETWORKS: tuple[tuple[str, str, dict[str, Any]], ...] = (
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
WHOLE_PATH, PARALLEL, NETWORK = "whole path", "whole path, in parallel", "network alone"
# number of images for PARALLEL
FOLDER_IMAGES = 10
HEAD = ("what", "network", "engine", "size, px", "threads", "ms", "images/s", "relative speed")


@dataclass(frozen=True, slots=True)
class LatencyCandidate:
    """A combination that is timed.

    Args:
        what: ``whole path`` (file to measured lesions), the same for a folder with images in
            parallel, as ``suraksha segment`` does it, or ``network alone``.
        network: Name of the bundle or network.
        engine: The inference engine.
        size: Side of the network's input in pixels, or ``auto``.
        threads: Threads of the engine; for PARALLEL, images at a time.
        prepare: Loads what is timed; returns the work.
        images: Number of images that the work processes.
    """

    what: str
    network: str
    engine: str
    size: int | str
    threads: int
    prepare: Callable[[], Work]
    images: int = 1

    @property
    def facts(self) -> dict[str, Any]:
        """The combination, for a table."""
        names = ("what", "network", "engine", "size", "threads")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.what}: {self.network}, {self.engine}, {self.size} px, {threads}"


def measure_latency(
    *,
    rounds: int | None = None,
    threads: Sequence[int] = (1, 2),
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Time every shipped bundle on every engine, torch and other networks, in turn.

    A figure is the median over the rounds. By default this takes about three minutes.

    Args:
        rounds: As in `suraksha.experiments.speed.measure_in_turn`.
        threads: Numbers of threads to try.
        progress: Called before each step with what it is and the number of steps that are left.

    Returns:
        ``device``, ``image``, ``rounds``, ``torch``, ``peak_memory_mib`` (of a process that
        segments) and ``rows`` with ``milliseconds`` (median) and ``min_milliseconds``.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FOLDER_IMAGES):
            image = Path(folder) / f"image{number}.png"
            image.write_bytes(png_bytes(sample_phantom(4, 1, shape=SHAPE).image.pixels))
        found = [
            *_whole_path(image, threads),
            *_networks(image, threads),
            *_other_networks(threads),
        ]
        candidates = {str(one): one for one in found}
        works = {}
        for place, (title, candidate) in enumerate(candidates.items()):
            progress(f"loading: {title}", len(candidates) - place)
            works[title] = candidate.prepare()
        taken = measure_in_turn(works, rounds=rounds, progress=progress)
        peak = peak_memory_mib(image)
    rows = []
    for title, candidate in candidates.items():
        milliseconds = [1000 * seconds / candidate.images for seconds in taken[title]]
        figures = {"milliseconds": median(milliseconds), "min_milliseconds": min(milliseconds)}
        rows.append({**candidate.facts, **figures})
    return {
        "device": device_name(),
        "image": f"{SHAPE[0]} x {SHAPE[1]} PNG",
        "rounds": len(next(iter(taken.values()))),
        "torch": torch.__version__,
        "peak_memory_mib": peak,
        "rows": rows,
    }


def _engines() -> list[str]:
    """The engines that are installed."""
    found = []
    for name in ENGINES:
        try:
            create_engine(name, read_bundle(DEFAULT_BUNDLE).model, threads=1)
        except MissingExtraError:
            continue
        found.append(name)
    return found


def _whole_path(image: Path, threads: Sequence[int]) -> Iterator[LatencyCandidate]:
    for bundle in BUNDLES:
        size = read_bundle(bundle).card.preparation.height
        for engine in _engines():
            for patch in PATCH_SIZES:
                for count in threads:
                    prepare_work = _segmentation(
                        image, bundle, engine=engine, patch=patch, threads=count
                    )
                    yield LatencyCandidate(
                        WHOLE_PATH, bundle, engine, patch, count, prepare=prepare_work
                    )
            yield LatencyCandidate(
                PARALLEL,
                bundle,
                engine,
                size,
                max(threads),
                prepare=_parallel(image.parent, bundle, engine=engine, threads=max(threads)),
                images=FOLDER_IMAGES,
            )


def _segmentation(
    image: Path, bundle: str, *, engine: str, patch: int | str, threads: int
) -> Callable[[], Work]:
    def prepare_work() -> Work:
        segment = load_segmenter(bundle, engine=engine, threads=threads, patch=patch)
        return lambda: segment(read_image(image, spacing=0.1)).lesions

    return prepare_work


def _parallel(folder: Path, bundle: str, *, engine: str, threads: int) -> Callable[[], Work]:
    def prepare_work() -> Work:
        segment = load_segmenter(bundle, engine=engine, threads=1)
        images = sorted(folder.iterdir())

        def work() -> object:
            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(lambda path: segment(read_image(path, spacing=0.1)), images))

        return work

    return prepare_work


def _networks(path: Path, threads: Sequence[int]) -> Iterator[LatencyCandidate]:
    """The bundles' networks on each engine, and the default one in 8 bits and in torch.

    The ranges of the 8-bit network come from phantoms, which gives its speed but not its accuracy.
    """
    image = read_image(path)
    for bundle in BUNDLES:
        loaded = read_bundle(bundle)
        preparation = loaded.card.preparation
        models = {bundle: loaded.model}
        if bundle == DEFAULT_BUNDLE:
            phantoms = [sample_phantom(4, number).image for number in range(12)]
            models[f"{bundle}, 8 bits"] = quantise(loaded.model, phantoms, preparation=preparation)
        batch = prepare(image, preparation)
        for title, model in models.items():
            for engine in _engines():
                for count in threads:
                    prepare_work = _engine_run(model, engine, threads=count, batch=batch)
                    yield LatencyCandidate(
                        NETWORK, title, engine, preparation.height, count, prepare=prepare_work
                    )
    for count in threads:
        yield LatencyCandidate(
            NETWORK, DEFAULT_BUNDLE, "torch eager", OTHER_SIZE, count, prepare=_torch_run(count)
        )


def _other_networks(threads: Sequence[int]) -> Iterator[LatencyCandidate]:
    """Other networks as ONNX files; weights are random, which does not affect the speed."""
    preparation = Preparation(OTHER_SIZE, OTHER_SIZE)
    batch = np.zeros((1, 1, OTHER_SIZE, OTHER_SIZE), np.float32)
    for title, name, options in OTHER_NETWORKS:
        network = create_model(name, in_channels=1, options=options).eval()
        model = to_onnx(network, preparation)
        for count in threads:
            prepare_work = _engine_run(model, "onnxruntime", threads=count, batch=batch)
            yield LatencyCandidate(
                NETWORK, title, "onnxruntime", OTHER_SIZE, count, prepare=prepare_work
            )


def _engine_run(
    model: bytes, name: str, *, threads: int, batch: NDArray[np.float32]
) -> Callable[[], Work]:
    def prepare_work() -> Work:
        engine = create_engine(name, model, threads=threads)
        return lambda: engine.run(batch)

    return prepare_work


def _torch_run(threads: int) -> Callable[[], Work]:
    """The default bundle's network in torch."""

    def prepare_work() -> Work:
        card = read_bundle(DEFAULT_BUNDLE).card
        options = {k: v for k, v in card.model.items() if k not in ("name", "in_channels")}
        network = create_model(str(card.model["name"]), in_channels=1, options=options).eval()
        image = torch.zeros(1, 1, OTHER_SIZE, OTHER_SIZE)

        @torch.inference_mode()
        def work() -> object:
            torch.set_num_threads(threads)
            return network(image)

        return work

    return prepare_work


def peak_memory_mib(image: Path) -> float:
    """Peak resident memory in MiB of a new process that segments images, two at a time.

    NaN on systems without /proc.
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


def latency_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """The rows of a table under `HEAD`; speeds relative to the first whole path and network.

    Args:
        record: As `measure_latency` returns it.
    """
    reference = {WHOLE_PATH: WHOLE_PATH, PARALLEL: WHOLE_PATH, NETWORK: NETWORK}
    first = {
        kind: next(row["milliseconds"] for row in record["rows"] if row["what"] == of)
        for kind, of in reference.items()
    }
    rows = []
    for row in record["rows"]:
        facts = [str(row[name]) for name in ("what", "network", "engine", "size", "threads")]
        speed = first[row["what"]] / row["milliseconds"]
        milliseconds = row["milliseconds"]
        rows.append([*facts, f"{milliseconds:.1f}", f"{1000 / milliseconds:.1f}", f"{speed:.2f}"])
    return rows


def latency_json(record: Mapping[str, Any]) -> str:
    """The record as the text of its file."""
    return json.dumps(record, indent=2) + "\n"
