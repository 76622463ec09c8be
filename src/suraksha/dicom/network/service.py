"""The node's working place: one folder, one queue, one worker, held by one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from suraksha.dicom.network.jobs import OPEN, Patience, State
from suraksha.dicom.network.peer import Destination, ObjectWriter
from suraksha.dicom.network.queue import Queue
from suraksha.dicom.network.spool import Spool
from suraksha.dicom.network.worker import Worker, WorkOptions
from suraksha.files import lock

LOCK = "node"


@dataclass(frozen=True, slots=True)
class DicomService:
    """A folder that is worked in.

    Args:
        spool: Its files.
        queue: Its jobs.
        worker: What works them off, started.
    """

    spool: Spool
    queue: Queue
    worker: Worker


@contextmanager
def open_service(
    folder: Path,
    make: ObjectWriter,
    *,
    destination: Destination,
    patience: Patience,
    options: WorkOptions,
) -> Iterator[DicomService]:
    """Work in a folder: what an earlier process left is picked up where it died.

    Args:
        folder: The spool; made as needed.
        make: Makes the objects to send of an image's file.
        destination: Where they go.
        patience: How long a job is tried.
        options: How the queue is worked off.

    Yields:
        The desk; in the end the worker finishes what it has in hand.

    Raises:
        BusyError: Another process works in the folder.
        OSError: A folder that cannot be used.
    """
    spool = Spool(folder)
    with lock(folder / LOCK):
        queue = Queue(folder, patience)
        try:
            queue.release()
            kept = (*OPEN, State.DEAD, *((State.CONFIRMED,) if options.keep else ()))
            spool.sweep(queue.ids(*kept))
            worker = Worker(queue, spool, make=make, destination=destination, options=options)
            worker.start()
            try:
                yield DicomService(spool, queue, worker)
            finally:
                worker.stop()
        finally:
            queue.close()
