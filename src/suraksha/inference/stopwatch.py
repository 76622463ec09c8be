"""Milliseconds by stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Adds up how long stages take: ``with watch("network"): ...``."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time what is inside; a stage that comes again is added to."""
        start = perf_counter()
        try:
            yield
        finally:
            taken = 1000 * (perf_counter() - start)
            self.milliseconds[stage] = self.milliseconds.get(stage, 0.0) + taken
