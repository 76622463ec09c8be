"""Heat maps: colours, transparency, panels with titles."""

import numpy as np
import pytest

from suraksha.reporting.attention import COLOURS, OPACITY, heat, heat_panels
from suraksha.types import Image

BLACK = Image(np.zeros((40, 80), np.uint8))


def test_the_maximum_is_yellow_and_the_minimum_blue():
    weights = np.zeros((2, 4), np.float32)
    weights[1, 3] = 7.0
    drawn = heat(BLACK, weights)
    assert drawn.shape == (40, 80, 3)
    np.testing.assert_allclose(drawn[-1, -1], COLOURS[-1] * OPACITY, atol=1)
    np.testing.assert_allclose(drawn[0, 0], COLOURS[0] * OPACITY, atol=1)


def test_the_image_shows_through():
    white = Image(np.full((40, 80), 255, np.uint8))
    weights = np.full((2, 2), 0.3, np.float32)
    difference = heat(white, weights).astype(int) - heat(BLACK, weights)
    np.testing.assert_allclose(difference, 255 * (1 - OPACITY), atol=1)


def test_a_constant_map_has_one_colour():
    drawn = heat(BLACK, np.full((3, 3), 0.4, np.float32))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("shape", [(60, 900), (500, 300), (30, 20)])
def test_panels_are_side_by_side(shape):
    image = Image(np.full(shape, 90, np.uint8))
    maps = {"skip2": np.eye(4, dtype=np.float32), "skip1": np.zeros((2, 2), np.float32)}
    drawn = heat_panels(image, maps)
    cols = min(420, shape[1])
    assert drawn.shape[1] == 3 * cols
    assert drawn.shape[0] == max(1, round(shape[0] * cols / shape[1])) + 44
    middle = drawn[22 + (drawn.shape[0] - 44) // 2]
    assert (middle[: cols - 1] == 90).all(), "the image itself comes first"
