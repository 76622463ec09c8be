"""The worker of the queue: one thread segments, another sends results and confirms them."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from suraksha.dicom.network.logs import describe
from suraksha.dicom.network.peer import Destination, ObjectWriter, PeerError, reference
from suraksha.dicom.network.queue import Job, Queue, State
from suraksha.dicom.network.spool import Spool
from suraksha.errors import InputError, SurakshaError

LOG = logging.getLogger(__name__)
# an object that is still missing at every third query is sent again
RESEND_INTERVAL = 3
# seconds until a step that failed on the spool or queue, such as on a full disk, is repeated
PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Options of the worker.

    Args:
        batch_size: Jobs that are sent over one association.
        idle_s: Seconds between checks of an empty queue.
        keep: Whether images and results stay in the spool after confirmation.
    """

    batch_size: int = 16
    idle_s: float = 0.5
    keep: bool = False


class Worker:
    """Processes jobs from received to confirmed.

    A step that was interrupted is repeated: the results of an image always have the same UIDs, so
    that a peer that receives them twice stores them once.

    Args:
        queue: The jobs.
        spool: Their files.
        writer: Makes the objects to send from the file of an image.
        destination: Where they are sent.
        options: Options.
    """

    def __init__(
        self,
        queue: Queue,
        spool: Spool,
        *,
        writer: ObjectWriter,
        destination: Destination,
        options: WorkerOptions,
    ) -> None:
        self._queue, self._spool, self._writer = queue, spool, writer
        self._destination, self._options = destination, options
        self._stop, self._threads = threading.Event(), list[threading.Thread]()
        self._wake = {step: threading.Event() for step in (self.segment, self.deliver)}

    def start(self) -> None:
        """Work in two threads until `stop`."""
        for step, wake in self._wake.items():
            thread = threading.Thread(target=self._run, args=(step, wake), daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Check the queue now."""
        for wake in self._wake.values():
            wake.set()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Finish the current jobs, or leave them to the next start after ``timeout_s``."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether both threads are running."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def _run(self, step: Callable[[], int], wake: threading.Event) -> None:
        while not self._stop.is_set():
            try:
                count = step()
            except (OSError, sqlite3.Error) as error:
                LOG.error("worker paused for %g s: %s", PAUSE_S, describe(error))
                self._stop.wait(PAUSE_S)
                continue
            except Exception as error:  # noqa: BLE001 - logged with its place; `alive` turns False
                LOG.critical("worker stopped: %s", describe(error))
                return
            if count == 0:
                wake.wait(self._options.idle_s)
                wake.clear()

    def segment(self) -> int:
        """Segment the next image.

        Returns:
            How many jobs were taken.
        """
        jobs = self._queue.take(State.RECEIVED)
        for job in jobs:
            self._segment(job)
        return len(jobs)

    def _segment(self, job: Job) -> None:
        try:
            self._spool.write_results(job.id, self._writer(self._spool.image(job.id)))
        except InputError as error:  # permanent: the file does not change
            LOG.warning("job %s moved to the dead-letter queue: %s", job.id, describe(error))
            self._queue.give_up(job, reason(error))
        except Exception as error:  # noqa: BLE001 - logged with its place; the job is retried
            LOG.error("job %s failed to be segmented: %s", job.id, describe(error))
            self._queue.fail(job, reason(error))
        else:
            self._queue.advance([job], State.SEGMENTED)
            self._wake[self.deliver].set()

    def deliver(self) -> int:
        """Send results, and confirm those that were sent.

        Returns:
            How many jobs were taken.
        """
        return self._send() + self._confirm()

    def _send(self) -> int:
        jobs = self._with_results(State.SEGMENTED)
        if not jobs:
            return 0
        paths = {job.id: self._spool.results(job.id) for job in jobs}
        try:
            problems = self._destination.send([path for job in jobs for path in paths[job.id]])
        except Exception as error:  # noqa: BLE001 - logged with its place; the jobs are retried
            self._fail_all(jobs, error)
            return len(jobs)
        sent = []
        for job in jobs:
            errors = [problems[path] for path in paths[job.id] if problems[path]]
            if errors:
                LOG.warning("job %s was not sent: %s", job.id, errors[0])
                self._queue.fail(job, errors[0])
            else:
                sent.append(job)
        self._queue.advance(sent, State.SENT)
        return len(jobs)

    def _with_results(self, state: State) -> list[Job]:
        """Take the due jobs of a state; without results on disk they are segmented again."""
        jobs = []
        for job in self._queue.take(state, limit=self._options.batch_size):
            if self._spool.results(job.id):
                jobs.append(job)
            else:
                self._queue.fail(job, "its results were deleted", state=State.RECEIVED)
        return jobs

    def _confirm(self) -> int:
        jobs = self._with_results(State.SENT)
        if not jobs:
            return 0
        try:
            sent = {job.id: [reference(p) for p in self._spool.results(job.id)] for job in jobs}
            stored = self._destination.confirm([one for each in sent.values() for one in each])
        except Exception as error:  # noqa: BLE001 - logged with its place; the jobs are retried
            self._fail_all(jobs, error)
            return len(jobs)
        done = [job for job in jobs if {one.instance for one in sent[job.id]} <= stored]
        self._queue.advance(done, State.CONFIRMED)
        for job in done:
            if not self._options.keep:
                self._spool.remove(job.id)
        for job in jobs:
            if job not in done:
                resend = (job.attempts + 1) % RESEND_INTERVAL == 0
                state = State.SEGMENTED if resend else State.SENT
                self._queue.fail(job, "the peer has not stored all objects yet", state=state)
        return len(jobs)

    def _fail_all(self, jobs: Sequence[Job], error: Exception) -> None:
        if isinstance(error, PeerError):
            LOG.warning("delivery of %d jobs failed: %s", len(jobs), error.why)
        else:
            LOG.error("delivery of %d jobs failed: %s", len(jobs), describe(error))
        for job in jobs:
            self._queue.fail(job, reason(error), unreachable=isinstance(error, PeerError))


def reason(error: Exception) -> str:
    """The reason of a failure, without data of the image.

    Suraksha's own messages are made to be shown. Those of other libraries may quote values of the
    file, so only their type is used.
    """
    if isinstance(error, SurakshaError):
        return error.why
    return f"unexpected {type(error).__name__}; its place is in the log"
