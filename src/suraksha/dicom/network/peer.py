"""Remote AEs: addresses, references to objects, and the interface of a destination of results."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from suraksha.errors import InputError, SurakshaError, UsageError

if TYPE_CHECKING:
    from pydicom import Dataset

# makes the datasets to send from the file of an image
ObjectWriter = Callable[[Path], "Sequence[Dataset]"]
# how to make sure that a peer has stored an object; the first is the default
CONFIRMATION_METHODS = ("auto", "commitment", "query", "none")
VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
MAX_TITLE_LENGTH = 16
ADDRESS = re.compile(r"(?P<title>[^@\\]{1,16})@(?P<host>\[[0-9a-fA-F:.]+\]|[^@:\s]+):(?P<port>\d+)")


class PeerError(SurakshaError):
    """A remote AE or DICOMweb server is unreachable or failed; the request can be repeated later.

    Args:
        why: The reason, without patient data.
        what: What failed.
    """

    def __init__(self, why: str, *, what: str = "the request to the remote AE failed") -> None:
        super().__init__(what, why, "Check that it is running, and try again")


class UnreachableError(PeerError):
    """No association can be opened to the remote AE."""

    def __init__(self, why: str) -> None:
        super().__init__(why, what="remote AE unreachable")


class TemporaryError(PeerError):
    """The peer answers, but cannot deliver this one object at the moment."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A DICOM application entity on the network.

    Args:
        title: Its AE title.
        host: Name or address.
        port: TCP port.

    Raises:
        UsageError: An invalid title or port.
    """

    title: str
    host: str
    port: int

    def __post_init__(self) -> None:
        check_title(self.title)
        if not 0 < self.port < 65536:
            raise UsageError(
                f"invalid port {self.port}",
                "a port is a number between 1 and 65535",
                "Give for example 104 or 11112",
            )

    @classmethod
    def parse(cls, text: str) -> Peer:
        """A peer from ``TITLE@host:port``.

        Raises:
            UsageError: The text has another form.
        """
        found = ADDRESS.fullmatch(text)
        if found is None:
            raise UsageError(
                f"invalid DICOM address '{text}'",
                "it does not have the form TITLE@host:port",
                "Give for example ORTHANC@127.0.0.1:4242",
            )
        return cls(found["title"].strip(), found["host"].strip("[]"), int(found["port"]))


def check_title(title: str) -> str:
    """Check an AE title (PS3.5, VR AE).

    Raises:
        UsageError: An empty title, or one with more than 16 characters, backslash or controls.
    """
    valid = bool(title.strip()) and len(title) <= MAX_TITLE_LENGTH
    if not valid or not title.isascii() or not title.isprintable() or "\\" in title:
        raise UsageError(
            f"invalid AE title '{title}'",
            "an AE title has 1 to 16 printable ASCII characters and no backslash",
            "Give for example SURAKSHA",
        )
    return title


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this computer only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Reference:
    """The identifiers of an object.

    Args:
        sop_class: SOP Class UID.
        instance: SOP Instance UID.
        series: Series Instance UID.
        study: Study Instance UID.
    """

    sop_class: str
    instance: str
    series: str
    study: str


class Destination(Protocol):
    """Where results are sent."""

    def send(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Send files.

        Returns:
            The error of each file; empty where it was accepted.

        Raises:
            PeerError: The peer is unreachable or ended the connection.
        """

    def confirm(self, objects: Sequence[Reference]) -> set[str]:
        """The SOP Instance UIDs of those objects that the peer has stored.

        Raises:
            PeerError: The peer is unreachable, or offers no way to find out.
        """


def reference(path: Path) -> Reference:
    """The identifiers of a DICOM file.

    Raises:
        InputError: The file is not DICOM.
        OSError: The file cannot be read.
    """
    header = read_identifiers(path)
    sop_class, instance, series, study = (str(header.get(name, "")) for name in IDENTIFIERS)
    return Reference(sop_class=sop_class, instance=instance, series=series, study=study)


def read_identifiers(path: Path) -> Dataset:
    """The identifiers and file meta information of a DICOM file.

    Raises:
        InputError: The file is not DICOM, or lacks its SOP class or transfer syntax.
        OSError: The file cannot be read.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=list(IDENTIFIERS))
    except (InvalidDicomError, EOFError, ValueError) as error:
        raise _not_dicom(path) from error
    if "SOPClassUID" not in header or "TransferSyntaxUID" not in header.file_meta:
        raise _not_dicom(path)
    return header


def _not_dicom(path: Path) -> InputError:
    return InputError(f"cannot send {path}", "it is not a DICOM file", "Remove it from the list")
