"""Segment a stream of frames: no backlog builds up, and every frame is segmented or counted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Condition, Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import UnsuitableError, UsageError
from suraksha.inference.prediction import Prediction
from suraksha.io.video import DEFAULT_FPS, Frame
from suraksha.types import Image, Result

# maximum number of frames that wait where every frame is to be segmented
QUEUE = 2
# latencies are counted in bins of this width up to this maximum, so that memory use is constant
BIN_MS, MAX_MS = 0.1, 10_000.0
# weight of the last frame in the moving average of the time that a frame takes
AVERAGE_WEIGHT = 0.1
# fraction of the deadline that a frame may always wait, so that a slow machine segments some
MIN_SPARE = 0.1


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is segmented.

    Args:
        newest: Whether a newer frame replaces a waiting one, which is dropped. Else the source
            waits, and every frame is segmented.
        paced: Whether frames arrive at their own times, as from a scanner, however fast they can
            be read.
        deadline_ms: Maximum latency, from the arrival of a frame to its result; 0 for none. A frame
            that has waited too long to meet it is dropped, unless it waited less than a tenth of
            it; a result after the deadline counts as late.
        smoothing: Weight of earlier frames in the probability map, 0 (off) to below 1. The mask
            then lags by ``smoothing / (1 - smoothing)`` frames on average.

    Raises:
        UsageError: A deadline below 0, or a smoothing outside 0 to below 1.
    """

    newest: bool = False
    paced: bool = False
    deadline_ms: float = 0.0
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not self.deadline_ms >= 0 or not 0 <= self.smoothing < 1:
            raise UsageError(
                f"deadline_ms = {self.deadline_ms} or smoothing = {self.smoothing} is not valid",
                "a deadline must be 0 or more, and smoothing from 0 to below 1",
                "Give for example deadline_ms=40, smoothing=0.5",
            )

    @property
    def lag_frames(self) -> float:
        """By how many frames a smoothed mask lags, on average."""
        return self.smoothing / (1 - self.smoothing)


@dataclass(frozen=True, slots=True)
class StreamReport:
    """Counts and latencies of a stream.

    Once the stream has ended, ``read`` is the sum of ``answered``, ``dropped``, ``unreadable`` and
    ``unsuitable``.

    Args:
        read: Frames from the source.
        answered: Frames with a result.
        dropped: Frames that a newer one replaced, or that could not meet the deadline.
        unreadable: Frames that could not be decoded.
        unsuitable: Frames that do not look like ultrasound, such as black ones.
        late: Results after the deadline; they count as answered.
        seconds: From the start to the last result.
        p50_ms: Median latency, from the arrival of a frame to its result.
        p95_ms: 95th percentile of the latency.
        p99_ms: 99th percentile of the latency.
        max_ms: Maximum latency.
        lag_frames: By how many frames the smoothing makes masks lag.
        last_error: Why the last unreadable or unsuitable frame has no result.
    """

    read: int = 0
    answered: int = 0
    dropped: int = 0
    unreadable: int = 0
    unsuitable: int = 0
    late: int = 0
    seconds: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    lag_frames: float = 0.0
    last_error: str = ""


class FrameSegmenter(Protocol):
    """What segments a frame, such as a `suraksha.inference.segmenter.Segmenter`."""

    def segment(self, image: Image, *, adjust: Callable[[Prediction], Prediction]) -> Result:
        """Segment and measure one image; ``adjust`` changes the prediction before."""


class Stream:
    """The results of a stream of frames, in order; iterate once.

    Another thread reads and decodes the frames. ``frame`` is the frame of the last result.

    Args:
        segmenter: Segments a frame.
        frames: Frames, such as a `suraksha.io.video.FrameSource`, or images.
        options: How the stream is segmented.
    """

    def __init__(
        self, segmenter: FrameSegmenter, frames: Iterable[Frame | Image], options: StreamOptions
    ) -> None:
        self.options = options
        self.frame: Frame | None = None
        self._segmenter, self._frames = segmenter, frames
        self._waiting: deque[tuple[Frame, float]] = deque()
        self._changed, self._stop, self._ended = Condition(), Event(), False
        self._counts = StreamReport(lag_frames=options.lag_frames)
        self._latencies = np.zeros(round(MAX_MS / BIN_MS) + 1, np.int64)
        self._started = self._last = self._max_ms = self._average_ms = 0.0
        self._mean: NDArray[np.float32] | None = None

    @property
    def report(self) -> StreamReport:
        """Counts and latencies so far."""
        p50, p95, p99 = (self._percentile(fraction) for fraction in (0.5, 0.95, 0.99))
        with self._changed:
            return replace(
                self._counts,
                seconds=max(0.0, self._last - self._started),
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
                max_ms=self._max_ms,
            )

    def __iter__(self) -> Iterator[Result]:
        """The results.

        Raises:
            SurakshaError: The source failed, or a frame could not be segmented.
        """
        self._started = time.monotonic()
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
        """Read frames into the queue; runs in the reading thread."""
        try:
            for index, given in enumerate(self._frames):
                frame = given if isinstance(given, Frame) else _as_frame(given, index)
                arrived = self._started + frame.time_s if self.options.paced else time.monotonic()
                if self.options.paced:
                    self._stop.wait(max(0.0, arrived - time.monotonic()))
                if self._stop.is_set() or not self._put(frame, arrived):
                    return
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame, arrived: float) -> bool:
        """Queue a frame; False once the stream has ended."""
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
            self._waiting.append((frame, arrived))
            self._changed.notify_all()
            return True

    def _take(self) -> tuple[Frame, float] | None:
        """The next frame and when it arrived; None at the end."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            if not self._waiting:
                return None
            taken = self._waiting.popleft()
            self._changed.notify_all()
            return taken

    def _answer(self, frame: Frame, arrived: float) -> Result | None:
        """The result of a frame; None where it is dropped or unsuitable."""
        started = time.monotonic()
        if frame.image is None or self._too_late(1000 * (started - arrived)):
            with self._changed:
                self._count(dropped=1)
            return None
        try:
            result = self._segmenter.segment(frame.image, adjust=self._smoothed)
        except UnsuitableError as error:
            with self._changed:
                self._count(unsuitable=1)
                self._counts = replace(self._counts, last_error=str(error))
            return None
        self._last = time.monotonic()
        self._average_ms += AVERAGE_WEIGHT * (1000 * (self._last - started) - self._average_ms)
        latency, deadline = 1000 * (self._last - arrived), self.options.deadline_ms
        self._latencies[min(int(latency / BIN_MS), len(self._latencies) - 1)] += 1
        self._max_ms = max(self._max_ms, latency)
        with self._changed:
            self._count(answered=1, late=int(0 < deadline < latency))
        self.frame = frame
        return result

    def _too_late(self, waited: float) -> bool:
        """Whether a frame that waited so many ms cannot meet the deadline."""
        deadline = self.options.deadline_ms
        spare = max(MIN_SPARE * deadline, deadline - self._average_ms)
        return deadline > 0 and waited > spare

    def _smoothed(self, prediction: Prediction) -> Prediction:
        """With earlier frames in the probability map; a frame of another size starts again."""
        weight = self.options.smoothing
        if not weight:
            return prediction
        mean = self._mean
        if mean is None or mean.shape != prediction.probability.shape:
            mean = prediction.probability
        self._mean = weight * mean + (1 - weight) * prediction.probability
        return replace(prediction, probability=self._mean)

    def _count(self, **more: int) -> None:
        """Add to the counts; the caller holds the lock."""
        counts = {name: getattr(self._counts, name) + number for name, number in more.items()}
        self._counts = replace(self._counts, **counts)

    def _percentile(self, fraction: float) -> float:
        """A percentile of the latencies: the upper edge of its bin."""
        summed = np.cumsum(self._latencies)
        if not summed[-1]:
            return 0.0
        return float(BIN_MS * (1 + np.searchsorted(summed, fraction * summed[-1])))


def _as_frame(image: Image, index: int) -> Frame:
    return Frame(index, index / DEFAULT_FPS, image)
