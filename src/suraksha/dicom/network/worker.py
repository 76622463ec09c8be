"""What works the queue off: one thread segments, another sends and makes sure."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from suraksha.dicom.network.jobs import Job, State
from suraksha.dicom.network.peer import Destination, ObjectWriter, PeerError, reference
from suraksha.dicom.network.queue import Queue
from suraksha.dicom.network.spool import Spool
from suraksha.errors import InputError, SurakshaError

# what decoding, segmenting and writing may raise for an image from elsewhere
FAILURES = (
    *(SurakshaError, OSError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RuntimeError, MemoryError),
)
SEND_AGAIN_EACH, TROUBLE_S = 3, 5.0


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """How the queue is worked off.

    Args:
        batch: Jobs that are sent over one association.
        idle_s: Seconds between looks at the queue when nothing is to be done.
        keep: Whether images and results stay in the spool once they are confirmed.
    """

    batch: int = 16
    idle_s: float = 0.5
    keep: bool = False


class Worker:
    """Takes jobs from received to confirmed.

    Each step is done anew where it was cut short: the results of an image have the same UIDs
    whenever they are made, so that a peer that gets them twice holds them once.

    Args:
        queue: The jobs.
        spool: Their files.
        make: Makes the objects to send of an image's file.
        destination: Where they go.
        options: How.
    """

    def __init__(
        self,
        queue: Queue,
        spool: Spool,
        *,
        make: ObjectWriter,
        destination: Destination,
        options: WorkOptions,
    ) -> None:
        self._queue, self._spool, self._make = queue, spool, make
        self._destination, self._options = destination, options
        self._stop, self._threads = threading.Event(), list[threading.Thread]()
        self._news = {step: threading.Event() for step in (self.segment, self.deliver)}

    def start(self) -> None:
        """Work in two threads until `stop`."""
        for step, news in self._news.items():
            thread = threading.Thread(target=self._run, args=(step, news), daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """There is something to do."""
        for news in self._news.values():
            news.set()

    def stop(self, wait_s: float = 30.0) -> None:
        """Finish what is in hand, or leave it to the next start after ``wait_s``."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(wait_s)

    @property
    def alive(self) -> bool:
        """Whether both threads work."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def _run(self, step: Callable[[], int], news: threading.Event) -> None:
        while not self._stop.is_set():
            try:
                taken = step()
            except (OSError, sqlite3.Error):  # such as a full disk; leases bring the jobs back
                self._stop.wait(TROUBLE_S)
                continue
            if taken == 0:
                news.wait(self._options.idle_s)
                news.clear()

    def segment(self) -> int:
        """Segment the next image; how many jobs were taken."""
        jobs = self._queue.take(State.RECEIVED)
        for job in jobs:
            with self._alive(jobs):
                self._segment(job)
        return len(jobs)

    def _segment(self, job: Job) -> None:
        try:
            self._spool.keep_results(job.id, self._make(self._spool.image(job.id)))
        except InputError as error:  # the file will not get better
            self._queue.give_up(job, told(error))
        except FAILURES as error:
            self._queue.fail(job, told(error))
        else:
            self._queue.advance([job], State.SEGMENTED)
            self._news[self.deliver].set()

    def deliver(self) -> int:
        """Send what is segmented and confirm what was sent; how many jobs were taken."""
        return self._send() + self._confirm()

    def _send(self) -> int:
        jobs = self._whole(self._queue.take(State.SEGMENTED, limit=self._options.batch))
        if not jobs:
            return 0
        paths = {job.id: self._spool.results(job.id) for job in jobs}
        with self._alive(jobs):
            try:
                problems = self._destination.send([path for job in jobs for path in paths[job.id]])
            except FAILURES as error:
                self._fail_all(jobs, error)
                return len(jobs)
        for job in jobs:
            wrong = [problems[path] for path in paths[job.id] if problems[path]]
            if wrong:
                self._queue.fail(job, wrong[0])
        failed = {job.id for job in jobs if any(problems[path] for path in paths[job.id])}
        self._queue.advance([job for job in jobs if job.id not in failed], State.SENT)
        return len(jobs)

    def _whole(self, jobs: Sequence[Job]) -> list[Job]:
        """Those whose results lie in the spool; others are made anew."""
        there = [job for job in jobs if self._spool.results(job.id)]
        for job in jobs:
            if job not in there:
                self._queue.fail(job, "its results were removed", state=State.RECEIVED)
        return there

    def _confirm(self) -> int:
        jobs = self._whole(self._queue.take(State.SENT, limit=self._options.batch))
        if not jobs:
            return 0
        with self._alive(jobs):
            try:
                sent = {job.id: [reference(p) for p in self._spool.results(job.id)] for job in jobs}
                there = self._destination.confirm([one for each in sent.values() for one in each])
            except FAILURES as error:
                self._fail_all(jobs, error)
                return len(jobs)
        done = [job for job in jobs if {one.instance for one in sent[job.id]} <= there]
        self._queue.advance(done, State.CONFIRMED)
        for job in done:
            if not self._options.keep:
                self._spool.forget(job.id)
        for job in jobs:
            if job not in done:
                again = (job.attempts + 1) % SEND_AGAIN_EACH == 0
                state = State.SEGMENTED if again else State.SENT
                self._queue.fail(job, "the peer does not hold all of it yet", state=state)
        return len(jobs)

    def _fail_all(self, jobs: Sequence[Job], error: BaseException) -> None:
        for job in jobs:
            self._queue.fail(job, told(error), away=isinstance(error, PeerError))

    @contextmanager
    def _alive(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Renew the leases of jobs while they are worked on."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._queue.patience.lease_s / 3):
                self._queue.renew(jobs)

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def told(error: BaseException) -> str:
    """An error in words that hold nothing of the image.

    Suraksha's own messages are made to be shown; those of other libraries may quote values of the
    file, so of them only the kind is told.
    """
    if isinstance(error, PeerError):
        return error.why
    if isinstance(error, SurakshaError):
        return error.why
    return f"{type(error).__name__} while it was worked on"
