"""A server of associations that nobody can fill up.

pynetdicom waits for a TLS handshake in the thread that takes connections, counts associations alone
and lets a thread die of a message of garbage. What is missing is added here.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

from suraksha.dicom.network.limits import NetworkLimits, Receiver

INVALID_PDU = "Evt19"
# what decoding a message that is none may raise
GARBAGE = (
    *(AttributeError, LookupError, ValueError, TypeError, ArithmeticError, OSError, EOFError),
    *(RuntimeError, struct.error),
)


class LimitedServer(ThreadedAssociationServer):  # type: ignore[misc]
    """Takes connections until too many are open; a TLS handshake holds up nobody else."""

    daemon_threads = True
    bounds = NetworkLimits()

    def __init__(self, *arguments: object, bounds: NetworkLimits, **named: object) -> None:
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
        decode = _unbroken(association, dimse.receive_primitive, held=self.held)
        dimse.receive_primitive = decode
        self._open[id(association)] = association

    @contextmanager
    def handled(self, association: Association, size: int) -> Iterator[None]:
        """Count an object that is worked on among what is in memory."""
        self.held[-id(association)] = size
        try:
            yield
        finally:
            self.held.pop(-id(association), None)

    def unbound(self, association: Association) -> None:
        """Forget an association; one that still waits for its request ends now."""
        if association.requestor.primitive is None:  # else its thread would wait for the timeout
            association.dul.to_user_queue.put(None)
        association.dimse.message = None  # what arrived of an object goes now, not with the cycle
        self._open.pop(id(association), None)
        self.held.pop(id(association), None)


def _unbroken(
    association: Association, decode: Callable[[object], None], *, held: dict[int, int]
) -> Callable[[object], None]:
    """A message of garbage aborts the association; pynetdicom's thread would die of it."""

    def receive(primitive: object) -> None:
        try:
            decode(primitive)
        except GARBAGE:
            association.dul.event_queue.put(INVALID_PDU)
        if association.dimse.message is None:  # whole, and no longer arriving
            held.pop(id(association), None)

    return receive
