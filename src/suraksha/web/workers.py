"""Worker threads that decode and segment, with a time limit for each request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from suraksha.web.errors import HttpError
from suraksha.web.settings import RequestLimits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time limit of one request, counted from its creation.

    Args:
        seconds: The time limit.
    """

    seconds: float
    _start: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Raise if the time is over; called between two steps of the work.

        Raises:
            HttpError: 503, the time limit was exceeded.
        """
        if time.monotonic() - self._start > self.seconds:
            raise _timed_out(self.seconds)


def _timed_out(seconds: float) -> HttpError:
    return HttpError(
        503,
        "the request timed out",
        why=f"it was not finished after {seconds:.0f} s",
        fix="Send fewer or smaller images, or try again later",
        retry_s=5,
    )


class Workers:
    """A pool of threads. A thread cannot be stopped: one that is overdue counts until it ends.

    Args:
        limits: Number of threads and time limit.
    """

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="suraksha")
        self._late: set[Future[Any]] = set()

    @property
    def overdue(self) -> int:
        """Number of threads still busy with requests that timed out."""
        return len(self._late)

    @property
    def stuck(self) -> bool:
        """Whether every thread is overdue."""
        return self.overdue >= self._limits.workers

    async def run(self, job: Callable[[Deadline], T]) -> T:
        """Run a job in a thread and return its result.

        Raises:
            HttpError: 503, the time limit was exceeded; or whatever the job raises.
        """
        seconds = self._limits.timeout_s
        future = self._pool.submit(job, Deadline(seconds))
        try:
            async with asyncio.timeout(seconds + 1):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            if not future.cancel() and not future.done():
                self._late.add(future)
                future.add_done_callback(self._late.discard)
            raise _timed_out(seconds) from error

    def close(self) -> None:
        """Stop accepting jobs and cancel those that have not started."""
        self._pool.shutdown(wait=False, cancel_futures=True)
