"""The DICOM service: one spool folder, its queue and its worker, locked for one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from suraksha.dicom.network.peer import Destination, ObjectWriter
from suraksha.dicom.network.queue import OPEN, Queue, RetryPolicy, State
from suraksha.dicom.network.spool import Spool
from suraksha.dicom.network.worker import Worker, WorkerOptions
from suraksha.files import lock

LOCK = "node"


@dataclass(frozen=True, slots=True)
class DicomService:
    """An open spool folder.

    Args:
        spool: Its files.
        queue: Its jobs.
        worker: Its worker, started.
    """

    spool: Spool
    queue: Queue
    worker: Worker


@contextmanager
def open_service(
    folder: Path,
    writer: ObjectWriter,
    *,
    destination: Destination,
    retry: RetryPolicy,
    options: WorkerOptions,
) -> Iterator[DicomService]:
    """Process the jobs of a spool folder; jobs of an earlier process are continued.

    Args:
        folder: The spool folder; created if missing.
        writer: Makes the objects to send from the file of an image.
        destination: Where they are sent.
        retry: How often and how long a job is retried.
        options: Options of the worker.

    Yields:
        The service; at the end the worker finishes its current jobs.

    Raises:
        BusyError: Another process uses the folder.
        InputError: The folder holds a queue of another version.
        OSError: The folder cannot be used.
    """
    spool = Spool(folder)
    with lock(folder / LOCK):
        queue = Queue(folder, retry)
        try:
            kept = (*OPEN, State.DEAD, *((State.CONFIRMED,) if options.keep else ()))
            spool.clean(queue.ids(*kept))
            worker = Worker(queue, spool, writer=writer, destination=destination, options=options)
            worker.start()
            try:
                yield DicomService(spool, queue, worker)
            finally:
                worker.stop()
        finally:
            queue.close()
