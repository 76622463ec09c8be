"""The other end: who it is, and what a place that takes results must be able to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from suraksha.errors import InputError, SurakshaError, UsageError

if TYPE_CHECKING:
    from pydicom import Dataset

# makes the datasets to send of an image's file
ObjectWriter = Callable[[Path], Sequence[Any]]
ADDRESS = re.compile(r"(?P<title>[^@\\]{1,16})@(?P<host>\[[0-9a-fA-F:.]+\]|[^@:\s]+):(?P<port>\d+)")


class PeerError(SurakshaError):
    """The other end is not there, or ended the talk early; worth another try later."""

    def __init__(self, why: str) -> None:
        super().__init__("the peer cannot be used", why, "Look whether it runs, and try again")


class NotNowError(PeerError):
    """The other end does not give this one object now, though it answers."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A DICOM application on the network.

    Args:
        title: Its AE title.
        host: Name or address.
        port: TCP port.

    Raises:
        UsageError: A title or port that cannot be.
    """

    title: str
    host: str
    port: int

    def __post_init__(self) -> None:
        check_title(self.title)
        if not 0 < self.port < 65536:
            raise UsageError(
                f"{self.port} is no port", "ports go from 1 to 65535", "Give another one"
            )

    @classmethod
    def parse(cls, text: str) -> Peer:
        """A peer from ``TITLE@host:port``.

        Raises:
            UsageError: Another text.
        """
        found = ADDRESS.fullmatch(text)
        if found is None:
            raise UsageError(
                f"'{text}' is no DICOM address",
                "it is not of the form TITLE@host:port",
                "Give for example ORTHANC@127.0.0.1:4242",
            )
        return cls(found["title"].strip(), found["host"].strip("[]"), int(found["port"]))


def check_title(title: str) -> str:
    """An AE title, as PS3.5 allows it.

    Raises:
        UsageError: An empty one, one of more than 16 characters, or with a backslash or controls.
    """
    fits = len(title.strip()) > 0 and len(title) <= 16 and title.isascii() and title.isprintable()
    if not fits or "\\" in title:
        raise UsageError(
            f"'{title}' is no AE title",
            "a title has 1 to 16 printable ASCII characters and no backslash",
            "Give another one",
        )
    return title


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that was sent.

    Args:
        sop_class: Its SOP Class UID.
        instance: Its SOP Instance UID.
        series: Its Series Instance UID.
        study: Its Study Instance UID.
    """

    sop_class: str
    instance: str
    series: str
    study: str


class Destination(Protocol):
    """A place that takes results."""

    def send(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Send files; what went wrong with each, empty where nothing did.

        Raises:
            PeerError: Nobody is there.
        """

    def confirm(self, objects: Sequence[Reference]) -> set[str]:
        """Which of these it holds, by SOP Instance UID.

        Raises:
            PeerError: Nobody is there.
        """


def reference(path: Path) -> Reference:
    """What to ask for when asking for a file.

    Raises:
        InputError: A file that is no DICOM.
        OSError: A file that cannot be read.
    """
    found = head(path)
    names = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    return Reference(*(str(found.get(name, "")) for name in names))


def head(path: Path) -> Dataset:
    """The identifiers of a DICOM file.

    Raises:
        InputError: A file that is no DICOM, or tells not what it is.
        OSError: A file that cannot be read.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    names = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    try:
        found = dcmread(path, stop_before_pixels=True, specific_tags=list(names))
    except (InvalidDicomError, EOFError, ValueError) as error:
        raise _no_dicom(path) from error
    if "SOPClassUID" not in found or "TransferSyntaxUID" not in found.file_meta:
        raise _no_dicom(path)
    return found


def _no_dicom(path: Path) -> InputError:
    return InputError(f"{path} cannot be sent", "it is not a DICOM file", "Leave it out")
