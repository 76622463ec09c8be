"""The node: takes ultrasound images by C-STORE and keeps each on disk before it says yes."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from suraksha.dicom.network.commitment import Commitments
from suraksha.dicom.network.jobs import State, job_id
from suraksha.dicom.network.limits import NetworkLimits
from suraksha.dicom.network.peer import check_title
from suraksha.dicom.network.queue import Queue
from suraksha.dicom.network.server import LimitedServer
from suraksha.dicom.network.spool import Spool
from suraksha.dicom.network.tls import Tls
from suraksha.errors import InputError, UsageError
from suraksha.io.dicom_guard import SOP_CLASSES, TRANSFER_SYNTAXES, guard

SUCCESS, OUT_OF_RESOURCES, MISMATCH, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
MAX_UID = 64
# seconds in which a connection must ask for an association
REQUEST_S = 10.0


@dataclass(frozen=True, slots=True)
class ScpOptions:
    """How the node is seen from outside.

    Args:
        title: Its AE title; associations that call another one are refused.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        allowed: AE titles that may call; empty means any, which only loopback may.
        beyond_loopback: Whether other computers may reach it.
        tls: Files of TLS.
        bounds: What the other ends may use.
        free_bytes: Space on the disk below which nothing is taken.
        pending: Jobs in the queue above which nothing is taken.

    Raises:
        UsageError: A title that cannot be; an address beyond loopback that was not asked for, or
            without anyone named who may call.
    """

    title: str = "SURAKSHA"
    host: str = "127.0.0.1"
    port: int = 11112
    allowed: tuple[str, ...] = ()
    beyond_loopback: bool = False
    tls: Tls = field(default_factory=Tls)
    bounds: NetworkLimits = field(default_factory=NetworkLimits)
    free_bytes: int = 1 << 30
    pending: int = 10_000

    def __post_init__(self) -> None:
        for title in (self.title, *self.allowed):
            check_title(title)
        if is_loopback(self.host):
            return
        if not self.beyond_loopback:
            raise UsageError(
                f"the node does not listen on {self.host}",
                "other computers could reach it there",
                "Leave --host out, or give --beyond-loopback, and TLS",
            )
        if not self.allowed:
            raise UsageError(
                "the node cannot be open to everyone",
                "it would take images from any computer",
                "Name the AE titles that may call with --allow",
            )


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class StorageScp:
    """A C-STORE and C-ECHO SCP that spools and queues what it takes.

    Each image is written whole, has reached the disk and stands in the queue before it is
    answered with 0x0000. An image that is known already is not taken twice.

    Args:
        spool: Where images go.
        queue: Where jobs go.
        options: How it is seen from outside.
        commitments: Where reports of storage commitment go.
    """

    def __init__(
        self, spool: Spool, queue: Queue, options: ScpOptions, commitments: Commitments
    ) -> None:
        self.options, self._spool, self._queue = options, spool, queue
        self._commitments, self._server = commitments, None
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.wake: Callable[[], None] = lambda: None

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        return int(self._server.server_address[1]) if self._server else self.options.port

    def counts(self) -> dict[str, int]:
        """What came, by how it was answered."""
        names = ("stored", "known", "refused", "no_room")
        with self._lock:
            return {name: self._counts[name] for name in names}

    def start(self) -> None:
        """Take associations, in threads of their own, until `stop`.

        Raises:
            UsageError: An address that cannot be listened on, or TLS files that cannot be used.
        """
        options, bounds = self.options, self.options.bounds
        try:
            server: Any = _entity(options).make_server(
                (options.host, options.port),
                ae_title=options.title,
                ssl_context=options.tls.server(),
                evt_handlers=self._handlers(),
                server_class=LimitedServer,
                bounds=bounds,
            )
        except OSError as error:
            raise UsageError(
                f"the node cannot listen on {options.host}:{options.port}",
                str(error.strerror or type(error).__name__),
                "Choose another --port, or end what uses this one",
            ) from error
        server.ae._servers.append(server)
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()

    def stop(self) -> None:
        """End all associations and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            for association in server.active_associations:
                if association.is_established:
                    association.abort()
            server.shutdown()

    def _handlers(self) -> list[Any]:
        return [
            (evt.EVT_CONN_OPEN, lambda event: event.assoc._server.bound(event.assoc)),
            (evt.EVT_CONN_CLOSE, lambda event: event.assoc._server.unbound(event.assoc)),
            (evt.EVT_C_ECHO, lambda event: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._commitments.handle),
        ]

    def _store(self, event: evt.Event) -> int:
        """Answer C-STORE; never by an exception, whose text could tell of a patient."""
        try:
            with event.assoc._server.handled(event.assoc, len(event.request.DataSet.getbuffer())):
                status, outcome = self._take(event)
        except InputError:
            status, outcome = NOT_UNDERSTOOD, "refused"
        except (OSError, sqlite3.Error):
            status, outcome = OUT_OF_RESOURCES, "no_room"
        with self._lock:
            self._counts[outcome] += 1
        return status

    def _take(self, event: evt.Event) -> tuple[int, str]:
        instance = str(event.request.AffectedSOPInstanceUID)
        job = job_id(instance)
        if self._queue.state(job) not in (None, State.DEAD):
            return SUCCESS, "known"
        data: memoryview = event.request.DataSet.getbuffer()
        if not self._has_room(len(data)):
            return OUT_OF_RESOURCES, "no_room"
        if len(instance) > MAX_UID:
            return NOT_UNDERSTOOD, "refused"
        with self._spool.arriving() as half:
            _write(half, event, data)
            header = guard(half).header
            if str(header.get("SOPInstanceUID")) != instance:
                return MISMATCH, "refused"
            if str(header.get("SOPClassUID")) != str(event.request.AffectedSOPClassUID):
                return MISMATCH, "refused"
            self._spool.accept(half, job)
        added = self._queue.add(job)
        self.wake()
        return SUCCESS, "stored" if added else "known"

    def _has_room(self, size: int) -> bool:
        if self._spool.free_bytes - size < self.options.free_bytes:
            return False
        return self._queue.pending() < self.options.pending


def _entity(options: ScpOptions) -> AE:
    entity, bounds = AE(ae_title=options.title), options.bounds
    entity.maximum_associations = bounds.associations
    entity.maximum_pdu_size = bounds.pdu_bytes
    entity.dimse_timeout = bounds.pdu_s
    entity.acse_timeout = min(bounds.pdu_s, REQUEST_S)
    entity.network_timeout = bounds.idle_s
    entity.require_called_aet = True
    entity.require_calling_aet = list(options.allowed)
    entity.add_supported_context(Verification)
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    for sop_class in SOP_CLASSES:
        entity.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
    return entity


def _write(half: Path, event: evt.Event, data: memoryview) -> None:
    """Write what arrived as a DICOM file."""
    from pydicom.filebase import DicomFileLike
    from pydicom.filewriter import write_file_meta_info

    with half.open("wb") as file:
        file.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(DicomFileLike(file), event.file_meta, enforce_standard=True)
        file.write(data)
