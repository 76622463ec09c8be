"""Pieces of the server by themselves."""

import asyncio
import logging
import threading
import time

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageDraw

from suraksha.errors import UsageError
from suraksha.web.annotations import filled
from suraksha.web.errors import HttpError
from suraksha.web.logs import PlainFormatter
from suraksha.web.settings import Limits, Settings
from suraksha.web.workers import Workers


def test_polygons_fill_the_pixels_whose_centre_they_hold():
    rows, cols = np.mgrid[0:50, 0:60] + 0.5
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = np.stack([25.2 + 15.3 * np.sin(angles), 30.4 + 15.3 * np.cos(angles)], axis=1)
    inside = np.hypot(rows - 25.2, cols - 30.4) <= 15.3
    assert np.count_nonzero(filled([circle], (50, 60)) != inside) <= 2
    assert np.array_equal(filled([circle[::-1]], (50, 60)), filled([circle], (50, 60)))


def test_polygons_agree_with_another_library_and_may_leave_the_image():
    rng = np.random.default_rng(3)
    for _ in range(20):
        corners = rng.uniform(-30, 90, (7, 2))
        mask = filled([corners], (50, 60))
        scale = 16
        drawn = PilImage.new("1", (60 * scale, 50 * scale))
        ImageDraw.Draw(drawn).polygon([(c * scale, r * scale) for r, c in corners], fill=1)
        centres = np.asarray(drawn)[scale // 2 :: scale, scale // 2 :: scale]
        assert np.count_nonzero(mask != centres) <= 0.01 * mask.size


def test_two_polygons_are_both_filled_even_where_they_overlap():
    square = np.array([[10.0, 10], [10, 30], [30, 30], [30, 10]])
    mask = filled([square, square + 5], (50, 60))
    assert mask.sum() == 2 * 400 - 15 * 15


def test_the_log_tells_where_an_error_came_from_and_not_what_it_said():
    try:
        raise ValueError("Doe^Jane")
    except ValueError as error:
        info = type(error), error, error.__traceback__
    record = logging.LogRecord("x", 40, "here", 1, "a fault", (), info)
    text = PlainFormatter("%(message)s").format(record)
    assert "ValueError" in text
    assert "test_pieces.py" in text
    assert "Doe" not in text


def test_a_worker_that_is_late_counts_until_it_ends():
    limits = Limits(workers=1, seconds=1)
    workers, ended = Workers(limits), threading.Event()

    async def run():
        with pytest.raises(HttpError) as refused:
            await workers.run(lambda _: ended.wait(20))
        return refused.value.status_code

    assert asyncio.run(run()) == 503
    assert workers.stuck
    ended.set()
    deadline = time.monotonic() + 5
    while workers.overdue:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not workers.stuck
    workers.close()


@pytest.mark.parametrize("name", ["upload_mb", "pixels", "files", "frames", "requests", "seconds"])
def test_bounds_below_one_are_refused(name):
    with pytest.raises(UsageError):
        Limits(**{name: 0})


@pytest.mark.parametrize("token", ["", "short", "é" * 20])
def test_tokens_that_can_be_guessed_are_refused(token):
    with pytest.raises(UsageError):
        Settings(token=token)


def test_a_token_is_not_shown():
    assert "0123456789" not in repr(Settings(token="0123456789abcdef"))
