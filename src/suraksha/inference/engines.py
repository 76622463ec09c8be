"""Engines run an ONNX network: float32 (N, C, h, w) in, logits (N, 1, h, w) out.

A network with a classification head gives its logits (N, classes) in the same pass.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import BundleError, MissingExtraError, UnknownNameError, UsageError

MAX_DEFAULT_THREADS = 4
# of ONNX Runtime, in order of preference
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
TELEMETRY = "openvino_telemetry"


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """The outputs of a network for a batch.

    Args:
        mask: (N, 1, h, w) float32, one logit per pixel.
        classes: (N, classes) float32, or None without a classification head.
    """

    mask: NDArray[np.float32]
    classes: NDArray[np.float32] | None = None


# names of the outputs; attention maps are named attention_skip1 and so on
LOGITS, CLASSES, ATTENTION = "logits", "classes", "attention_"
Maps = Mapping[str, NDArray[np.float32]]


class Engine(Protocol):
    """Runs a network; several threads may call it at once."""

    @property
    def name(self) -> str:
        """The engine's name in ``ENGINES``."""

    @property
    def threads(self) -> int:
        """Threads inside one operator."""

    def run(self, batch: NDArray[np.float32]) -> Logits:
        """The logits for a batch (N, C, h, w), in one pass.

        Raises:
            BundleError: The network does not take such a batch.
        """

    def explain(self, batch: NDArray[np.float32]) -> Maps:
        """The attention maps: (N, 1, h, w) float32 by name, coarse to fine; may be empty.

        Raises:
            BundleError: The network does not take such a batch.
        """


class OnnxRuntimeEngine:
    """ONNX Runtime, on the GPU where onnxruntime-gpu finds one, else on the CPU.

    Args:
        model: The bytes of ``model.onnx``.
        threads: Threads inside one operator.

    Raises:
        BundleError: ONNX Runtime cannot load the network.
    """

    name = "onnxruntime"

    def __init__(self, model: bytes, threads: int) -> None:
        self.threads = threads
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        known = ort.get_available_providers()
        try:
            self._session = ort.InferenceSession(
                model, options, providers=[name for name in PROVIDERS if name in known]
            )
        except Exception as error:
            raise BundleError(
                "the bundle's network cannot be loaded",
                f"ONNX Runtime says: {error}",
                "Update onnxruntime, or export the bundle again",
            ) from error
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, batch: NDArray[np.float32]) -> Logits:
        """The logits for a batch (N, C, h, w), in one pass.

        Raises:
            BundleError: The network does not take such a batch.
        """
        mask, *classes = self._run(batch, [n for n in self._names if not n.startswith(ATTENTION)])
        return Logits(mask, classes[0] if classes else None)

    def explain(self, batch: NDArray[np.float32]) -> Maps:
        """The attention maps, by name.

        Raises:
            BundleError: The network does not take such a batch.
        """
        names = [name for name in self._names if name.startswith(ATTENTION)]
        found = self._run(batch, names) if names else []
        return {n.removeprefix(ATTENTION): m for n, m in zip(names, found, strict=True)}

    def _run(self, batch: NDArray[np.float32], names: list[str]) -> list[NDArray[np.float32]]:
        try:
            answers: list[NDArray[np.float32]] = self._session.run(names, {self._input: batch})
        except Exception as error:
            raise BundleError(
                f"the bundle's network failed on a batch of shape {batch.shape}",
                f"ONNX Runtime says: {error}",
                "Export the bundle again, or free memory",
            ) from error
        return answers


class OpenVINOEngine:
    """OpenVINO on the CPU, in full precision for float networks.

    Args:
        model: The bytes of ``model.onnx``.
        threads: Threads inside one operator.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        BundleError: OpenVINO cannot load the network.
    """

    name = "openvino"

    def __init__(self, model: bytes, threads: int) -> None:
        self.threads = threads
        core = _openvino()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            network = core.compile_model(core.read_model(model, b""), "CPU", settings)
            self._network, self._own = network, threading.local()
            self._takes = network.input(0).get_partial_shape()
        except Exception as error:
            raise BundleError(
                "the bundle's network cannot be loaded",
                f"OpenVINO says: {error}",
                "Update openvino, use the engine onnxruntime, or export the bundle again",
            ) from error

    def run(self, batch: NDArray[np.float32]) -> Logits:
        """The logits for a batch (N, C, h, w), in one pass.

        Raises:
            BundleError: The network does not take such a batch.
        """
        found = self._run(batch)
        return Logits(found[LOGITS], found.get(CLASSES))

    def explain(self, batch: NDArray[np.float32]) -> Maps:
        """The attention maps, by name.

        Raises:
            BundleError: The network does not take such a batch.
        """
        maps = {name: map_ for name, map_ in self._run(batch).items() if name.startswith(ATTENTION)}
        return {name.removeprefix(ATTENTION): map_ for name, map_ in maps.items()}

    def _run(self, batch: NDArray[np.float32]) -> Maps:
        try:
            # OpenVINO does not check, and would read beyond the batch
            if not self._takes.compatible(type(self._takes)(list(batch.shape))):
                raise ValueError(f"the network takes {self._takes}")
            answers = self._request().infer([batch])
        except Exception as error:
            raise BundleError(
                f"the bundle's network failed on a batch of shape {batch.shape}",
                f"OpenVINO says: {error}",
                "Export the bundle again, or free memory",
            ) from error
        # OpenVINO reuses these arrays for the next image
        return {output.get_any_name(): np.array(value) for output, value in answers.items()}

    def _request(self) -> Any:  # noqa: ANN401 - openvino.InferRequest
        """The request of this thread; two threads cannot share one."""
        if not hasattr(self._own, "request"):
            self._own.request = self._network.create_infer_request()
        return self._own.request


def _openvino() -> Any:  # noqa: ANN401 - openvino.Core
    """OpenVINO's core, imported without its telemetry, which would write to the home folder."""
    kept = {name: sys.modules.pop(name) for name in (TELEMETRY,) if name in sys.modules}
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError("the engine openvino", "openvino", str(error.name)) from error
    finally:
        del sys.modules[TELEMETRY]
        sys.modules.update(kept)
    return openvino.Core()


ENGINES: MappingProxyType[str, Callable[[bytes, int], Engine]] = MappingProxyType(
    {engine.name: engine for engine in (OnnxRuntimeEngine, OpenVINOEngine)}
)
AUTO = "auto"


def default_threads() -> int:
    """The number of cores of this process, at most four: small networks gain nothing from more."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(usable, MAX_DEFAULT_THREADS)


def create_engine(name: str, model: bytes, *, threads: int | None = None) -> Engine:
    """Load a network.

    Args:
        name: A name of ``ENGINES``, or ``auto``: ONNX Runtime, which every installation has.
        model: The bytes of ``model.onnx``.
        threads: Threads to use; None for `default_threads`.

    Raises:
        UnknownNameError: No engine has that name.
        UsageError: ``threads`` is below 1.
        BundleError: The engine cannot load the network.
    """
    if threads is not None and threads < 1:
        raise UsageError(
            f"threads = {threads} is not valid", "it must be at least 1", "Give 1 or more"
        )
    chosen = OnnxRuntimeEngine.name if name == AUTO else name
    if chosen not in ENGINES:
        raise UnknownNameError("engine", name, (AUTO, *ENGINES))
    return ENGINES[chosen](model, threads or default_threads())
