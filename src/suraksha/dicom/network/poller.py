"""Look at an archive again and again, and take in the images that are new."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from suraksha.dicom.network.dicomweb import WebArchive
from suraksha.dicom.network.jobs import job_id
from suraksha.dicom.network.peer import NotNowError, PeerError, Reference
from suraksha.dicom.network.queue import Queue
from suraksha.dicom.network.spool import Spool
from suraksha.errors import InputError
from suraksha.io.dicom_guard import guard


@dataclass(frozen=True, slots=True)
class PollOptions:
    """What is looked at, and how often.

    Args:
        every_s: Seconds between two looks.
        days: Only studies of so many days; None for all.
        free_bytes: Space on the disk below which nothing is fetched.
        pending: Jobs in the queue above which nothing is fetched.
    """

    every_s: float = 10.0
    days: int | None = None
    free_bytes: int = 1 << 30
    pending: int = 1000


class Poller:
    """Takes the ultrasound images of an archive into the queue, each once.

    Args:
        archive: Where to look.
        spool: Where images go.
        queue: Where jobs go.
        options: What is looked at.
    """

    def __init__(
        self, archive: WebArchive, spool: Spool, queue: Queue, options: PollOptions
    ) -> None:
        self._archive, self._spool, self._queue = archive, spool, queue
        self._options, self._stop = options, threading.Event()
        self._counts: Counter[str] = Counter()
        self._whole: dict[str, int] = {}
        self.last_error = ""
        self.wake: Callable[[], None] = lambda: None

    def counts(self) -> dict[str, int]:
        """What was found."""
        names = ("stored", "refused", "no_room", "image_features", "away")
        return {name: self._counts[name] for name in names}

    def start(self) -> None:
        """Look in a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
                self.last_error = ""
            except PeerError as error:
                self._counts["away"] += 1
                self.last_error = error.why
            except OSError as error:
                self._counts["no_room"] += 1
                self.last_error = type(error).__name__
            self._stop.wait(self._options.every_s)

    def look(self) -> int:
        """Look once; how many images were taken in.

        Raises:
            PeerError: The archive cannot be used.
            OSError: The spool cannot be written.
        """
        taken = 0
        for study, series, count in self._archive.series(self._dates()):
            if count >= 0 and self._whole.get(series) == count:
                continue
            failed = False
            for image in self._archive.images(study, series):
                if self._stop.is_set() or not self._has_room():
                    return taken
                try:
                    taken += self._take(image)
                except NotNowError as error:  # the next look asks for it again
                    failed = True
                    self._counts["not_now"] += 1
                    self.last_error = error.why
            if not failed:
                self._whole[series] = count
        self._counts["image_features"] += 1
        return taken

    def _take(self, image: Reference) -> int:
        job = job_id(image.instance)
        if self._queue.state(job) is not None:
            return 0
        try:
            with self._spool.arriving() as half:
                self._archive.fetch(image, half)
                if str(guard(half).header.get("SOPInstanceUID")) != image.instance:
                    raise InputError("an image cannot be used", "it is another one", "Send it")
                self._spool.accept(half, job)
        except InputError as error:
            self._queue.refuse(job, error.why)
            self._counts["refused"] += 1
            return 0
        self._queue.add(job)
        self._counts["stored"] += 1
        self.wake()
        return 1

    def _has_room(self) -> bool:
        if self._spool.free_bytes < self._options.free_bytes + self._archive.options.object_bytes:
            self._counts["no_room"] += 1
            return False
        return self._queue.pending() < self._options.pending

    def _dates(self) -> str:
        if self._options.days is None:
            return ""
        first = date.today() - timedelta(days=self._options.days)
        return f"{first:%Y%m%d}-"
