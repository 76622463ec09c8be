"""The verbs ``dicom send`` and ``dicom queue``."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from suraksha.cli.dicom_common import (
    add_destination,
    add_spool,
    add_tls,
    dicom_destination,
    dicom_files,
)
from suraksha.errors import InputError

if TYPE_CHECKING:
    from suraksha.dicom.network.queue import Queue


def add_send(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``send``."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="DICOM files or folders"
    )
    add_destination(parser)
    add_tls(parser)


def run_send(options: argparse.Namespace) -> int:
    """Send files by C-STORE and confirm that they were stored; 1 if any was not."""
    from suraksha.dicom.network.logs import silence_loggers
    from suraksha.dicom.network.peer import reference

    silence_loggers()
    paths = dicom_files(options.paths)
    destination = dicom_destination(options)
    problems = destination.send(paths)
    sent = {path: reference(path) for path in paths if not problems[path]}
    there = destination.confirm(list(sent.values())) if sent else set()
    missing = [path for path, one in sent.items() if one.instance not in there]
    failed = [f"file {n}: {why}" for n, why in enumerate(problems.values(), 1) if why]
    failed += [f"file {paths.index(path) + 1}: not confirmed" for path in missing]
    record = {"sent": len(sent), "confirmed": len(sent) - len(missing), "problems": failed}
    if options.json:
        print(json.dumps(record))
    else:
        print(f"{record['sent']} of {len(paths)} sent, {record['confirmed']} confirmed")
        for line in failed:
            print(f"suraksha: {line}", file=sys.stderr)
    return int(bool(failed))


def add_queue(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``queue``."""
    add_spool(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--replay", metavar="ID", help="retry a dead letter, or 'all'")
    what.add_argument("--drop", metavar="ID", help="remove a dead letter and its files")
    what.add_argument(
        "--forget-done",
        action="store_true",
        help="forget finished images, so that they are segmented again when they arrive again",
    )


def run_queue(options: argparse.Namespace) -> int:
    """Show the queue and its dead letters, or retry them; the node may be running."""
    from suraksha.dicom.network.queue import FILE, Queue

    if not (options.spool / FILE).is_file():
        raise InputError(
            f"{options.spool} does not contain a queue",
            "no node has used it as its --spool",
            "Check --spool",
        )
    queue = Queue(options.spool)
    try:
        replayed = _change(options, queue)
        dead = [
            {
                "id": job.id,
                "stage": job.stage.value,
                "attempts": job.attempts,
                "received": datetime.fromtimestamp(job.received, UTC).isoformat("T", "seconds"),
                "error": job.last_error,
            }
            for job in queue.dead()
        ]
        counts = queue.counts()
    finally:
        queue.close()
    if options.json:
        print(json.dumps({"queue": counts, "replayed": replayed, "dead": dead}))
        return 0
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    for letter in dead:
        print(f"{letter['id']}  failed in stage {letter['stage']}: {letter['error']}")
    if replayed:
        print(f"{replayed} queued again")
    return 0


def _change(options: argparse.Namespace, queue: Queue) -> int:
    """Retry or drop dead letters; how many are retried."""
    wanted = options.replay or options.drop
    if wanted is None:
        if options.forget_done:
            queue.forget_done()
        return 0
    known = {job.id for job in queue.dead()}
    if wanted != "all" and wanted not in known:
        raise InputError(
            f"{wanted!r} is not a dead letter",
            f"the queue has {len(known)} of them, with other IDs",
            "List them with 'suraksha dicom queue --spool DIR'",
        )
    from suraksha.dicom.network.spool import Spool

    spool, chosen = Spool(options.spool), known if wanted == "all" else {wanted}
    for job in chosen:
        if options.replay and spool.image(job).is_file():
            queue.replay(job)
        else:  # no image to work on; 'dicom watch' fetches it again
            queue.drop(job)
            spool.remove(job)
    return len(chosen) if options.replay else 0
