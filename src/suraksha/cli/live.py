"""The verb ``live``: a video, a camera or a folder of frames, answered as it runs. No torch."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from suraksha.cli.live_outputs import Outputs
from suraksha.cli.segment import add_bundle, load_chosen, millimetres
from suraksha.errors import InputError
from suraksha.files import write_text
from suraksha.inference.stream import StreamOptions, StreamReport
from suraksha.io.video import Frame, FrameSource


def add_live(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``live``."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a video, a DICOM clip, a folder of frames, a TIFF of pages, camera:0",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    add_bundle(parser)
    parser.add_argument("--spacing", type=millimetres, metavar="MM", help="millimetres per pixel")
    parser.add_argument(
        "--every-frame", action="store_true", help="answer all frames, however long it takes"
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=0.0,
        metavar="MS",
        help="drop frames that cannot be answered so soon",
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        default=0.0,
        metavar="S",
        help="fraction of earlier frames, 0 to 1",
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so long")
    parser.add_argument(
        "--loop", action="store_true", help="begin again at the end, with --seconds"
    )
    parser.add_argument("--no-video", action="store_true", help="write no annotated video")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_live(options: argparse.Namespace) -> int:
    """Answer a source until it ends, --seconds are over or Ctrl-C; 1 if no frame was answered."""
    segment = load_chosen(options)
    chosen = StreamOptions(
        newest=not options.every_frame,
        paced=not options.every_frame,
        deadline_ms=options.deadline,
        smoothing=options.smoothing,
    )
    with ExitStack() as stack:
        source = stack.enter_context(FrameSource(options.source, spacing=options.spacing))
        if options.loop and options.seconds is None:
            raise InputError(
                "--loop has no end", "the source begins again and again", "Give --seconds too"
            )
        frames = _frames(options, source)
        stream = segment.stream(frames, _unpaced_if_live(chosen, source))
        written = stack.enter_context(Outputs(options.out, source.fps, not options.no_video))
        bar = stack.enter_context(tqdm(unit="frame", disable=None))
        with suppress(KeyboardInterrupt):  # how a camera is stopped
            for result in stream:
                written.add(result, stream)
                bar.update()
    return _conclude(stream.report, options, segment.card.name)


def _unpaced_if_live(chosen: StreamOptions, source: FrameSource) -> StreamOptions:
    """A camera has a pace of its own."""
    return StreamOptions(
        chosen.newest, chosen.paced and not source.live, chosen.deadline_ms, chosen.smoothing
    )


def _frames(options: argparse.Namespace, source: FrameSource) -> Iterator[Frame]:
    """The source's frames for as long as was asked for, numbered on where it begins again."""
    start, count, due = time.monotonic(), 0, 0.0
    while True:
        begun, offset = count, due
        for frame in source:
            due = offset + frame.time_s
            if options.seconds is not None and max(due, time.monotonic() - start) > options.seconds:
                return
            yield Frame(count, due, frame.image, frame.error)
            count += 1
        if not options.loop or count == begun:
            return
        due += 1 / source.fps
        source = FrameSource(options.source, spacing=options.spacing)


def _conclude(report: StreamReport, options: argparse.Namespace, bundle: str) -> int:
    record = {"source": options.source, "bundle": bundle, **asdict(report)}
    write_text(options.out / "report.json", json.dumps(record, indent=2) + "\n")
    if options.json:
        print(json.dumps(record))
    else:
        print(
            f"{report.read} frames in {report.seconds:.1f} s: {report.answered} answered, "
            f"{report.dropped} dropped, {report.unreadable} unreadable, "
            f"{report.unsuitable} not like ultrasound, {report.late} late; "
            f"latency p50 {report.p50_ms:.1f}, p95 {report.p95_ms:.1f}, p99 {report.p99_ms:.1f} ms"
        )
        if options.smoothing:
            print(f"the smoothed mask lags {report.lag_frames:.1f} frames behind")
    if without := report.unreadable + report.unsuitable:
        print(f"suraksha: {without} frames without an answer: {report.last_error}", file=sys.stderr)
    print(f"written: {options.out}. {bundle}. Research use only.", file=sys.stderr)
    return 0 if report.answered else 1
