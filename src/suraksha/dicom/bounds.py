"""A server of associations that nobody can fill up: bounds on time, memory and connections.

pynetdicom takes a PDU of any announced length, waits for a TLS handshake in the thread that takes
connections, and counts associations alone. What is missing is added here.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

LEAST_PDU = 1 << 20
MAX_QUEUED = 4
INVALID_PDU = "Evt19"
# what decoding a message that is none may raise
GARBAGE = (
    *(AttributeError, LookupError, ValueError, TypeError, ArithmeticError, OSError, EOFError),
    *(RuntimeError, struct.error),
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the other ends may use together.

    Args:
        associations: Associations at a time; as many connections again may be on their way.
        object_bytes: Length of one object.
        held_bytes: What may be in memory of objects that are arriving.
        pdu_bytes: Length of a PDU that is asked for.
        pdu_s: Seconds in which a PDU, or a TLS handshake, must be through.
        idle_s: Seconds that an association may be silent.
    """

    associations: int = 8
    object_bytes: int = 256 << 20
    held_bytes: int = 512 << 20
    pdu_bytes: int = 256 << 10
    pdu_s: float = 30.0
    idle_s: float = 60.0


class Receiver:
    """In place of `AssociationSocket.recv`: bounded in length, memory and time.

    Args:
        association: Whose data it reads.
        bounds: The bounds.
        held: Bytes that each association holds, shared by all.
    """

    def __init__(self, association: Association, bounds: Bounds, held: dict[int, int]) -> None:
        self._association, self._bounds, self._held = association, bounds, held

    def __call__(self, nr_bytes: int) -> bytearray:
        """Read so many bytes; fewer where the connection ends.

        Raises:
            OSError: A bound is reached; pynetdicom then ends the connection.
        """
        self._check(nr_bytes)
        received, end = bytearray(), time.monotonic() + self._bounds.pdu_s
        connection: socket.socket | None = self._association.dul.socket.socket
        if connection is None:
            raise OSError("the connection has ended")
        while len(received) < nr_bytes:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("a PDU took too long")
            connection.settimeout(left)
            part = connection.recv(min(1 << 16, nr_bytes - len(received)))
            if not part:
                break
            received += part
        connection.settimeout(self._bounds.pdu_s)
        return received

    def _check(self, nr_bytes: int) -> None:
        bounds, dimse = self._bounds, self._association.dimse
        if nr_bytes > max(LEAST_PDU, bounds.pdu_bytes + 64):
            raise OSError("a PDU is too long")
        if dimse.msg_queue.qsize() > MAX_QUEUED:
            raise OSError("too many messages wait")
        message = dimse.message
        held = len(message.data_set.getbuffer()) + nr_bytes if message is not None else nr_bytes
        self._held[id(self._association)] = held
        if held > bounds.object_bytes or sum(list(self._held.values())) > bounds.held_bytes:
            raise OSError("an object is too long")


class BoundedServer(ThreadedAssociationServer):  # type: ignore[misc]
    """Takes connections until too many are open; a TLS handshake holds up nobody else."""

    daemon_threads = True
    bounds = Bounds()

    def __init__(self, *arguments: object, bounds: Bounds, **named: object) -> None:
        self.bounds, self._opening, self._count = bounds, 0, threading.Lock()
        self.held: dict[int, int] = {}
        self._open: dict[int, Association] = {}
        super().__init__(*arguments, **named)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, before its TLS handshake."""
        connection, address = self.socket.accept()
        connection.settimeout(self.bounds.pdu_s)
        return connection, address

    def verify_request(self, request: socket.socket, client_address: object) -> bool:
        """Whether there is room for one more connection."""
        return self._opening + len(self.active_associations) < 2 * self.bounds.associations

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        """Shake hands, then start the association; runs in a thread of its own."""
        with self._count:
            self._opening += 1
        try:
            if self.ssl_context is not None:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            self.shutdown_request(request)
        finally:
            with self._count:
                self._opening -= 1

    def service_actions(self) -> None:
        """Close connections whose threads ended without doing so, as they do on garbage."""
        super().service_actions()
        for association in list(self._open.values()):
            begun = association.ident is not None and association.dul.ident is not None
            if begun and not (association.is_alive() or association.dul.is_alive()):
                self._close(association)

    def server_close(self) -> None:
        """Stop listening, and close what is still open."""
        super().server_close()
        for association in list(self._open.values()):
            self._close(association)

    def _close(self, association: Association) -> None:
        wire: AssociationSocket = association.dul.socket
        if wire is not None and wire.socket is not None:
            wire.socket.close()
        self.unbound(association)

    def bound(self, association: Association) -> None:
        """Put the bounds in place of pynetdicom's own way to receive."""
        wire: AssociationSocket = association.dul.socket
        receive: Callable[[int], bytearray] = Receiver(association, self.bounds, self.held)
        wire.recv = receive
        dimse = association.dimse
        dimse.receive_primitive = _unbroken(association, dimse.receive_primitive)
        self._open[id(association)] = association

    def unbound(self, association: Association) -> None:
        """Forget an association."""
        self._open.pop(id(association), None)
        self.held.pop(id(association), None)


def _unbroken(association: Association, decode: Callable[[object], None]) -> Callable[..., None]:
    """A message of garbage aborts the association; pynetdicom's thread would die of it."""

    def receive(primitive: object) -> None:
        try:
            decode(primitive)
        except GARBAGE:
            association.dul.event_queue.put(INVALID_PDU)

    return receive
