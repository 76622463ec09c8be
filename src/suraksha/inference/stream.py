"""Answers for a stream of frames: nothing queues up, and every frame is answered or counted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Condition, Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import UnsuitableError
from suraksha.inference.prediction import Prediction
from suraksha.inference.stream_report import StreamOptions, StreamReport
from suraksha.io.video import DEFAULT_FPS, Frame
from suraksha.types import Image, Result

# frames that wait at most where every frame is to be answered
QUEUE = 2
# latencies are counted in bins of this width up to this greatest, so that memory stays flat
BIN_MS, MOST_MS = 0.1, 10_000.0
# weight of the last answer in the usual time of one
USUAL_FRACTION = 0.1
# fraction of the deadline that a frame may always wait, so that a slow answerer answers some
MIN_SPARE = 0.1


class Answerer(Protocol):
    """What answers an image, such as a `suraksha.inference.segmenter.Segmenter`."""

    def segment(self, image: Image, *, adjust: Callable[[Prediction], Prediction]) -> Result:
        """Segment and measure one image, with what the network tells of it changed before."""


class Stream:
    """The results of a stream of frames, in order; iterate once.

    A thread reads and decodes, while this one answers. ``frame`` is the frame of the last result.

    Args:
        segment: What answers.
        frames: Frames, such as a `suraksha.io.video.FrameSource`, or images.
        options: How.
    """

    def __init__(
        self, segment: Answerer, frames: Iterable[Frame | Image], options: StreamOptions
    ) -> None:
        self.options = options
        self.frame: Frame | None = None
        self._segment, self._frames = segment, frames
        self._waiting: deque[tuple[Frame, float]] = deque()
        self._changed, self._stop, self._ended = Condition(), Event(), False
        self._counts = StreamReport(lag_frames=options.lag_frames)
        self._latencies = np.zeros(round(MOST_MS / BIN_MS) + 1, np.int64)
        self._begun = self._last = self._greatest = self._usual = 0.0
        self._mean: NDArray[np.float32] | None = None

    @property
    def report(self) -> StreamReport:
        """What became of the frames so far."""
        p50, p95, p99 = (self._percentile(fraction) for fraction in (0.5, 0.95, 0.99))
        with self._changed:
            return replace(
                self._counts,
                seconds=max(0.0, self._last - self._begun),
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
                max_ms=self._greatest,
            )

    def __iter__(self) -> Iterator[Result]:
        """The results.

        Raises:
            SurakshaError: The source failed as a whole, or a frame could not be answered.
        """
        self._begun = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="frames") as pool:
            reading = pool.submit(self._read)
            try:
                while (taken := self._take()) is not None:
                    result = self._answer(*taken)
                    if result is not None:
                        yield result
                reading.result()
            finally:
                self._stop.set()
                with self._changed:
                    self._count(dropped=len(self._waiting))
                    self._waiting.clear()
                    self._changed.notify_all()

    def _read(self) -> None:
        """Of the reading thread: put frames where the answering one takes them."""
        try:
            for index, given in enumerate(self._frames):
                frame = given if isinstance(given, Frame) else _as_frame(given, index)
                came = self._begun + frame.time_s if self.options.paced else time.monotonic()
                if self.options.paced:
                    self._stop.wait(max(0.0, came - time.monotonic()))
                if self._stop.is_set() or not self._put(frame, came):
                    return
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame, came: float) -> bool:
        """Whether the stream still takes frames."""
        with self._changed:
            if frame.image is None:
                self._count(read=1, unreadable=1)
                self._counts = replace(self._counts, last_error=frame.error)
                return True
            if self.options.newest:
                self._count(dropped=len(self._waiting))
                self._waiting.clear()
            while len(self._waiting) >= QUEUE and not self._stop.is_set():
                self._changed.wait()
            if self._stop.is_set():
                return False
            self._count(read=1)
            self._waiting.append((frame, came))
            self._changed.notify_all()
            return True

    def _take(self) -> tuple[Frame, float] | None:
        """The next frame and when it came; None at the end."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            if not self._waiting:
                return None
            taken = self._waiting.popleft()
            self._changed.notify_all()
            return taken

    def _answer(self, frame: Frame, came: float) -> Result | None:
        begun = time.monotonic()
        if frame.image is None or self._too_late(1000 * (begun - came)):
            with self._changed:
                self._count(dropped=1)
            return None
        try:
            result = self._segment.segment(frame.image, adjust=self._smoothed)
        except UnsuitableError as error:
            with self._changed:
                self._count(unsuitable=1)
                self._counts = replace(self._counts, last_error=str(error))
            return None
        self._last = time.monotonic()
        self._usual += USUAL_FRACTION * (1000 * (self._last - begun) - self._usual)
        latency, deadline = 1000 * (self._last - came), self.options.deadline_ms
        self._latencies[min(int(latency / BIN_MS), len(self._latencies) - 1)] += 1
        self._greatest = max(self._greatest, latency)
        with self._changed:
            self._count(answered=1, late=int(0 < deadline < latency))
        self.frame = frame
        return result

    def _too_late(self, waited: float) -> bool:
        """Whether a frame that waited so many ms has no chance to be answered in time."""
        deadline = self.options.deadline_ms
        spare = max(MIN_SPARE * deadline, deadline - self._usual)
        return deadline > 0 and waited > spare

    def _smoothed(self, told: Prediction) -> Prediction:
        """With earlier frames in the probability; a frame of another size begins anew."""
        fraction = self.options.smoothing
        if not fraction:
            return told
        mean = self._mean
        if mean is None or mean.shape != told.probability.shape:
            mean = told.probability
        self._mean = fraction * mean + (1 - fraction) * told.probability
        return replace(told, probability=self._mean)

    def _count(self, **more: int) -> None:
        """Count; the lock is held."""
        counts = {name: getattr(self._counts, name) + number for name, number in more.items()}
        self._counts = replace(self._counts, **counts)

    def _percentile(self, fraction: float) -> float:
        """Of the latencies, the upper end of the bin that holds it."""
        summed = np.cumsum(self._latencies)
        if not summed[-1]:
            return 0.0
        return float(BIN_MS * (1 + np.searchsorted(summed, fraction * summed[-1])))


def _as_frame(image: Image, index: int) -> Frame:
    return Frame(index, index / DEFAULT_FPS, image)
