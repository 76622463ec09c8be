"""Bounds on what other ends may use, and a way to receive that keeps to them.

pynetdicom takes a PDU of any announced length, and as many messages as are sent.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from pynetdicom.association import Association

MIN_PDU = 1 << 20
MAX_QUEUED = 1


@dataclass(frozen=True, slots=True)
class NetworkLimits:
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

    def __init__(
        self, association: Association, bounds: NetworkLimits, held: dict[int, int]
    ) -> None:
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
        if nr_bytes > max(MIN_PDU, bounds.pdu_bytes + 64):
            raise OSError("a PDU is too long")
        waiting = list(dimse.msg_queue.queue)
        if len(waiting) > MAX_QUEUED:
            raise OSError("too many messages wait")
        parts = [primitive.DataSet for _, primitive in waiting if _has_data(primitive)]
        if dimse.message is not None:
            parts += [dimse.message.data_set, dimse.message.encoded_command_set]
        held = nr_bytes + sum(len(part.getbuffer()) for part in parts)
        self._held[id(self._association)] = held
        if held > bounds.object_bytes or sum(list(self._held.values())) > bounds.held_bytes:
            raise OSError("an object is too long")


def _has_data(primitive: object) -> bool:
    return getattr(primitive, "DataSet", None) is not None
