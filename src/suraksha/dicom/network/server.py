"""An association server with limits on connections, memory and time.

pynetdicom alone accepts a PDU of any announced length and any number of messages, waits for a TLS
handshake in the thread that accepts connections, limits associations but not connections, and its
threads end on an invalid message. `LimitedServer` adds what is missing. It replaces two private
methods of pynetdicom's associations, so pyproject.toml limits the version.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.transport import ThreadedAssociationServer

MIN_PDU_BYTES = 1 << 20
MAX_QUEUED_MESSAGES = 1
READ_BYTES = 1 << 16
PDV_HEADER_BYTES = 64
INVALID_PDU = "Evt19"
# exceptions that decoding an invalid message can raise
INVALID_MESSAGE_ERRORS = (
    AttributeError,
    LookupError,
    ValueError,
    TypeError,
    ArithmeticError,
    OSError,
    EOFError,
    RuntimeError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class NetworkLimits:
    """What all remote AEs together may use.

    Args:
        max_associations: Concurrent associations. As many connections again may be waiting for
            their TLS handshake or association request.
        max_object_bytes: Size of one object.
        max_memory_bytes: Memory for all objects that are being received.
        max_pdu_bytes: PDU length that is negotiated.
        pdu_timeout_s: Seconds within which a PDU or a TLS handshake must be complete.
        idle_timeout_s: Seconds after which an idle association is aborted.
    """

    max_associations: int = 8
    max_object_bytes: int = 256 << 20
    max_memory_bytes: int = 512 << 20
    max_pdu_bytes: int = 256 << 10
    pdu_timeout_s: float = 30.0
    idle_timeout_s: float = 60.0


class Receiver:
    """Replaces ``AssociationSocket.recv`` with limits on length, memory and time.

    Args:
        association: The association whose socket is read.
        limits: The limits.
        memory: Bytes in memory by association, common to all associations of a server.
    """

    def __init__(
        self, association: Association, limits: NetworkLimits, memory: dict[int, int]
    ) -> None:
        self._association, self._limits, self._memory = association, limits, memory

    def __call__(self, nr_bytes: int) -> bytearray:
        """Read a number of bytes, or fewer if the connection ends.

        Raises:
            OSError: A limit is exceeded; pynetdicom then closes the connection.
        """
        self._check(nr_bytes)
        received, deadline = bytearray(), time.monotonic() + self._limits.pdu_timeout_s
        wire = self._association.dul.socket
        connection = None if wire is None else wire.socket
        if connection is None:
            raise OSError("the connection is closed")
        while len(received) < nr_bytes:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError("timeout while receiving a PDU")
            connection.settimeout(remaining_s)
            part = connection.recv(min(READ_BYTES, nr_bytes - len(received)))
            if not part:
                break
            received += part
        connection.settimeout(self._limits.pdu_timeout_s)
        return received

    def _check(self, nr_bytes: int) -> None:
        limits, dimse = self._limits, self._association.dimse
        if nr_bytes > max(MIN_PDU_BYTES, limits.max_pdu_bytes + PDV_HEADER_BYTES):
            raise OSError("PDU too long")
        waiting = list(dimse.msg_queue.queue)
        if len(waiting) > MAX_QUEUED_MESSAGES:
            raise OSError("too many queued messages")
        buffers = [getattr(primitive, "DataSet", None) for _, primitive in waiting]
        if dimse.message is not None:
            buffers += [dimse.message.data_set, dimse.message.encoded_command_set]
        size = nr_bytes + sum(len(b.getbuffer()) for b in buffers if b is not None)
        self._memory[id(self._association)] = size
        if size > limits.max_object_bytes:
            raise OSError("object too long")
        if sum(list(self._memory.values())) > limits.max_memory_bytes:
            raise OSError("too much data in memory")


class LimitedServer(ThreadedAssociationServer):
    """Accepts connections up to a limit; each TLS handshake runs in its own thread.

    Args:
        entity: The application entity, with its supported contexts.
        address: (host, port).
        limits: The limits.
        ssl_context: For TLS.
        handlers: pynetdicom's event handlers.

    Raises:
        OSError: The address cannot be bound.
    """

    daemon_threads = True

    def __init__(
        self,
        entity: AE,
        address: tuple[str, int],
        *,
        limits: NetworkLimits,
        ssl_context: SSLContext | None,
        handlers: list[EventHandlerType],
    ) -> None:
        self.limits, self.memory = limits, dict[int, int]()
        self._pending, self._lock = 0, threading.Lock()
        self._associations: dict[int, Association] = {}
        contexts = entity.supported_contexts
        super().__init__(
            entity, address, entity.ae_title, contexts, ssl_context, evt_handlers=handlers
        )
        entity._servers.append(self)  # `shutdown` removes it there

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, without the TLS handshake.

        Returns:
            The socket and its address, whose form depends on the family (hence `Any`).
        """
        connection, address = self.socket.accept()  # type: ignore[union-attr]  # bound by now
        connection.settimeout(self.limits.pdu_timeout_s)
        return connection, address

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether one more connection is accepted."""
        count = self._pending + len(self.active_associations)
        return count < 2 * self.limits.max_associations

    # socketserver declares a union for datagrams too; this server has connections only
    def finish_request(  # type: ignore[override]
        self,
        request: socket.socket,
        client_address: Any,  # noqa: ANN401 - its form depends on the address family
    ) -> None:
        """Complete the TLS handshake and start the association; runs in its own thread."""
        with self._lock:
            self._pending += 1
        try:
            if self.ssl_context is not None:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            self.shutdown_request(request)
        finally:
            with self._lock:
                self._pending -= 1

    def service_actions(self) -> None:
        """Close connections whose threads ended without closing them, as on invalid data."""
        super().service_actions()
        for association in list(self._associations.values()):
            started = association.ident is not None and association.dul.ident is not None
            if started and not (association.is_alive() or association.dul.is_alive()):
                self._close(association)

    def server_close(self) -> None:
        """Stop listening and close all connections."""
        super().server_close()
        for association in list(self._associations.values()):
            self._close(association)

    def _close(self, association: Association) -> None:
        wire = association.dul.socket
        if wire is not None and wire.socket is not None:
            wire.socket.close()
        self.remove(association)

    def add(self, association: Association) -> None:
        """Apply the limits to a new association."""
        wire, dimse = association.dul.socket, association.dimse
        if wire is None:
            return
        # Any: pynetdicom declares methods, which cannot be assigned
        receive: Any = Receiver(association, self.limits, self.memory)
        decode: Any = _abort_on_invalid(association, dimse.receive_primitive, memory=self.memory)
        wire.recv = receive  # type: ignore[method-assign]  # pynetdicom has no hook for it
        dimse.receive_primitive = decode  # type: ignore[method-assign]
        self._associations[id(association)] = association

    @contextmanager
    def processing(self, association: Association, size: int) -> Iterator[None]:
        """Count an object that is being processed as memory in use."""
        self.memory[-id(association)] = size
        try:
            yield
        finally:
            self.memory.pop(-id(association), None)

    def remove(self, association: Association) -> None:
        """Forget an association; one that still waits for its request ends immediately."""
        if association.requestor.primitive is None:  # else its thread would wait for the timeout
            end: Any = None  # the queue accepts it, though its type says primitives only
            association.dul.to_user_queue.put(end)
        association.dimse.message = None  # frees a partial object immediately
        self._associations.pop(id(association), None)
        self.memory.pop(id(association), None)


def _abort_on_invalid(
    association: Association, decode: Callable[[Any], None], *, memory: dict[int, int]
) -> Callable[[object], None]:
    """A decoder that aborts the association on an invalid message instead of ending the thread."""

    def receive(primitive: object) -> None:
        try:
            decode(primitive)
        except INVALID_MESSAGE_ERRORS:
            association.dul.event_queue.put(INVALID_PDU)
        if association.dimse.message is None:  # complete, not being received any more
            memory.pop(id(association), None)

    return receive
