"""Engines run a network's file: float32 (N, C, h, w) in, logits (N, 1, h, w) out.

A network that tells classes gives their logits (N, classes) in the same pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import BundleError, UnknownNameError, UsageError

MAX_DEFAULT_THREADS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """What a network answers for a batch.

    Args:
        mask: (N, 1, h, w) float32, a logit a pixel.
        classes: (N, classes) float32, or None where the network tells no classes.
    """

    mask: NDArray[np.float32]
    classes: NDArray[np.float32] | None = None


class Engine(Protocol):
    """What runs a network."""

    @property
    def name(self) -> str:
        """The engine's name in ``ENGINES``."""

    @property
    def threads(self) -> int:
        """Threads inside one operator."""

    def run(self, batch: NDArray[np.float32]) -> Logits:
        """The answer for a batch (N, C, h, w), in one pass.

        Raises:
            BundleError: The network does not take such a batch.
        """


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU.

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
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BundleError(
                "the bundle's network cannot be loaded",
                f"ONNX Runtime says: {error}",
                "Update onnxruntime, or export the bundle again",
            ) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: NDArray[np.float32]) -> Logits:
        """The answer for a batch (N, C, h, w), in one pass.

        Raises:
            BundleError: The network does not take such a batch.
        """
        try:
            mask, *classes = self._session.run(None, {self._input: batch})
        except Exception as error:
            raise BundleError(
                f"the bundle's network failed on a batch of shape {batch.shape}",
                f"ONNX Runtime says: {error}",
                "Export the bundle again, or free memory",
            ) from error
        return Logits(mask, classes[0] if classes else None)


ENGINES: MappingProxyType[str, Callable[[bytes, int], Engine]] = MappingProxyType(
    {"onnxruntime": OnnxRuntimeEngine}
)
AUTO = "auto"


def default_threads() -> int:
    """The cores this process may use, four at most: small networks gain nothing from more."""
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
            f"threads = {threads} cannot be used", "an engine needs at least one", "Give 1 or more"
        )
    chosen = OnnxRuntimeEngine.name if name == AUTO else name
    if chosen not in ENGINES:
        raise UnknownNameError("engine", name, (AUTO, *ENGINES))
    return ENGINES[chosen](model, threads or default_threads())
