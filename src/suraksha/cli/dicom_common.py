"""Arguments and values that several verbs of ``dicom`` share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from suraksha.cli.arguments import natural, positive
from suraksha.errors import InputError, UsageError

if TYPE_CHECKING:
    from suraksha.dicom.network.commitment import Commitments
    from suraksha.dicom.network.dicomweb import WebOptions
    from suraksha.dicom.network.peer import Destination
    from suraksha.dicom.network.tls import Tls

TITLE, MIB, GIB = "SURAKSHA", 1 << 20, 1 << 30
CONFIRM = ("auto", "commitment", "query", "none")
PASSWORD, TOKEN = "SURAKSHA_DICOMWEB_PASSWORD", "SURAKSHA_DICOMWEB_TOKEN"


def add_spool(parser: argparse.ArgumentParser) -> None:
    """The folder of the node."""
    parser.add_argument(
        "--spool", type=Path, required=True, metavar="DIR", help="folder of the node's queue"
    )


def add_tls(parser: argparse.ArgumentParser) -> None:
    """Files of TLS."""
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="our certificate")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its key")
    parser.add_argument(
        "--tls-ca",
        type=Path,
        metavar="PEM",
        help="CA certificates that the peer's certificate is verified with",
    )


def tls_of(options: argparse.Namespace) -> Tls:
    """The TLS settings of `add_tls`."""
    from suraksha.dicom.network.tls import Tls

    return Tls(options.tls_cert, options.tls_key, options.tls_ca)


def add_destination(parser: argparse.ArgumentParser) -> None:
    """Where objects are sent by C-STORE."""
    parser.add_argument("--to", metavar="TITLE@HOST:PORT", help="peer that receives the results")
    parser.add_argument("--to-tls", action="store_true", help="use TLS to it; needs --tls-ca")
    parser.add_argument(
        "--aet", default=TITLE, metavar="TITLE", help="our AE title (default: %(default)s)"
    )
    parser.add_argument(
        "--confirm",
        default=CONFIRM[0],
        choices=CONFIRM,
        help="how to confirm storage; auto: storage commitment, else a query "
        "(default: %(default)s)",
    )


def add_web(parser: argparse.ArgumentParser) -> None:
    """How to reach a DICOMweb archive."""
    parser.add_argument(
        "--user",
        default="",
        metavar="NAME",
        help=f"user of the archive; the password is read from {PASSWORD}, a token from {TOKEN}",
    )
    parser.add_argument(
        "--web-ca",
        type=Path,
        metavar="PEM",
        help="CA certificates that the DICOMweb server is verified with",
    )
    parser.add_argument(
        "--unencrypted",
        action="store_true",
        help="allow plain HTTP to a non-local DICOMweb server (patient data unencrypted)",
    )


def add_work(parser: argparse.ArgumentParser) -> None:
    """How the queue is processed."""
    parser.add_argument("--keep", action="store_true", help="keep finished files in the spool")
    parser.add_argument(
        "--attempts",
        type=positive,
        default=12,
        metavar="N",
        help="attempts before a job becomes a dead letter (default: %(default)s)",
    )
    parser.add_argument(
        "--max-pending",
        type=positive,
        default=10_000,
        metavar="N",
        help="refuse images while this many are queued (default: %(default)s)",
    )
    parser.add_argument(
        "--max-object-mb",
        type=positive,
        default=256,
        metavar="MIB",
        help="maximum size of an image in MiB (default: %(default)s)",
    )
    parser.add_argument(
        "--min-free-mb",
        type=natural,
        default=1024,
        metavar="MIB",
        help="refuse images while less disk space is free (default: %(default)s)",
    )
    parser.add_argument(
        "--status-s",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds between status lines (default: %(default)s)",
    )


def dicom_files(paths: list[Path]) -> list[Path]:
    """The files given, and all files of the folders given.

    Raises:
        InputError: There is none.
    """
    found: list[Path] = []
    for path in paths:
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not found:
        raise InputError("no DICOM files were found", "the folders are empty", "Give DICOM files")
    return found


def web_options(options: argparse.Namespace) -> WebOptions:
    """The settings of `add_web`; secrets come from the environment, since others see arguments."""
    from suraksha.dicom.network.dicomweb import WebOptions

    return WebOptions(
        user=options.user,
        password=os.environ.get(PASSWORD, ""),
        token=os.environ.get(TOKEN, ""),
        ca=options.web_ca,
        allow_http=options.unencrypted,
    )


def dicom_destination(
    options: argparse.Namespace, commitments: Commitments | None = None
) -> Destination:
    """The peer of `add_destination`.

    Raises:
        UsageError: There is none, or TLS is asked for without a CA.
    """
    from suraksha.dicom.network.peer import Peer
    from suraksha.dicom.network.scu import DicomDestination, SendOptions
    from suraksha.dicom.network.tls import Tls

    if not options.to:
        raise UsageError(
            "there is no destination for results", "no peer is given", "Give --to TITLE@HOST:PORT"
        )
    tls = tls_of(options) if options.to_tls else Tls()
    if options.to_tls and options.tls_ca is None:
        raise UsageError(
            "--to-tls cannot be used",
            "without a CA the peer's identity cannot be checked",
            "Give --tls-ca too",
        )
    chosen = SendOptions(title=options.aet, confirm=options.confirm, tls=tls)
    return DicomDestination(Peer.parse(options.to), chosen, commitments)
