"""The threads that decode and segment, with a time limit that a caller can rely on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from suraksha.web.errors import HttpError
from suraksha.web.settings import Limits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when an answer is of use.

    Args:
        seconds: How long from now on.
    """

    seconds: float
    _start: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """To be called between two pieces of work.

        Raises:
            Refused: The time is over.
        """
        if time.monotonic() - self._start > self.seconds:
            raise _too_long(self.seconds)


def _too_long(seconds: float) -> HttpError:
    return HttpError(
        503,
        "the answer took too long",
        f"it was not there after {seconds:.0f} s",
        "Send fewer or smaller images, or try again later",
        retry_s=5,
    )


class Workers:
    """A few threads; a thread cannot be stopped, so one that is late is counted until it ends.

    Args:
        limits: How many, and for how long each may work.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="suraksha")
        self._late: set[Future[Any]] = set()

    @property
    def overdue(self) -> int:
        """Threads that are busy with what nobody waits for any more."""
        return len(self._late)

    @property
    def stuck(self) -> bool:
        """Whether no thread is left for new work."""
        return self.overdue >= self._limits.workers

    async def run(self, job: Callable[[Deadline], T]) -> T:
        """Do a job in a thread.

        Raises:
            Refused: It took too long; and what the job raises.
        """
        future = self._pool.submit(job, Deadline(self._limits.seconds))
        try:
            async with asyncio.timeout(self._limits.seconds + 1):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            if not future.cancel() and not future.done():
                self._late.add(future)
                future.add_done_callback(self._late.discard)
            raise _too_long(self._limits.seconds) from error

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)
