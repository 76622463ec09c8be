"""Unit tests of parts of the server."""

import asyncio
import logging
import threading
import time
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageDraw

from suraksha.errors import UsageError
from suraksha.web.annotations import rasterize
from suraksha.web.errors import HttpError
from suraksha.web.logs import PlainFormatter
from suraksha.web.settings import RequestLimits, Settings
from suraksha.web.workers import Workers


def test_polygons_cover_the_pixels_whose_centre_is_inside():
    rows, cols = np.mgrid[0:50, 0:60] + 0.5
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = np.stack([25.2 + 15.3 * np.sin(angles), 30.4 + 15.3 * np.cos(angles)], axis=1)
    inside = np.hypot(rows - 25.2, cols - 30.4) <= 15.3
    assert np.count_nonzero(rasterize([circle], (50, 60)) != inside) <= 2
    assert np.array_equal(rasterize([circle[::-1]], (50, 60)), rasterize([circle], (50, 60)))


def test_polygons_agree_with_pillow_and_may_extend_outside_the_image():
    rng = np.random.default_rng(3)
    for _ in range(20):
        corners = rng.uniform(-30, 90, (7, 2))
        mask = rasterize([corners], (50, 60))
        scale = 16
        drawn = PilImage.new("1", (60 * scale, 50 * scale))
        ImageDraw.Draw(drawn).polygon([(c * scale, r * scale) for r, c in corners], fill=1)
        centres = np.asarray(drawn)[scale // 2 :: scale, scale // 2 :: scale]
        assert np.count_nonzero(mask != centres) <= 0.01 * mask.size


def test_overlapping_polygons_are_combined():
    square = np.array([[10.0, 10], [10, 30], [30, 30], [30, 10]])
    mask = rasterize([square, square + 5], (50, 60))
    assert mask.sum() == 2 * 400 - 15 * 15


def test_the_log_has_the_traceback_of_an_error_but_not_its_message():
    try:
        raise ValueError("Doe^Jane")
    except ValueError as error:
        info = type(error), error, error.__traceback__
    record = logging.LogRecord("x", 40, "here", 1, "a fault", (), info)
    text = PlainFormatter("%(message)s").format(record)
    assert "ValueError" in text
    assert "test_pieces.py" in text
    assert "Doe" not in text


def test_an_overdue_worker_counts_until_it_ends():
    limits = RequestLimits(workers=1, timeout_s=1)
    workers, ended = Workers(limits), threading.Event()

    async def run():
        with pytest.raises(HttpError) as raised:
            await workers.run(lambda _: ended.wait(20))
        return raised.value.status_code

    assert asyncio.run(run()) == 503
    assert workers.stuck
    ended.set()
    deadline = time.monotonic() + 5
    while workers.overdue:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not workers.stuck
    workers.close()


@pytest.mark.parametrize("name", [field.name for field in fields(RequestLimits)])
def test_limits_below_one_are_rejected(name):
    with pytest.raises(UsageError):
        RequestLimits(**{name: 0})


@pytest.mark.parametrize("token", ["", "short", "é" * 20])
def test_weak_tokens_are_rejected(token):
    with pytest.raises(UsageError):
        Settings(token=token)


def test_the_repr_hides_the_token():
    assert "0123456789" not in repr(Settings(token="0123456789abcdef"))
