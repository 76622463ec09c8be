"""Poll a DICOMweb server and add new ultrasound images to the queue."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from suraksha.dicom.network.dicomweb import WebArchive
from suraksha.dicom.network.logs import describe
from suraksha.dicom.network.peer import PeerError, Reference, TemporaryError
from suraksha.dicom.network.queue import Queue, job_id
from suraksha.dicom.network.spool import Spool
from suraksha.errors import InputError
from suraksha.io.dicom_guard import guard

LOG = logging.getLogger(__name__)
STOP_TIMEOUT_S = 60.0
OUTCOMES = ("stored", "refused", "retry", "failed", "out_of_resources", "polls", "unreachable")


@dataclass(frozen=True, slots=True)
class PollOptions:
    """What is polled, and how often.

    Args:
        interval_s: Seconds between two polls.
        days: Only studies of the last ``days`` days; None for all.
        min_free_bytes: Images are not retrieved if less disk space is free.
        max_pending: Images are not retrieved if more jobs are in the queue.
    """

    interval_s: float = 10.0
    days: int | None = None
    min_free_bytes: int = 1 << 30
    max_pending: int = 1000


class Poller:
    """Adds the ultrasound images of a DICOMweb server to the queue, each once.

    Args:
        archive: The server.
        spool: Where images are stored.
        queue: Where jobs are added.
        options: What is polled, and how often.
    """

    def __init__(
        self, archive: WebArchive, spool: Spool, queue: Queue, options: PollOptions
    ) -> None:
        self._archive, self._spool, self._queue = archive, spool, queue
        self._options, self._stop = options, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._counts: Counter[str] = Counter()
        self._complete: dict[str, int] = {}
        self.last_error = ""
        self.wake: Callable[[], None] = lambda: None

    def counts(self) -> dict[str, int]:
        """The number of images by outcome, of polls and of polls without an answer."""
        return {name: self._counts[name] for name in OUTCOMES}

    def start(self) -> None:
        """Poll in a thread until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling."""
        self._stop.set()
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.poll()
                self.last_error = ""
            except PeerError as error:
                self._record("unreachable", error.why)
                LOG.warning("poll failed: %s", error.why)
            except OSError as error:
                self._record("out_of_resources", type(error).__name__)
                LOG.error("poll failed: %s", describe(error))
            except Exception as error:  # noqa: BLE001 - logged with its place; polling goes on
                self._record("failed", type(error).__name__)
                LOG.error("poll failed unexpectedly: %s", describe(error))
            self._stop.wait(self._options.interval_s)

    def _record(self, outcome: str, why: str) -> None:
        self._counts[outcome] += 1
        self.last_error = why

    def poll(self) -> int:
        """Poll once.

        Returns:
            How many images were added.

        Raises:
            PeerError: The server is unreachable or failed.
            OSError: The spool cannot be written.
        """
        added = 0
        for study, series, count in self._archive.series(self._dates()):
            if count >= 0 and self._complete.get(series) == count:
                continue
            complete = True
            for image in self._archive.images(study, series):
                if self._stop.is_set() or not self._has_capacity():
                    return added
                try:
                    added += self._add(image)
                except TemporaryError as error:  # the next poll retrieves it again
                    complete = False
                    self._record("retry", error.why)
            if complete:
                self._complete[series] = count
        self._counts["polls"] += 1
        return added

    def _add(self, image: Reference) -> int:
        job = job_id(image.instance)
        if self._queue.state(job) is not None:
            return 0
        try:
            with self._spool.receiving() as part:
                self._archive.retrieve(image, part)
                if str(guard(part).header.get("SOPInstanceUID")) != image.instance:
                    raise InputError(
                        "cannot use a retrieved image",
                        "its SOP Instance UID differs from the requested one",
                        "Check the log of the DICOMweb server",
                    )
                self._spool.accept(part, job)
        except InputError as error:
            LOG.warning("image refused: %s", describe(error))
            self._queue.refuse(job, error.why)
            self._counts["refused"] += 1
            return 0
        self._queue.add(job)
        self._counts["stored"] += 1
        self.wake()
        return 1

    def _has_capacity(self) -> bool:
        max_object_bytes = self._archive.options.max_object_bytes
        if self._spool.free_bytes < self._options.min_free_bytes + max_object_bytes:
            self._counts["out_of_resources"] += 1
            return False
        return self._queue.pending() < self._options.max_pending

    def _dates(self) -> str:
        if self._options.days is None:
            return ""
        first = date.today() - timedelta(days=self._options.days)
        return f"{first:%Y%m%d}-"
