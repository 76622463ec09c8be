"""The verbs ``dicom listen`` and ``dicom watch``: they run until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suraksha.cli.arguments import add_bundle, load_chosen, natural, positive
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

if TYPE_CHECKING:
    from suraksha.dicom.network.peer import Destination, ObjectWriter
    from suraksha.dicom.network.service import DicomService
    from suraksha.dicom.network.tls import Tls

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def add_listen(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``listen``."""
    add_spool(parser)
    add_destination(parser)
    parser.add_argument("--to-web", metavar="URL", help="or a DICOMweb archive")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=11112, help="0 for any free port (default: %(default)s)"
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="TITLE",
        help="AE title that may send images; repeatable",
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help="allow a --host that other computers can reach"
    )
    parser.add_argument(
        "--max-associations",
        type=positive,
        default=8,
        metavar="N",
        help="associations at once (default: %(default)s)",
    )
    add_tls(parser)
    add_web(parser)
    add_bundle(parser)
    add_work(parser)


def add_watch(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``watch``."""
    parser.add_argument("url", metavar="URL", help="for example http://127.0.0.1:8042/dicom-web")
    add_spool(parser)
    parser.add_argument(
        "--every", type=float, default=10.0, metavar="S", help="seconds between queries"
    )
    parser.add_argument("--days", type=natural, metavar="N", help="only studies of the last N days")
    add_web(parser)
    add_bundle(parser)
    add_work(parser)


def run_listen(options: argparse.Namespace) -> int:
    """Receive images by C-STORE until stopped; 1 if the worker died."""
    _silence_libraries()
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
    with _service(options, destination) as (service, announce):
        node = StorageScp(service.spool, service.queue, options=chosen, commitments=commitments)
        node.wake = service.worker.wake
        node.start()
        announce(f"{chosen.title}@{chosen.host}:{node.port}")
        try:
            return _monitor(options, service, counts=node.counts)
        finally:
            node.stop()


def _own_tls(options: argparse.Namespace) -> Tls:
    """TLS of incoming associations; a CA alone is for --to-tls."""
    from suraksha.dicom.network.tls import Tls

    return Tls() if options.to_tls and options.tls_cert is None else tls_of(options)


def run_watch(options: argparse.Namespace) -> int:
    """Fetch images from an archive until stopped; 1 if the worker died."""
    _silence_libraries()
    from suraksha.dicom.network.dicomweb import WebArchive
    from suraksha.dicom.network.poller import Poller, PollOptions

    archive = WebArchive(options.url, web_options(options))
    chosen = PollOptions(
        interval_s=options.every,
        days=options.days,
        min_free_bytes=options.min_free_mb * MIB,
        max_pending=options.max_pending,
    )
    with _service(options, archive) as (service, announce):
        watcher = Poller(archive, service.spool, service.queue, options=chosen)
        watcher.wake = service.worker.wake
        watcher.start()
        announce("archive")
        try:
            return _monitor(options, service, counts=watcher.counts)
        finally:
            watcher.stop()


def _silence_libraries() -> None:
    """Keep messages of libraries, which may quote an image, out of the terminal and the logs."""
    from suraksha.dicom.network.logs import silence_loggers

    silence_loggers()
    logging.basicConfig(format=LOG_FORMAT, level=logging.WARNING)
    warnings.simplefilter("ignore")
    threading.excepthook = _report_thread


def _report_thread(ended: threading.ExceptHookArgs) -> None:
    """Print the type of an error that ended a thread; its text could quote an image."""
    print(f"suraksha: a thread ended with {ended.exc_type.__name__}", file=sys.stderr)


def _object_writer(options: argparse.Namespace) -> ObjectWriter:
    from suraksha.dicom.objects.results import result_objects

    segment = load_chosen(options)

    def make(path: Path) -> list[Any]:
        return list(result_objects(path, segment))

    return make


@contextmanager
def _service(
    options: argparse.Namespace, destination: Destination
) -> Iterator[tuple[DicomService, Callable[[str], None]]]:
    from suraksha.dicom.network.queue import RetryPolicy
    from suraksha.dicom.network.service import open_service
    from suraksha.dicom.network.worker import WorkerOptions

    def announce(where: str) -> None:
        line = {"event": "ready", "where": where}
        print(json.dumps(line) if options.json else f"ready: {where}", flush=True)
        print("Research use only. Stop with SIGTERM or Ctrl-C.", file=sys.stderr)

    with open_service(
        options.spool,
        _object_writer(options),
        destination=destination,
        retry=RetryPolicy(max_attempts=options.attempts),
        options=WorkerOptions(keep=options.keep),
    ) as service:
        yield service, announce


def _monitor(
    options: argparse.Namespace, service: DicomService, *, counts: Callable[[], dict[str, int]]
) -> int:
    """Print the status at intervals until a signal arrives or the worker dies."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    last = ""
    while service.worker.alive and not stop.wait(options.status_s):
        last = _print_status(options, service, counts(), last=last)
    _print_status(options, service, counts(), last="")
    if stop.is_set():
        return 0
    print("suraksha: the worker has died; restart the node", file=sys.stderr)
    return 1


def _print_status(
    options: argparse.Namespace, service: DicomService, counts: dict[str, int], *, last: str
) -> str:
    """Print one line of status; in plain text only if something has changed."""
    jobs = service.queue.counts()
    text = ", ".join(f"{n} {name}" for name, n in (counts | jobs).items() if n) or "no images yet"
    if options.json:
        line = {"event": "status", "node": counts, "queue": jobs, "free": service.spool.free_bytes}
        print(json.dumps(line), flush=True)
    elif text != last:
        print(text, flush=True)
    return text
