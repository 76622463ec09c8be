"""Send objects to a DICOM peer by C-STORE, and make sure that it has them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
)

from suraksha.dicom.network.commitment import Commitments
from suraksha.dicom.network.peer import Peer, PeerError, Reference, head
from suraksha.dicom.network.tls import Tls

CONFIRM = ("auto", "commitment", "query", "none")
FIND = StudyRootQueryRetrieveInformationModelFind
PENDING = (0xFF00, 0xFF01)
MAX_CONTEXTS = 120


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How to talk to a peer.

    Args:
        title: Our own AE title.
        confirm: ``commitment`` asks for storage commitment, ``query`` looks each object up by
            C-FIND, ``auto`` takes commitment and, where the peer has none or stays silent, the
            query; ``none`` trusts the answer to C-STORE.
        tls: Files of TLS.
        timeout_s: Seconds to wait for any answer.
        commitment_s: Seconds to wait for a report of storage commitment.
    """

    title: str = "SURAKSHA"
    confirm: str = "auto"
    tls: Tls = field(default_factory=Tls)
    timeout_s: float = 30.0
    commitment_s: float = 10.0


class DicomDestination:
    """A peer that takes objects by C-STORE.

    Args:
        peer: Who it is.
        options: How to talk to it.
        commitments: Where reports of storage commitment arrive.
    """

    def __init__(
        self, peer: Peer, options: SendOptions, commitments: Commitments | None = None
    ) -> None:
        self._peer, self._options = peer, options
        self._commitments = commitments or Commitments()
        self._silent = False

    def send(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Send files; what went wrong with each, empty where nothing did.

        Raises:
            PeerError: Nobody is there, or it went away.
        """
        kinds = {path: _kind(path) for path in paths}
        wanted = sorted(set(kinds.values()))[:MAX_CONTEXTS]
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in wanted]
        with self._association(contexts) as association:
            return {path: self._send(association, path) for path in paths}

    def confirm(self, objects: Sequence[Reference]) -> set[str]:
        """Which of these the peer holds, by SOP Instance UID.

        Raises:
            PeerError: Nobody is there, or it offers no way to find out.
        """
        how = self._options.confirm
        if how == "none":
            return {each.instance for each in objects}
        if how in ("auto", "commitment") and not self._silent:
            promised = self._promised(objects)
            if promised is not None:
                return promised
            if how == "commitment":
                raise PeerError("it gave no storage commitment")
        with self._association([build_context(FIND)]) as association:
            return {each.instance for each in objects if self._found(association, each)}

    def _promised(self, objects: Sequence[Reference]) -> set[str] | None:
        """What it promises to keep; one that has not answered once is not asked again."""
        try:
            with self._association([build_context(StorageCommitmentPushModel)]) as association:
                wait_s = self._options.commitment_s
                promised = self._commitments.ask(association, objects, wait_s=wait_s)
        except NoContextError:
            promised = None
        self._silent = promised is None and self._options.confirm == "auto"
        return promised

    def _send(self, association: Association, path: Path) -> str:
        try:
            status = association.send_c_store(path).get("Status")
        except ValueError:
            return "the peer does not take objects of its kind"
        except RuntimeError as error:
            raise PeerError("it ended the association") from error
        if status is None:
            raise PeerError("it did not answer")
        if status == 0 or status >> 12 == 0xB:
            return ""
        return f"the peer answered 0x{status:04X}"

    def _found(self, association: Association, wanted: Reference) -> bool:
        query = Dataset()
        query.QueryRetrieveLevel, query.SOPInstanceUID = "IMAGE", wanted.instance
        query.StudyInstanceUID, query.SeriesInstanceUID = wanted.study, wanted.series
        there = False
        try:
            for status, found in association.send_c_find(query, FIND):
                if "Status" not in status:
                    raise PeerError("it did not answer a query")
                pending = status.Status in PENDING and found is not None
                there |= pending and found.get("SOPInstanceUID") == wanted.instance
        except RuntimeError as error:
            raise PeerError("it ended the association") from error
        return there

    @contextmanager
    def _association(self, contexts: Sequence[Any]) -> Iterator[Any]:
        options, entity = self._options, AE(ae_title=self._options.title)
        entity.connection_timeout = entity.acse_timeout = options.timeout_s
        entity.dimse_timeout = entity.network_timeout = options.timeout_s
        association = entity.associate(
            *(self._peer.host, self._peer.port),
            contexts=list(contexts),
            ae_title=self._peer.title,
            tls_args=_tls(options.tls.client(), self._peer.host),
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._commitments.handle)],
        )
        if not association.is_established:
            if association.is_rejected:
                raise PeerError("it refused the association")
            if association.acceptor.primitive is not None:
                raise NoContextError("it takes nothing of what was proposed")
            raise PeerError("nobody answers there")
        try:
            yield association
        finally:
            association.release()


class NoContextError(PeerError):
    """The peer is there and does not offer what was asked for."""


def _tls(context: ssl.SSLContext | None, host: str) -> tuple[ssl.SSLContext, str] | None:
    return None if context is None else (context, host)


def _kind(path: Path) -> tuple[str, str]:
    """(SOP class, transfer syntax) of a file."""
    found = head(path)
    return str(found.SOPClassUID), str(found.file_meta.TransferSyntaxUID)
