"""Storage commitment (PS3.4 J): ask a peer to promise that it keeps what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from suraksha.dicom.network.peer import Reference

REQUEST, SUCCESS, NO_SUCH_OBJECT = 1, 0x0000, 0x0112


class Commitments:
    """Requests that were made and the reports that answer them.

    A report may come on the association that asked or on one that the peer opens to the node. Only
    reports on requests of ours that are still waited for are heard; their UIDs cannot be guessed.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, set[str] | None] = {}
        self._news = threading.Condition()

    def handle(self, event: Event) -> tuple[int, None]:
        """Answer an N-EVENT-REPORT."""
        report = event.event_information
        name = str(report.get("TransactionUID", ""))
        kept = {
            str(x.get("ReferencedSOPInstanceUID")) for x in report.get("ReferencedSOPSequence", [])
        }
        kept -= {
            str(x.get("ReferencedSOPInstanceUID")) for x in report.get("FailedSOPSequence", [])
        }
        with self._news:
            if name not in self._waiting:
                return NO_SUCH_OBJECT, None
            self._waiting[name] = kept
            self._news.notify_all()
        return SUCCESS, None

    def ask(
        self,
        association: Association,
        objects: Sequence[Reference],
        *,
        wait_s: float,
    ) -> set[str] | None:
        """Ask the peer of an association for its promise, and wait for its report.

        Args:
            association: An established association that took the storage commitment context.
            objects: What it was sent.
            wait_s: How long to wait for the report.

        Returns:
            SOP Instance UIDs that it promises to keep; None where it does not answer in time or
            does not take the request.
        """
        request = _request(objects)
        name = str(request.TransactionUID)
        with self._news:
            self._waiting[name] = None
        try:
            status, _ = association.send_n_action(
                request, REQUEST, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            if status.get("Status") != SUCCESS:
                return None
            return self._wait(name, time.monotonic() + wait_s)
        finally:
            with self._news:
                self._waiting.pop(name, None)

    def _wait(self, name: str, end: float) -> set[str] | None:
        with self._news:
            while (found := self._waiting[name]) is None:
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(left)
            return found


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
