"""Send objects to a remote AE by C-STORE, and confirm that it has stored them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from suraksha.dicom.network.commitment import Commitments
from suraksha.dicom.network.peer import (
    CONFIRMATION_METHODS,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    Peer,
    PeerError,
    Reference,
    UnreachableError,
    read_identifiers,
)
from suraksha.dicom.network.tls import Tls

PENDING = (0xFF00, 0xFF01)
WARNING_CLASS = 0xB
MAX_CONTEXTS = 120


@dataclass(frozen=True, slots=True)
class SendOptions:
    """Options for a remote AE.

    Args:
        title: Our own AE title.
        confirm: How to make sure that objects are stored. ``commitment`` requests storage
            commitment; ``query`` searches each object by C-FIND; ``auto`` requests commitment and
            queries if the peer does not support it or does not report; ``none`` relies on the
            answer to C-STORE.
        tls: Files for TLS.
        timeout_s: Timeout of connections and answers, in seconds.
        commitment_timeout_s: Seconds to wait for a storage commitment report.
    """

    title: str = "SURAKSHA"
    confirm: str = CONFIRMATION_METHODS[0]
    tls: Tls = field(default_factory=Tls)
    timeout_s: float = 30.0
    commitment_timeout_s: float = 10.0


class DicomDestination:
    """A remote AE that receives objects by C-STORE.

    Args:
        peer: Its address.
        options: Options.
        commitments: Where storage commitment reports arrive.
    """

    def __init__(
        self, peer: Peer, options: SendOptions, commitments: Commitments | None = None
    ) -> None:
        self._peer, self._options = peer, options
        self._commitments = commitments or Commitments()
        self._no_commitment = False

    def send(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Send files; see `suraksha.dicom.network.peer.Destination.send`.

        Raises:
            PeerError: The peer is unreachable or ended the association.
        """
        needed = sorted({_sop_class_and_syntax(path) for path in paths})[:MAX_CONTEXTS]
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in needed]
        with self._association(contexts) as association:
            return {path: self._store(association, path) for path in paths}

    def confirm(self, objects: Sequence[Reference]) -> set[str]:
        """The SOP Instance UIDs of those objects that the peer has stored.

        Raises:
            PeerError: The peer is unreachable, or supports no way to confirm.
        """
        method = self._options.confirm
        if method == "none":
            return {each.instance for each in objects}
        if method in ("auto", "commitment") and not self._no_commitment:
            committed = self._request_commitment(objects)
            if committed is not None:
                return committed
            if method == "commitment":
                raise PeerError("it did not report storage commitment")
        with self._association([build_context(STUDY_ROOT_FIND)]) as association:
            return {each.instance for each in objects if self._find(association, each)}

    def _request_commitment(self, objects: Sequence[Reference]) -> set[str] | None:
        """What the peer commits to store; with ``auto``, a peer without report is asked once."""
        try:
            with self._association([build_context(STORAGE_COMMITMENT)]) as association:
                timeout_s = self._options.commitment_timeout_s
                committed = self._commitments.request(association, objects, timeout_s=timeout_s)
        except NoContextError:
            committed = None
        self._no_commitment = committed is None and self._options.confirm == "auto"
        return committed

    def _store(self, association: Association, path: Path) -> str:
        try:
            status = association.send_c_store(path).get("Status")
        except ValueError:
            return "the peer does not accept its SOP class or transfer syntax"
        except RuntimeError as error:
            raise PeerError("it ended the association") from error
        if status is None:
            raise PeerError("it did not answer C-STORE")
        if status == 0 or status >> 12 == WARNING_CLASS:
            return ""
        return f"the peer answered 0x{status:04X}"

    def _find(self, association: Association, wanted: Reference) -> bool:
        query = Dataset()
        query.QueryRetrieveLevel, query.SOPInstanceUID = "IMAGE", wanted.instance
        query.StudyInstanceUID, query.SeriesInstanceUID = wanted.study, wanted.series
        is_stored = False
        try:
            for status, match in association.send_c_find(query, STUDY_ROOT_FIND):
                if "Status" not in status:
                    raise PeerError("it did not answer C-FIND")
                if status.Status in PENDING and match is not None:
                    is_stored |= match.get("SOPInstanceUID") == wanted.instance
        except RuntimeError as error:
            raise PeerError("it ended the association") from error
        return is_stored

    @contextmanager
    def _association(self, contexts: Sequence[PresentationContext]) -> Iterator[Association]:
        options, entity = self._options, AE(ae_title=self._options.title)
        entity.connection_timeout = entity.acse_timeout = options.timeout_s
        entity.dimse_timeout = entity.network_timeout = options.timeout_s
        association = entity.associate(
            self._peer.host,
            self._peer.port,
            contexts=list(contexts),
            ae_title=self._peer.title,
            tls_args=_tls(options.tls.client(), self._peer.host),
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._commitments.handle)],
        )
        if not association.is_established:
            if association.is_rejected:
                raise PeerError("it rejected the association")
            if association.acceptor.primitive is not None:
                raise NoContextError("it accepted none of the presentation contexts")
            raise UnreachableError("connection refused or timed out")
        try:
            yield association
        finally:
            association.release()


class NoContextError(PeerError):
    """The peer is reachable but does not support the requested service."""


def _tls(context: ssl.SSLContext | None, host: str) -> tuple[ssl.SSLContext, str] | None:
    return None if context is None else (context, host)


def _sop_class_and_syntax(path: Path) -> tuple[str, str]:
    header = read_identifiers(path)
    return str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)
