"""The files that ``live`` writes while it runs."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self, TextIO

import numpy as np
from numpy.typing import NDArray

from suraksha.files import write_bytes
from suraksha.inference.stream import Stream
from suraksha.io.video import Frame
from suraksha.io.video_writer import VideoWriter
from suraksha.reporting.overlay import overlay
from suraksha.reporting.records import CSV_LESION, MADE_BY, lesion_record, png_bytes
from suraksha.types import Result

COLUMNS = ("frame", "time_s", *CSV_LESION, "latency_ms", "made_by")
# maximum number of annotated frames that wait for the encoder
MAX_WAITING = 4


class Outputs:
    """The annotated video, the measurements over time and the frame with the largest lesion."""

    def __init__(self, out: Path, fps: float, video: bool) -> None:
        self.out, self._largest, self._shown = out, 0, -1
        out.mkdir(parents=True, exist_ok=True)
        self._video = VideoWriter(out / "annotated.mp4", fps) if video else None
        self._pool, self._waiting = ThreadPoolExecutor(1), deque[Future[None]]()
        self._file: TextIO = (out / "measurements.csv").open("w", newline="", encoding="utf-8")
        self._rows = csv.DictWriter(self._file, COLUMNS, extrasaction="ignore")
        self._rows.writeheader()

    def add(self, result: Result, stream: Stream) -> None:
        """Write the result of one frame."""
        frame = stream.frame
        if frame is None:
            return
        row = {
            "frame": frame.index,
            "time_s": round(frame.time_s, 3),
            "latency_ms": round(result.latency_ms["total"], 2),
            "made_by": MADE_BY,
        }
        for lesion in [lesion_record(x) for x in result.lesions] or [{}]:
            self._rows.writerow({**row, **lesion})
        area = max((lesion.area_px for lesion in result.lesions), default=0)
        if area > self._largest:
            self._largest = area
            self._submit(self._write_key, result, frame)
        if self._video is not None:
            times, self._shown = frame.index - self._shown, frame.index
            self._submit(self._write_frame, result, times)

    def _submit(self, work: Callable[..., None], *given: object) -> None:
        """Run in the writing thread; waits while too much is queued."""
        while len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work, *given))

    def _write_frame(self, result: Result, times: int) -> None:
        if self._video is not None:
            self._video.write(_annotated(result), times=times)

    def _write_key(self, result: Result, frame: Frame) -> None:
        comment = f"frame {frame.index}, {frame.time_s:.3f} s"
        write_bytes(self.out / "key-frame.png", png_bytes(_annotated(result), comment=comment))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for left in self._waiting:
                left.result()
        finally:
            self._pool.shutdown()
            self._file.close()
            if self._video is not None:
                self._video.__exit__()


def _annotated(result: Result) -> NDArray[np.uint8]:
    return overlay(result.image, result.mask, lesions=result.lesions)
