"""The actions ``listen`` and ``watch``: they run until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suraksha.cli.dicom_common import (
    MIB,
    add_destination,
    add_spool,
    add_tls,
    add_web,
    add_work,
    dicom_destination,
    tls_of,
    web_options,
)
from suraksha.cli.segment import add_bundle, load_chosen
from suraksha.dicom.network.tls import Tls

if TYPE_CHECKING:
    from suraksha.dicom.network.peer import Destination, ObjectWriter
    from suraksha.dicom.network.service import DicomService


def add_listen(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``listen``."""
    add_spool(parser)
    add_destination(parser)
    parser.add_argument("--to-web", metavar="URL", help="or a DICOMweb archive that gets them")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=11112, help="0 takes a free one")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="TITLE", help="AE title that may call"
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help="accept connections from other computers"
    )
    parser.add_argument("--max-associations", type=int, default=8, metavar="N")
    add_tls(parser)
    add_web(parser)
    add_bundle(parser)
    add_work(parser)


def add_watch(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``watch``."""
    parser.add_argument("url", metavar="URL", help="for example http://127.0.0.1:8042/dicom-web")
    add_spool(parser)
    parser.add_argument("--every", type=float, default=10.0, metavar="S", help="seconds of rest")
    parser.add_argument("--days", type=int, metavar="N", help="only studies of the last N days")
    add_web(parser)
    add_bundle(parser)
    add_work(parser)


def run_listen(options: argparse.Namespace) -> int:
    """Take images by C-STORE until told to stop; 1 if the worker died."""
    _hush()
    from suraksha.dicom.network.commitment import Commitments
    from suraksha.dicom.network.dicomweb import WebArchive
    from suraksha.dicom.network.scp import ScpOptions, StorageScp
    from suraksha.dicom.network.server import NetworkLimits

    length = options.max_object_mb * MIB
    chosen = ScpOptions(
        title=options.aet,
        host=options.host,
        port=options.port,
        allowed_titles=tuple(options.allow),
        allow_remote=options.allow_remote,
        tls=_own_tls(options),
        limits=NetworkLimits(
            max_associations=options.max_associations,
            max_object_bytes=length,
            max_memory_bytes=2 * length,
        ),
        min_free_bytes=options.min_free_mb * MIB,
        max_pending=options.max_pending,
    )
    commitments = Commitments()
    destination: Destination = (
        WebArchive(options.to_web, web_options(options))
        if options.to_web
        else dicom_destination(options, commitments)
    )
    with _desk(options, destination) as (desk, make_ready):
        node = StorageScp(desk.spool, desk.queue, options=chosen, commitments=commitments)
        node.wake = desk.worker.wake
        node.start()
        make_ready(f"{chosen.title}@{chosen.host}:{node.port}")
        try:
            return _watch_over(options, desk, counts=node.counts)
        finally:
            node.stop()


def _own_tls(options: argparse.Namespace) -> Tls:
    """TLS of what calls us; a CA alone is for --to-tls."""
    return Tls() if options.to_tls and options.tls_cert is None else tls_of(options)


def run_watch(options: argparse.Namespace) -> int:
    """Take images from an archive until told to stop; 1 if the worker died."""
    _hush()
    from suraksha.dicom.network.dicomweb import WebArchive
    from suraksha.dicom.network.poller import Poller, PollOptions

    archive = WebArchive(options.url, web_options(options))
    chosen = PollOptions(
        interval_s=options.every,
        days=options.days,
        min_free_bytes=options.min_free_mb * MIB,
        max_pending=options.max_pending,
    )
    with _desk(options, archive) as (desk, make_ready):
        watcher = Poller(archive, desk.spool, desk.queue, options=chosen)
        watcher.wake = desk.worker.wake
        watcher.start()
        make_ready("archive")
        try:
            return _watch_over(options, desk, counts=watcher.counts)
        finally:
            watcher.stop()


def _hush() -> None:
    """Nothing that a library says about an image reaches the terminal or a log."""
    from suraksha.dicom.network.logs import silence_loggers

    silence_loggers()
    warnings.simplefilter("ignore")
    threading.excepthook = _kind_alone


def _kind_alone(ended: threading.ExceptHookArgs) -> None:
    """What to print of a thread that ended by an error: its text could tell of an image."""
    print(f"suraksha: a thread ended by {ended.exc_type.__name__}", file=sys.stderr)


def _maker(options: argparse.Namespace) -> ObjectWriter:
    from suraksha.dicom.objects.results import result_objects

    segment = load_chosen(options)

    def make(path: Path) -> list[Any]:
        return list(result_objects(path, segment))

    return make


@contextmanager
def _desk(
    options: argparse.Namespace, destination: Destination
) -> Iterator[tuple[DicomService, Callable[[str], None]]]:
    from suraksha.dicom.network.queue import RetryPolicy
    from suraksha.dicom.network.service import open_service
    from suraksha.dicom.network.worker import WorkerOptions

    def ready(where: str) -> None:
        line = {"event": "ready", "where": where}
        print(json.dumps(line) if options.json else f"ready: {where}", flush=True)
        print("Research use only. Stop with SIGTERM or Ctrl-C.", file=sys.stderr)

    with open_service(
        options.spool,
        _maker(options),
        destination=destination,
        retry=RetryPolicy(max_attempts=options.attempts),
        options=WorkerOptions(keep=options.keep),
    ) as desk:
        yield desk, ready


def _watch_over(
    options: argparse.Namespace, desk: DicomService, *, counts: Callable[[], dict[str, int]]
) -> int:
    """Print the status now and then, until a signal comes or the worker dies."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    last = ""
    while desk.worker.alive and not stop.wait(options.status_s):
        last = _tell(options, desk, counts(), last=last)
    _tell(options, desk, counts(), last="")
    if stop.is_set():
        return 0
    print("suraksha: the worker has died; start the node again", file=sys.stderr)
    return 1


def _tell(
    options: argparse.Namespace, desk: DicomService, counts: dict[str, int], *, last: str
) -> str:
    """One line of status; in plain text only where something has changed."""
    jobs = desk.queue.counts()
    text = ", ".join(f"{n} {name}" for name, n in (counts | jobs).items() if n) or "nothing yet"
    if options.json:
        line = {"event": "status", "node": counts, "queue": jobs, "free": desk.spool.free_bytes}
        print(json.dumps(line), flush=True)
    elif text != last:
        print(text, flush=True)
    return text
