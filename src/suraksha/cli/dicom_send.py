"""The actions ``send`` and ``queue``."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from suraksha.cli.dicom_common import add_destination, add_spool, add_tls, dicom_destination
from suraksha.dicom.network.queue import FILE, Queue
from suraksha.errors import InputError


def add_send(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``send``."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="DICOM files, folders")
    add_destination(parser)
    add_tls(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_send(options: argparse.Namespace) -> int:
    """Send files by C-STORE and confirm that they are there; 1 if any of them is not."""
    from suraksha.dicom.network.logs import silence_loggers
    from suraksha.dicom.network.peer import reference

    silence_loggers()
    paths = _files(options.paths)
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


def _files(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not found:
        raise InputError("nothing to send", "the folders are empty", "Give DICOM files")
    return found


def add_queue(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``queue``."""
    add_spool(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--replay", metavar="ID", help="try a dead letter again, or 'all'")
    what.add_argument("--drop", metavar="ID", help="forget a dead letter and its files")
    what.add_argument(
        "--forget-done",
        action="store_true",
        help="segment images that are done again if they come, such as with another bundle",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_queue(options: argparse.Namespace) -> int:
    """Show the queue and its dead letters, and replay them; the node may run meanwhile."""
    if not (options.spool / FILE).is_file():
        raise InputError(
            f"{options.spool} holds no queue", "no node has run there", "Check --spool"
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
        print(f"{letter['id']}  died when {letter['stage']}: {letter['error']}")
    if replayed:
        print(f"{replayed} are tried again")
    return 0


def _change(options: argparse.Namespace, queue: Queue) -> int:
    """Replay or drop what was asked for; how many."""
    wanted = options.replay or options.drop
    if wanted is None:
        if options.forget_done:
            queue.forget_done()
        return 0
    known = {job.id for job in queue.dead()}
    if wanted != "all" and wanted not in known:
        raise InputError(
            f"{wanted!r} is no dead letter",
            f"the queue has {len(known)} of them",
            "List them first",
        )
    from suraksha.dicom.network.spool import Spool

    spool, chosen = Spool(options.spool), known if wanted == "all" else {wanted}
    for job in chosen:
        if options.replay and spool.image(job).is_file():
            queue.replay(job)
        else:  # nothing to work on: where it is watched for, it is fetched anew
            queue.drop(job)
            spool.remove(job)
    return len(chosen) if options.replay else 0
