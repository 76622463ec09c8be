"""The storage SCP: accepts ultrasound images and stores each on disk before it answers success."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import EventHandlerType

from suraksha.dicom.network.commitment import Commitments
from suraksha.dicom.network.logs import describe
from suraksha.dicom.network.peer import (
    STORAGE_COMMITMENT,
    VERIFICATION,
    check_title,
    is_loopback,
)
from suraksha.dicom.network.queue import Queue, State, job_id
from suraksha.dicom.network.server import LimitedServer, NetworkLimits
from suraksha.dicom.network.spool import Spool
from suraksha.dicom.network.tls import Tls
from suraksha.errors import InputError, UsageError
from suraksha.io.dicom_guard import SOP_CLASSES, TRANSFER_SYNTAXES, guard

LOG = logging.getLogger(__name__)
SUCCESS, OUT_OF_RESOURCES, MISMATCH, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000
MAX_UID_LENGTH = 64
# seconds within which a connection must request an association
REQUEST_TIMEOUT_S = 10.0
OUTCOMES = ("stored", "known", "refused", "failed", "out_of_resources")


@dataclass(frozen=True, slots=True)
class ScpOptions:
    """Options of the storage SCP.

    Args:
        title: Its AE title; associations that call another title are rejected.
        host: Address to listen on.
        port: TCP port; 0 selects a free one.
        allowed_titles: AE titles that may call; empty allows any, on loopback only.
        allow_remote: Whether other computers may connect.
        tls: Files for TLS.
        limits: What remote AEs may use.
        min_free_bytes: Images are refused if less disk space is free.
        max_pending: Images are refused if more jobs are in the queue.

    Raises:
        UsageError: An invalid title; an address that other computers can reach without
            ``allow_remote`` or without allowed titles.
    """

    title: str = "SURAKSHA"
    host: str = "127.0.0.1"
    port: int = 11112
    allowed_titles: tuple[str, ...] = ()
    allow_remote: bool = False
    tls: Tls = field(default_factory=Tls)
    limits: NetworkLimits = field(default_factory=NetworkLimits)
    min_free_bytes: int = 1 << 30
    max_pending: int = 10_000

    def __post_init__(self) -> None:
        for title in (self.title, *self.allowed_titles):
            check_title(title)
        if is_loopback(self.host):
            return
        if not self.allow_remote:
            raise UsageError(
                f"refusing to listen on {self.host}",
                "other computers could connect to this address",
                "Omit --host to listen on this computer only, or give --allow-remote, and use TLS",
            )
        if not self.allowed_titles:
            raise UsageError(
                f"refusing to listen on {self.host} without allowed AE titles",
                "images from any computer would be accepted",
                "Name the AE titles that may call with --allow",
            )


class StorageScp:
    """A C-STORE and C-ECHO SCP that adds what it receives to a queue.

    Each image is complete, on disk and in the queue before it is answered with 0x0000. An image
    that is already known is not stored again.

    Args:
        spool: Where images are stored.
        queue: Where jobs are added.
        options: Options.
        commitments: Where storage commitment reports arrive.
    """

    def __init__(
        self, spool: Spool, queue: Queue, options: ScpOptions, commitments: Commitments
    ) -> None:
        self.options, self._spool, self._queue = options, spool, queue
        self._commitments = commitments
        self._server: LimitedServer | None = None
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.wake: Callable[[], None] = lambda: None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return int(self._server.server_address[1]) if self._server else self.options.port

    def counts(self) -> dict[str, int]:
        """The number of C-STORE requests by outcome."""
        with self._lock:
            return {name: self._counts[name] for name in OUTCOMES}

    def start(self) -> None:
        """Accept associations, in threads, until `stop`.

        Raises:
            UsageError: The address cannot be used, or the TLS files cannot.
        """
        options = self.options
        try:
            server = LimitedServer(
                _entity(options),
                (options.host, options.port),
                limits=options.limits,
                ssl_context=options.tls.server(),
                handlers=self._handlers(),
            )
        except OSError as error:
            raise UsageError(
                f"cannot listen on {options.host}:{options.port}",
                str(error.strerror or type(error).__name__),
                "Choose another --port, or stop the program that uses this one",
            ) from error
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()

    def stop(self) -> None:
        """Abort all associations and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            for association in server.active_associations:
                if association.is_established:
                    association.abort()
            server.shutdown()

    def _handlers(self) -> list[EventHandlerType]:
        return [
            (evt.EVT_CONN_OPEN, lambda event: _server_of(event).add(event.assoc)),
            (evt.EVT_CONN_CLOSE, lambda event: _server_of(event).remove(event.assoc)),
            (evt.EVT_C_ECHO, lambda event: SUCCESS),
            (evt.EVT_C_STORE, self._handle_store),
            (evt.EVT_N_EVENT_REPORT, self._commitments.handle),
        ]

    def _handle_store(self, event: evt.Event) -> int:
        """Answer C-STORE; no exception reaches pynetdicom, which would log its text."""
        try:
            request, data = _request(event)
            with _server_of(event).processing(event.assoc, len(data)):
                status, outcome = self._store(event, request, data)
        except InputError as error:
            LOG.warning("C-STORE refused: %s", describe(error))
            status, outcome = CANNOT_UNDERSTAND, "refused"
        except (OSError, sqlite3.Error) as error:
            LOG.error("C-STORE failed: %s", describe(error))
            status, outcome = OUT_OF_RESOURCES, "out_of_resources"
        except Exception as error:  # noqa: BLE001 - logged with its place; the peer needs a status
            LOG.error("C-STORE failed unexpectedly: %s", describe(error))
            status, outcome = CANNOT_UNDERSTAND, "failed"
        with self._lock:
            self._counts[outcome] += 1
        return status

    def _store(self, event: evt.Event, request: C_STORE, data: memoryview) -> tuple[int, str]:
        """(status, outcome) of a request."""
        instance = str(request.AffectedSOPInstanceUID)
        job = job_id(instance)
        if self._queue.state(job) not in (None, State.DEAD):
            return SUCCESS, "known"
        if not self._has_capacity(len(data)):
            return OUT_OF_RESOURCES, "out_of_resources"
        if len(instance) > MAX_UID_LENGTH:
            return CANNOT_UNDERSTAND, "refused"
        with self._spool.receiving() as part:
            _write(part, event, data)
            header = guard(part).header
            if str(header.get("SOPInstanceUID")) != instance:
                return MISMATCH, "refused"
            if str(header.get("SOPClassUID")) != str(request.AffectedSOPClassUID):
                return MISMATCH, "refused"
            self._spool.accept(part, job)
        added = self._queue.add(job)
        self.wake()
        return SUCCESS, "stored" if added else "known"

    def _has_capacity(self, size: int) -> bool:
        if self._spool.free_bytes - size < self.options.min_free_bytes:
            return False
        return self._queue.pending() < self.options.max_pending


def _server_of(event: evt.Event) -> LimitedServer:
    server = event.assoc._server
    if not isinstance(server, LimitedServer):
        raise TypeError("the association does not belong to a LimitedServer")
    return server


def _request(event: evt.Event) -> tuple[C_STORE, memoryview]:
    """A C-STORE request and its data set."""
    request = event.request
    if not isinstance(request, C_STORE) or request.DataSet is None:
        raise InputError("C-STORE refused", "it has no data set", "Send the image again")
    return request, request.DataSet.getbuffer()


def _entity(options: ScpOptions) -> AE:
    entity, limits = AE(ae_title=options.title), options.limits
    entity.maximum_associations = limits.max_associations
    entity.maximum_pdu_size = limits.max_pdu_bytes
    entity.dimse_timeout = limits.pdu_timeout_s
    entity.acse_timeout = min(limits.pdu_timeout_s, REQUEST_TIMEOUT_S)
    entity.network_timeout = limits.idle_timeout_s
    entity.require_called_aet = True
    entity.require_calling_aet = list(options.allowed_titles)
    entity.add_supported_context(VERIFICATION)
    entity.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
    for sop_class in SOP_CLASSES:
        entity.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
    return entity


def _write(part: Path, event: evt.Event, data: memoryview) -> None:
    """Write a received data set as a DICOM file."""
    from pydicom.filebase import DicomFileLike
    from pydicom.filewriter import write_file_meta_info

    with part.open("wb") as file:
        file.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(DicomFileLike(file), event.file_meta, enforce_standard=True)
        file.write(data)
