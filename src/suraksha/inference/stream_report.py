"""How a stream of frames is answered, and what became of the frames."""

from __future__ import annotations

from dataclasses import dataclass

from suraksha.errors import UsageError


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is answered.

    Args:
        newest: Whether a waiting frame is dropped when a newer one comes; else the source waits,
            and every frame is answered.
        paced: Whether frames come at their times, as from a scanner, however fast they are read.
        deadline_ms: From when a frame comes to its answer. One that waited so long that the usual
            time of an answer does not fit any more is dropped, but none that waited less than a
            tenth of it; an answer after it counts as late. 0 for none.
        smoothing: Share that earlier frames have in the probability, 0 (off) to below 1. The mask
            then lags behind by ``smoothing / (1 - smoothing)`` frames on average.

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
                f"deadline_ms = {self.deadline_ms} or smoothing = {self.smoothing} cannot be used",
                "a deadline is 0 or more and a smoothing lies from 0 to below 1",
                "Give for example deadline_ms=40, smoothing=0.5",
            )

    @property
    def lag_frames(self) -> float:
        """By how many frames a smoothed mask lags behind, on average."""
        return self.smoothing / (1 - self.smoothing)


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What became of the frames, which add up to those read once the stream has ended.

    Args:
        read: Frames that the source gave.
        answered: Those with a result.
        dropped: Those for which a newer one was taken, or that could not meet the deadline.
        unreadable: Those that could not be decoded.
        unsuitable: Those that do not look like ultrasound, black ones among them.
        late: Answers after the deadline; they count as answered.
        seconds: From the first frame to the last answer.
        p50_ms: Median latency, from when a frame came (paced: was due) to its answer.
        p95_ms: 95th percentile of it.
        p99_ms: 99th percentile of it.
        max_ms: Greatest latency.
        lag_frames: By how many frames the smoothing makes masks lag.
        last_error: Why the last unreadable or unsuitable frame has no answer.
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
