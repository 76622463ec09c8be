"""Arguments and values that several actions of ``dicom`` share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from suraksha.dicom.network.peer import CONFIRMATION_METHODS, Destination, Peer
from suraksha.dicom.network.tls import Tls
from suraksha.errors import UsageError

if TYPE_CHECKING:
    from suraksha.dicom.network.commitment import Commitments
    from suraksha.dicom.network.dicomweb import WebOptions

TITLE, MIB, GIB = "SURAKSHA", 1 << 20, 1 << 30
PASSWORD, TOKEN = "SURAKSHA_DICOMWEB_PASSWORD", "SURAKSHA_DICOMWEB_TOKEN"


def add_spool(parser: argparse.ArgumentParser) -> None:
    """The folder of the node."""
    parser.add_argument(
        "--spool", type=Path, required=True, metavar="DIR", help="the node's own folder"
    )


def add_tls(parser: argparse.ArgumentParser) -> None:
    """Files of TLS."""
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="our own certificate")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its key")
    parser.add_argument(
        "--tls-ca", type=Path, metavar="PEM", help="CAs that the other end must come from"
    )


def tls_of(options: argparse.Namespace) -> Tls:
    """What `add_tls` lets give."""
    return Tls(options.tls_cert, options.tls_key, options.tls_ca)


def add_destination(parser: argparse.ArgumentParser) -> None:
    """Where objects go by C-STORE."""
    parser.add_argument("--to", metavar="TITLE@HOST:PORT", help="peer that gets them by C-STORE")
    parser.add_argument("--to-tls", action="store_true", help="talk TLS to it; needs --tls-ca")
    parser.add_argument("--aet", default=TITLE, metavar="TITLE", help="our own AE title")
    parser.add_argument(
        "--confirm",
        default=CONFIRMATION_METHODS[0],
        choices=CONFIRMATION_METHODS,
        help="how to make sure: storage commitment, a query, or the one after the other",
    )


def add_web(parser: argparse.ArgumentParser) -> None:
    """How to reach a DICOMweb archive."""
    parser.add_argument(
        "--user", default="", metavar="NAME", help=f"its password stands in {PASSWORD}"
    )
    parser.add_argument("--web-ca", type=Path, metavar="PEM", help="CAs of an https archive")
    parser.add_argument("--unencrypted", action="store_true", help="allow http to another computer")


def add_work(parser: argparse.ArgumentParser) -> None:
    """How the queue is worked off."""
    parser.add_argument("--keep", action="store_true", help="keep what is done in the spool")
    parser.add_argument("--attempts", type=int, default=12, metavar="N", help="then a dead letter")
    parser.add_argument(
        "--max-pending", type=int, default=10_000, metavar="N", help="take no more than these"
    )
    parser.add_argument(
        "--max-object-mb", type=int, default=256, metavar="MB", help="take no longer images"
    )
    parser.add_argument(
        "--min-free-mb", type=int, default=1024, metavar="MB", help="leave so much disk free"
    )
    parser.add_argument(
        "--status-s", type=float, default=10.0, metavar="S", help="seconds between status lines"
    )
    parser.add_argument("--json", action="store_true", help="print status lines as JSON")


def web_options(options: argparse.Namespace) -> WebOptions:
    """What `add_web` lets give; passwords come from the environment, as others see arguments."""
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
    """The peer that `add_destination` lets give.

    Raises:
        UsageError: None is given, or TLS without a CA.
    """
    from suraksha.dicom.network.scu import DicomDestination, SendOptions

    if not options.to:
        raise UsageError(
            "results have nowhere to go", "no peer is given", "Give --to TITLE@HOST:PORT"
        )
    tls = tls_of(options) if options.to_tls else Tls()
    if options.to_tls and options.tls_ca is None:
        raise UsageError(
            "--to-tls cannot be used",
            "without a CA anyone could answer in the peer's place",
            "Give --tls-ca too",
        )
    chosen = SendOptions(title=options.aet, confirm=options.confirm, tls=tls)
    return DicomDestination(Peer.parse(options.to), chosen, commitments)
