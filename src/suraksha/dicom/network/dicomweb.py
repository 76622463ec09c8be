"""A DICOMweb server: search by QIDO-RS, retrieve by WADO-RS, store by STOW-RS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session
from pydicom import dcmread
from pydicom.dataset import Dataset

from suraksha.dicom.network.peer import PeerError, Reference, TemporaryError, is_loopback
from suraksha.errors import InputError, UsageError
from suraksha.io.dicom_guard import SOP_CLASSES

ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PAGE_SIZE = 200
CHUNK_BYTES, MAX_PART_HEADER = 1 << 16, 1 << 14
# status codes for one object: permanent errors, not found yet, and errors of the server
PERMANENT, NOT_FOUND, SERVER_ERROR = (400, 406, 409, 410, 415), 404, 500
SERIES_FIELDS = ("StudyInstanceUID", "SeriesInstanceUID", "NumberOfSeriesRelatedInstances")
INSTANCE_FIELDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
FAILED = "the request to the DICOMweb server failed"
# a search of dicomweb_client: DICOM JSON, which is `Any` until pydicom reads it
Search = Callable[..., list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Options for a DICOMweb server.

    Args:
        user: User name for basic authentication.
        password: Its password.
        token: Bearer token, instead of user and password.
        ca: PEM of the CAs that must have signed the server's certificate; default: the system's.
        client_certificate: PEM with our own certificate and key.
        allow_http: Allow plain HTTP to other computers.
        timeout_s: Timeout of connections and answers, in seconds.
        max_object_bytes: Larger images are not retrieved.
    """

    user: str = ""
    password: str = ""
    token: str = ""
    ca: Path | None = None
    client_certificate: Path | None = None
    allow_http: bool = False
    timeout_s: float = 30.0
    max_object_bytes: int = 256 << 20


class WebArchive:
    """A DICOMweb server, as a source of images and a destination of results.

    Args:
        url: Base URL, for example ``http://127.0.0.1:8042/dicom-web``.
        options: Options.

    Raises:
        UsageError: The URL is not http(s), contains a password, or would send patient data
            unencrypted over a network.
    """

    def __init__(self, url: str, options: WebOptions) -> None:
        self.url, self.options = _checked_url(url, options), options
        self._session = create_session()
        self._session.trust_env = False  # no proxy or password from the environment
        if options.user:
            self._session.auth = (options.user, options.password)
        if options.token:
            self._session.headers["Authorization"] = f"Bearer {options.token}"
        if options.ca is not None:
            self._session.verify = str(options.ca)
        if options.client_certificate is not None:
            self._session.cert = str(options.client_certificate)
        self._client = DICOMwebClient(self.url, self._session, timeout=options.timeout_s)
        self._client.set_http_retry_params(retry=False)
        logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)

    def series(self, study_dates: str = "") -> Iterator[tuple[str, str, int]]:
        """All ultrasound series: (study UID, series UID, number of instances or -1).

        Args:
            study_dates: A DICOM date range, such as ``20260101-``; empty for all.

        Raises:
            PeerError: The request failed.
        """
        filters = {"Modality": "US"} | ({"StudyDate": study_dates} if study_dates else {})
        search = self._client.search_for_series
        for found in self._pages(search, SERIES_FIELDS, search_filters=filters):
            count = found.get("NumberOfSeriesRelatedInstances")
            number = -1 if count in (None, "") else int(count)
            yield str(found.StudyInstanceUID), str(found.SeriesInstanceUID), number

    def images(self, study: str, series: str) -> Iterator[Reference]:
        """The instances of a series whose SOP class is accepted.

        Raises:
            PeerError: The request failed.
        """
        search = self._client.search_for_instances
        for found in self._pages(
            search, INSTANCE_FIELDS, study_instance_uid=study, series_instance_uid=series
        ):
            sop_class = str(found.get("SOPClassUID", ""))
            if sop_class in SOP_CLASSES:
                yield Reference(
                    sop_class=sop_class,
                    instance=str(found.SOPInstanceUID),
                    series=series,
                    study=study,
                )

    def retrieve(self, wanted: Reference, path: Path) -> None:
        """Retrieve an image in the transfer syntax it is stored in.

        Raises:
            InputError: The image is too large, or the server refuses it.
            TemporaryError: The server fails for this image.
            PeerError: The request failed.
        """
        parts = ("studies", wanted.study, "series", wanted.series, "instances", wanted.instance)
        try:
            answer = self._session.get(
                "/".join((self.url, *parts)),
                headers={"Accept": ACCEPT},
                timeout=self.options.timeout_s,
                stream=True,
            )
            with answer:
                if answer.status_code in PERMANENT:
                    raise _cannot_retrieve(f"the server answered {answer.status_code}")
                if answer.status_code == NOT_FOUND or answer.status_code >= SERVER_ERROR:
                    raise TemporaryError(
                        f"the server answered {answer.status_code} for an image", what=FAILED
                    )
                answer.raise_for_status()
                content_type = str(answer.headers.get("Content-Type", ""))
                chunks = answer.iter_content(CHUNK_BYTES)
                save_part(chunks, content_type, path=path, limit=self.options.max_object_bytes)
        except OSError as error:
            raise _failed(error) from error

    def send(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Store files; see `suraksha.dicom.network.peer.Destination.send`.

        Raises:
            PeerError: The request failed.
        """
        return {path: self._store(path) for path in paths}

    def confirm(self, objects: Sequence[Reference]) -> set[str]:
        """The SOP Instance UIDs of those objects that the server has stored.

        Raises:
            PeerError: The request failed.
        """
        stored = set()
        for each in objects:
            found = self._search(
                self._client.search_for_instances,
                study_instance_uid=each.study,
                series_instance_uid=each.series,
                search_filters={"SOPInstanceUID": each.instance},
            )
            if any(Dataset.from_json(x).get("SOPInstanceUID") == each.instance for x in found):
                stored.add(each.instance)
        return stored

    def _store(self, path: Path) -> str:
        try:
            answer = self._client.store_instances([dcmread(path)])
        except OSError as error:
            status = _status(error)
            if status in PERMANENT:
                return f"the server answered {status}"
            raise _failed(error) from error
        failed = answer.get("FailedSOPSequence") or []
        reasons = [int(item.get("FailureReason") or 0) for item in failed]
        return f"the server answered 0x{reasons[0]:04X}" if reasons else ""

    def _pages(
        self, search: Search, fields: Sequence[str], **arguments: object
    ) -> Iterator[Dataset]:
        """All results of a search, page by page; ends if a server repeats the same page."""
        known: set[str] = set()
        while True:
            found = [
                Dataset.from_json(item)
                for item in self._search(
                    search, fields=list(fields), limit=PAGE_SIZE, offset=len(known), **arguments
                )
            ]
            new = {_key(item): item for item in found if _key(item) not in known}
            yield from new.values()
            known |= new.keys()
            if len(found) < PAGE_SIZE or not new:
                return

    def _search(self, search: Search, **arguments: object) -> list[dict[str, Any]]:
        try:
            return search(**arguments)
        except (OSError, ValueError) as error:  # ValueError: the answer is not JSON
            raise _failed(error) from error


def save_part(chunks: Iterable[bytes], content_type: str, *, path: Path, limit: int) -> None:
    """Write the first part of a multipart/related answer to a file, without keeping it in memory.

    Args:
        chunks: The answer as it is received.
        content_type: Its Content-Type header, which names the boundary.
        path: The file.
        limit: Maximum size in bytes.

    Raises:
        InputError: The answer is not multipart, is incomplete or too large.
    """
    boundary = _boundary(content_type)
    if boundary is None:
        raise _cannot_retrieve("the answer is not multipart")
    end, tail, started = b"\r\n--" + boundary, b"\r\n", False
    written = 0
    with path.open("wb") as file:
        for chunk in chunks:
            tail += chunk
            if not started:
                head = tail.find(end)
                body = tail.find(b"\r\n\r\n", max(head, 0))
                if head < 0 or body < 0:
                    if len(tail) > MAX_PART_HEADER:
                        raise _cannot_retrieve("the answer contains no part")
                    continue
                tail, started = tail[body + 4 :], True
            stop = tail.find(end)
            ready = tail[:stop] if stop >= 0 else tail[: max(0, len(tail) - len(end))]
            written += len(ready)
            if written > limit:
                raise _cannot_retrieve(f"it is larger than {limit >> 20} MiB")
            file.write(ready)
            if stop >= 0:
                return
            tail = tail[len(ready) :]
    raise _cannot_retrieve("the answer is incomplete")


def _boundary(content_type: str) -> bytes | None:
    message = Message()
    message["Content-Type"] = content_type
    found = message.get_boundary()
    if message.get_content_maintype() != "multipart" or not found:
        return None
    return found.encode("latin-1", "replace")


def _cannot_retrieve(why: str) -> InputError:
    return InputError("cannot retrieve an image", why, "Check the log of the DICOMweb server")


def _key(item: Dataset) -> str:
    return str(item.get("SOPInstanceUID") or item.get("SeriesInstanceUID"))


def _checked_url(url: str, options: WebOptions) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise UsageError(
            "invalid URL of the DICOMweb server",
            "it is not an http:// or https:// URL, or it contains a user name or password",
            "Give for example http://127.0.0.1:8042/dicom-web, and --user",
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname) and not options.allow_http:
        raise UsageError(
            "refusing plain HTTP to a non-local DICOMweb server",
            "PHI would be sent unencrypted",
            "Give an https URL, or --unencrypted if the network is protected by other means",
        )
    return url.rstrip("/")


def _status(error: Exception) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _failed(error: Exception) -> PeerError:
    """The status or type of an error only: its text may contain URLs."""
    status = _status(error)
    why = f"the server answered {status}" if status else type(error).__name__
    return PeerError(why, what=FAILED)
