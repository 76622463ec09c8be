"""An archive that speaks DICOMweb: QIDO-RS to look, WADO-RS to fetch, STOW-RS to store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session
from pydicom import dcmread
from pydicom.dataset import Dataset

from suraksha.dicom.network.multipart import save_part
from suraksha.dicom.network.peer import NotNowError, PeerError, Reference
from suraksha.dicom.network.scp import is_loopback
from suraksha.errors import InputError, UsageError
from suraksha.io.dicom_guard import SOP_CLASSES

FETCH = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PAGE = 200
Search = Callable[..., list[dict[str, Any]]]
# of one object: no use to ask again; not there yet; and from here on the archive's own trouble
REFUSED, ABSENT, TROUBLE = (400, 406, 409, 410, 415), 404, 500
SERIES = ("StudyInstanceUID", "SeriesInstanceUID", "NumberOfSeriesRelatedInstances")
INSTANCE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How to reach an archive.

    Args:
        user: Name for basic authentication.
        password: Its password.
        token: Bearer token, in place of a name.
        authority: PEM of the CAs that its certificate must come from; the system's where not given.
        certificate: PEM with our own certificate and key.
        unencrypted: Whether http may be used beyond this computer.
        timeout_s: Seconds to wait for any answer.
        object_bytes: Length of an image above which it is not fetched.
    """

    user: str = ""
    password: str = ""
    token: str = ""
    authority: Path | None = None
    certificate: Path | None = None
    unencrypted: bool = False
    timeout_s: float = 30.0
    object_bytes: int = 256 << 20


class WebArchive:
    """A DICOMweb service.

    Args:
        url: Where it is, for example ``http://127.0.0.1:8042/dicom-web``.
        options: How to reach it.

    Raises:
        UsageError: A URL that is no http(s), holds a password, or would send patient data openly
            over a network.
    """

    def __init__(self, url: str, options: WebOptions) -> None:
        self.url, self.options = _checked(url, options), options
        self._session: Any = create_session()
        self._session.trust_env = False  # no proxy or password that the environment holds
        if options.user:
            self._session.auth = (options.user, options.password)
        if options.token:
            self._session.headers["Authorization"] = f"Bearer {options.token}"
        if options.authority is not None:
            self._session.verify = str(options.authority)
        if options.certificate is not None:
            self._session.cert = str(options.certificate)
        self._client = DICOMwebClient(self.url, self._session, timeout=options.timeout_s)
        self._client.set_http_retry_params(retry=False)
        logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)

    def series(self, study_dates: str = "") -> Iterator[tuple[str, str, int]]:
        """All ultrasound series: (study, series, number of instances or -1).

        Args:
            study_dates: A DICOM date range, such as ``20260101-``; empty for all.

        Raises:
            PeerError: The archive cannot be used.
        """
        filters = {"Modality": "US"} | ({"StudyDate": study_dates} if study_dates else {})
        for found in self._pages(self._client.search_for_series, SERIES, search_filters=filters):
            count = found.get("NumberOfSeriesRelatedInstances")
            known = -1 if count in (None, "") else int(count)
            yield str(found.StudyInstanceUID), str(found.SeriesInstanceUID), known

    def images(self, study: str, series: str) -> Iterator[Reference]:
        """The instances of a series that are of a kind which is segmented.

        Raises:
            PeerError: The archive cannot be used.
        """
        search = self._client.search_for_instances
        for found in self._pages(
            search, INSTANCE, study_instance_uid=study, series_instance_uid=series
        ):
            if str(found.get("SOPClassUID", "")) in SOP_CLASSES:
                yield Reference(*(str(found.SOPClassUID), str(found.SOPInstanceUID), series, study))

    def fetch(self, wanted: Reference, path: Path) -> None:
        """Fetch an image as it is stored.

        Raises:
            InputError: It is longer than the options allow, or the archive does not give it.
            NotNowError: The archive fails over this image.
            PeerError: The archive cannot be used.
        """
        parts = ("studies", wanted.study, "series", wanted.series, "instances", wanted.instance)
        try:
            answer = self._session.get(
                "/".join((self.url, *parts)),
                headers={"Accept": FETCH},
                timeout=self.options.timeout_s,
                stream=True,
            )
            with answer:
                if answer.status_code in REFUSED:
                    raise InputError(
                        "an image cannot be fetched",
                        f"the archive answers {answer.status_code}",
                        "Look at the archive's log",
                    )
                if answer.status_code == ABSENT or answer.status_code >= TROUBLE:
                    raise NotNowError(f"it answers {answer.status_code} for an image")
                answer.raise_for_status()
                kind = str(answer.headers.get("Content-Type", ""))
                chunks = answer.iter_content(1 << 16)
                save_part(chunks, kind, path=path, limit=self.options.object_bytes)
        except OSError as error:
            raise _away(error) from error

    def send(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Store files; what went wrong with each, empty where nothing did.

        Raises:
            PeerError: The archive cannot be used.
        """
        return {path: self._store(path) for path in paths}

    def confirm(self, objects: Sequence[Reference]) -> set[str]:
        """Which of these the archive holds, by SOP Instance UID.

        Raises:
            PeerError: The archive cannot be used.
        """
        there = set()
        for each in objects:
            found = self._ask(
                self._client.search_for_instances,
                study_instance_uid=each.study,
                series_instance_uid=each.series,
                search_filters={"SOPInstanceUID": each.instance},
            )
            if any(Dataset.from_json(x).get("SOPInstanceUID") == each.instance for x in found):
                there.add(each.instance)
        return there

    def _store(self, path: Path) -> str:
        try:
            answer = self._client.store_instances([dcmread(path)])
        except OSError as error:
            status = _status(error)
            if status in REFUSED:
                return f"the archive answered {status}"
            raise _away(error) from error
        failed = answer.get("FailedSOPSequence") or []
        reasons = [int(item.get("FailureReason") or 0) for item in failed]
        return f"the archive answered 0x{reasons[0]:04X}" if reasons else ""

    def _pages(
        self,
        search: Search,
        fields: Sequence[str],
        **arguments: object,
    ) -> Iterator[Dataset]:
        """All that a search finds, a page at a time; an archive that repeats itself is left."""
        seen: set[str] = set()
        while True:
            found = [
                Dataset.from_json(item)
                for item in self._ask(
                    search, fields=list(fields), limit=PAGE, offset=len(seen), **arguments
                )
            ]
            new = {_key(item): item for item in found if _key(item) not in seen}
            yield from new.values()
            seen |= new.keys()
            if len(found) < PAGE or not new:
                return

    def _ask(self, search: Search, **arguments: object) -> list[dict[str, Any]]:
        try:
            found = search(**arguments)
        except (OSError, ValueError) as error:  # also what is no JSON
            raise _away(error) from error
        return found


def _key(item: Dataset) -> str:
    return str(item.get("SOPInstanceUID") or item.get("SeriesInstanceUID"))


def _checked(url: str, options: WebOptions) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise UsageError(
            "the URL of the archive cannot be used",
            "it is no http:// or https:// URL, or it holds a name or password",
            "Give for example http://127.0.0.1:8042/dicom-web, and --user",
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname) and not options.unencrypted:
        raise UsageError(
            "the archive is not asked over http",
            "images of patients would go over the network unencrypted",
            "Give an https URL, or --unencrypted where the network is safe by other means",
        )
    return url.rstrip("/")


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _away(error: Exception) -> PeerError:
    """The kind of failure alone: an exception's text may hold URLs."""
    status = _status(error)
    return PeerError(f"the archive answers {status}" if status else f"{type(error).__name__}")
