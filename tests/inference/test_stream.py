"""Streams: every frame is segmented or counted, whatever source and segmenter do."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.datasets.phantom import sample_phantom
from suraksha.errors import DataError, UsageError
from suraksha.inference import stream as stream_module
from suraksha.inference.prediction import Prediction
from suraksha.inference.segmenter import load_segmenter
from suraksha.inference.stream import QUEUE, Stream, StreamOptions
from suraksha.io.video import Frame
from suraksha.types import Image


def image(level=0, shape=(4, 5)):
    return Image(np.full(shape, level, np.uint8), name=f"level {level}")


class Slow:
    """A segmenter that takes some time; its result is the adjusted prediction."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def segment(self, image, *, adjust):
        time.sleep(self.seconds)
        return adjust(Prediction(image.pixels.astype(np.float32) / 255))


class Clock:
    """The stream's clock, set by hand."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(stream_module, "time", self)

    def monotonic(self):
        return self.now


def frames(count, *, fps=1000.0, broken=()):
    for index in range(count):
        there = None if index in broken else image(index % 256)
        yield Frame(index, index / fps, there, "it is broken" if there is None else "")


def balanced(report):
    return report.read == report.answered + report.dropped + report.unreadable


@given(
    count=st.integers(0, 30),
    broken=st.sets(st.integers(0, 29)),
    newest=st.booleans(),
    slow=st.sampled_from([0.0, 0.002]),
    deadline=st.sampled_from([0.0, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_every_frame_is_segmented_or_counted(count, broken, newest, slow, deadline):
    options = StreamOptions(newest=newest, deadline_ms=deadline)
    stream = Stream(Slow(slow), frames(count, broken=broken), options)
    seen = []
    for _ in stream:
        seen.append(stream.frame.index)
    report = stream.report
    assert balanced(report)
    assert report.read == count
    assert report.unreadable == len({n for n in broken if n < count})
    assert report.answered == len(seen)
    assert seen == sorted(seen)
    if not newest and not deadline:
        assert report.dropped == 0
    if count and newest and count - 1 not in broken and not deadline:
        assert seen[-1] == count - 1, "the newest is never dropped"


def test_a_slow_segmenter_gets_the_newest_frame(monkeypatch):
    stream = Stream(Slow(0.05), frames(40, fps=100.0), StreamOptions(newest=True, paced=True))
    waited = []
    for _ in stream:
        waited.append(1000 * (time.monotonic() - stream._started - stream.frame.time_s))
    report = stream.report
    assert report.dropped > 20
    assert balanced(report)
    # it waited for the answer before at most, and took the frame that was newest then
    assert max(waited) == pytest.approx(report.max_ms, abs=20)
    assert report.p50_ms <= report.p95_ms <= report.p99_ms <= report.max_ms + 0.1
    assert report.seconds == pytest.approx(0.4, abs=0.3)


@pytest.mark.parametrize(
    ("takes", "waited", "answered"),
    [
        (0.030, 0.000, True),
        (0.030, 0.009, True),
        (0.030, 0.012, False),
        (0.030, 0.050, False),
        (0.060, 0.003, True),
        (0.060, 0.005, False),
    ],
)
def test_a_frame_that_cannot_meet_the_deadline_is_dropped(monkeypatch, takes, waited, answered):
    clock = Clock(monkeypatch)

    class Exact(Slow):
        def segment(self, image, *, adjust):
            clock.now += takes
            return super().segment(image, adjust=adjust)

    stream = Stream(Exact(), (), StreamOptions(deadline_ms=40))
    for index in range(60):
        stream._answer(Frame(index, 0.0, image()), clock.now)
    assert stream.report.answered == 60
    assert stream.report.late == (60 if takes > 0.04 else 0)
    result = stream._answer(Frame(60, 0.0, image()), clock.now - waited)
    assert (result is not None) == answered
    assert stream.report.dropped == int(not answered)


def test_the_source_waits_unless_newest_is_set():
    given = []

    def source():
        for frame in frames(20):
            given.append(frame.index)
            yield frame

    stream = Stream(Slow(), source(), StreamOptions())
    for place, _ in enumerate(stream):
        assert given[-1] - place <= QUEUE + 2
    assert stream.report.answered == 20


def test_stopping_early_ends_the_reading_thread():
    before = threading.active_count()

    def endless():
        while True:
            yield image()

    stream = Stream(Slow(), endless(), StreamOptions())
    results = iter(stream)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert balanced(stream.report)
    assert stream.report.answered == 1


def test_the_error_of_a_source_is_raised_after_its_frames():
    def failing():
        yield from frames(3)
        raise DataError("the cable is out", "nothing comes", "Plug it in")

    stream = Stream(Slow(), failing(), StreamOptions())
    seen = (stream.frame.index for _ in stream)
    assert [next(seen), next(seen), next(seen)] == [0, 1, 2]
    with pytest.raises(DataError, match="cable"):
        next(seen)


def test_a_segmenter_that_fails_ends_the_stream():
    class Broken:
        def segment(self, image, *, adjust):
            raise DataError("a", "b", "c")

    before = threading.active_count()
    with pytest.raises(DataError):
        list(Stream(Broken(), frames(50), StreamOptions()))
    assert threading.active_count() == before


def test_smoothing_is_a_moving_average_that_lags_as_stated():
    fraction = 0.75
    options = StreamOptions(smoothing=fraction)
    assert options.lag_frames == pytest.approx(3.0)
    steps = [image(0), *[image(255)] * 30]
    found = [one.probability.mean() for one in Stream(Slow(), steps, options)]
    expected = [1 - fraction**n for n in range(31)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # the mean delay of a step is what is stated, weighed by how much comes at each frame
    arrived = np.diff(found)
    assert np.sum(np.arange(30) * arrived) / np.sum(arrived) == pytest.approx(3.0, abs=0.02)


def test_smoothing_starts_again_where_the_size_changes():
    steps = [image(255), image(0, (6, 7)), image(0, (6, 7))]
    found = list(Stream(Slow(), steps, StreamOptions(smoothing=0.5)))
    assert [one.probability.max() for one in found] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("wrong", [{"smoothing": 1.0}, {"smoothing": -0.1}, {"deadline_ms": -1.0}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match="is not valid"):
        StreamOptions(**wrong)


def test_a_stream_gives_the_results_of_the_segmenter(tiny_bundle):
    segment = load_segmenter(tiny_bundle, threads=1)
    images = [sample_phantom(3, n, shape=(60, 80)).image for n in range(4)]
    stream = segment.stream(images)
    for one, result in zip(images, stream, strict=True):
        np.testing.assert_array_equal(result.mask, segment(one).mask)
        assert result.image is one
    assert stream.report.answered == 4
