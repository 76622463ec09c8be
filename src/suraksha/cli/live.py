"""The verb ``live``: a video, a camera or a folder of frames, segmented while it runs."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from suraksha.cli.arguments import add_bundle, add_spacing, check_out, load_chosen, spacing_of
from suraksha.cli.text import count_text, printable
from suraksha.errors import InputError, UsageError

if TYPE_CHECKING:
    from suraksha.inference.stream import StreamOptions, StreamReport
    from suraksha.io.video import Frame, FrameSource
    from suraksha.types import Result

CAMERA = re.compile(r"camera:\d+")
SINGLE_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".jp2")


def add_live(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``live``."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a video, a DICOM clip, a folder of frames, a TIFF with several pages, or camera:0",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add_spacing(parser)
    add_bundle(parser)
    parser.add_argument(
        "--every-frame", action="store_true", help="segment all frames, however long it takes"
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=0.0,
        metavar="MS",
        help="drop frames that cannot be segmented within this time, in milliseconds",
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        default=0.0,
        metavar="S",
        help="weight of earlier frames, from 0 to below 1 (default: %(default)s, off)",
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after this time")
    parser.add_argument(
        "--loop", action="store_true", help="restart the source at its end; needs --seconds"
    )
    parser.add_argument("--no-video", action="store_true", help="write no annotated video")


def run_live(options: argparse.Namespace) -> int:
    """Segment a source until it ends, --seconds are over or Ctrl-C; 1 if no frame was segmented."""
    _check(options)
    from tqdm import tqdm

    from suraksha.cli.live_outputs import Outputs
    from suraksha.inference.stream import StreamOptions
    from suraksha.io.video import FrameSource

    spacing = spacing_of(options)
    paced = not options.every_frame
    chosen = StreamOptions(
        newest=paced, paced=paced, deadline_ms=options.deadline, smoothing=options.smoothing
    )
    segment = load_chosen(options)
    with ExitStack() as stack:
        source = stack.enter_context(FrameSource(options.source, spacing=spacing))
        frames = _frames(options, source)
        stream = segment.stream(frames, _unpaced_if_live(chosen, source))
        written = stack.enter_context(Outputs(options.out, source.fps, not options.no_video))
        hidden = True if options.quiet else None
        bar = stack.enter_context(tqdm(unit="frame", disable=hidden))
        with suppress(KeyboardInterrupt):  # the way to stop a camera
            for result in stream:
                written.add(result, stream)
                bar.set_postfix_str(_readout(result), refresh=False)
                bar.update()
    return _conclude(stream.report, options, segment.card.name)


def _check(options: argparse.Namespace) -> None:
    """Refuse a source that cannot be one, before anything heavy is imported."""
    check_out(options.out)
    path = Path(options.source)
    if path.is_file() and path.suffix.lower() in SINGLE_IMAGES:
        raise UsageError(
            f"{printable(options.source)} is a single image",
            "'suraksha live' needs a source of frames",
            f"Use: suraksha segment {printable(options.source)}",
        )
    if not path.exists() and not CAMERA.fullmatch(options.source):
        raise InputError(
            f"{printable(options.source)} cannot be used as a source of frames",
            "no file or folder has that path, and it is not camera:N",
            "Check the path, or give camera:0 for the first camera",
        )
    if options.loop and options.seconds is None:
        raise UsageError("--loop would never end", "it restarts the source", "Give --seconds too")


def _unpaced_if_live(chosen: StreamOptions, source: FrameSource) -> StreamOptions:
    """A camera sets its own pace."""
    return replace(chosen, paced=chosen.paced and not source.live)


def _readout(result: Result) -> str:
    """What the progress bar shows about the last frame."""
    from suraksha.reporting.records import lesion_record
    from suraksha.reporting.report_page import size_text

    sizes = [size_text(lesion_record(lesion)) for lesion in result.lesions]
    return f"{', '.join(sizes) or 'no lesion'}, {result.latency_ms['total']:.0f} ms"


def _frames(options: argparse.Namespace, source: FrameSource) -> Iterator[Frame]:
    """The frames of the source, numbered across restarts, until --seconds are over."""
    from suraksha.io.video import Frame, FrameSource

    start, count, due = time.monotonic(), 0, 0.0
    while True:
        first, offset = count, due
        for frame in source:
            due = offset + frame.time_s
            if options.seconds is not None and max(due, time.monotonic() - start) > options.seconds:
                return
            yield Frame(count, due, frame.image, frame.error)
            count += 1
        if not options.loop or count == first:
            return
        due += 1 / source.fps
        source = FrameSource(options.source, spacing=source.spacing)


def _conclude(report: StreamReport, options: argparse.Namespace, bundle: str) -> int:
    from suraksha.files import write_text

    record = {"source": options.source, "bundle": bundle, **asdict(report)}
    write_text(options.out / "report.json", json.dumps(record, indent=2) + "\n")
    if options.json:
        print(json.dumps(record))
    else:
        print("\n".join(_summary(report, smoothed=bool(options.smoothing))))
    if without := report.unreadable + report.unsuitable:
        print(
            printable(
                f"suraksha: {count_text(without, 'frame')} without a result; the last error: "
                f"{report.last_error}"
            ),
            file=sys.stderr,
        )
    print(f"written: {options.out} ({bundle}). Research use only.", file=sys.stderr)
    return 0 if report.answered else 1


def _summary(report: StreamReport, *, smoothed: bool) -> Iterator[str]:
    """The report in a few lines; latencies only where a frame was segmented."""
    yield (
        f"{count_text(report.read, 'frame')} in {report.seconds:.1f} s: {report.answered} "
        f"segmented, {report.dropped} dropped, {report.unreadable} unreadable, "
        f"{report.unsuitable} not ultrasound, {report.late} late"
    )
    if not report.answered:
        return
    yield (
        f"latency: median {report.p50_ms:.1f} ms, 95th percentile {report.p95_ms:.1f} ms, "
        f"99th percentile {report.p99_ms:.1f} ms"
    )
    if smoothed:
        yield f"the smoothed mask lags {report.lag_frames:.1f} frames behind"
