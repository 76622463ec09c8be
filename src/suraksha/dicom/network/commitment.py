"""Storage commitment (PS3.4 J): a peer confirms that it has safely stored what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.association import Association
from pynetdicom.events import Event

from suraksha.dicom.network.peer import (
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    Reference,
)

REQUEST_ACTION, SUCCESS, NO_SUCH_OBJECT = 1, 0x0000, 0x0112


class Commitments:
    """Open storage commitment requests, and the reports that answer them.

    A report arrives on the association of the request or on one that the peer opens to our SCP.
    Only reports on our own open requests are accepted; their UIDs cannot be guessed.
    """

    def __init__(self) -> None:
        self._open: dict[str, set[str] | None] = {}
        self._reported = threading.Condition()

    def handle(self, event: Event) -> tuple[int, None]:
        """Answer an N-EVENT-REPORT."""
        report = event.event_information
        transaction = str(report.get("TransactionUID", ""))
        committed = _instances(report, "ReferencedSOPSequence")
        committed -= _instances(report, "FailedSOPSequence")
        with self._reported:
            if transaction not in self._open:
                return NO_SUCH_OBJECT, None
            self._open[transaction] = committed
            self._reported.notify_all()
        return SUCCESS, None

    def request(
        self, association: Association, objects: Sequence[Reference], *, timeout_s: float
    ) -> set[str] | None:
        """Request storage commitment and wait for the report.

        Args:
            association: An established association with a storage commitment context.
            objects: The objects that were sent.
            timeout_s: Seconds to wait for the report.

        Returns:
            The SOP Instance UIDs that the peer commits to store; None if it rejects the request or
            does not report in time.
        """
        request = _request(objects)
        transaction = str(request.TransactionUID)
        with self._reported:
            self._open[transaction] = None
        try:
            status, _ = association.send_n_action(
                request, REQUEST_ACTION, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
            )
            if status.get("Status") != SUCCESS:
                return None
            return self._wait(transaction, time.monotonic() + timeout_s)
        finally:
            with self._reported:
                self._open.pop(transaction, None)

    def _wait(self, transaction: str, deadline: float) -> set[str] | None:
        with self._reported:
            while (committed := self._open[transaction]) is None:
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    return None
                self._reported.wait(remaining_s)
            return committed


def _instances(report: Dataset, sequence: str) -> set[str]:
    return {str(item.get("ReferencedSOPInstanceUID")) for item in report.get(sequence, [])}


def _request(objects: Sequence[Reference]) -> Dataset:
    request = Dataset()
    request.TransactionUID = generate_uid(prefix=None)
    items = []
    for each in objects:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = each.sop_class, each.instance
        items.append(item)
    request.ReferencedSOPSequence = items
    return request
