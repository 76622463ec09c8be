"""The outer contour and its length, on shapes with a known answer."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ellipe

from suraksha.measurement.components import components
from suraksha.measurement.contour import midpoints, outer_corners, perimeter


def ellipse(a, b, angle, centre, shape, scale=(1.0, 1.0)):
    """Pixels whose centre is inside an ellipse, in scaled coordinates."""
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    y, x = (rows - centre[0]) * scale[0], (cols - centre[1]) * scale[1]
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


def true_perimeter(a, b):
    return 4 * a * ellipe(1 - (b / a) ** 2)


def shoelace(points):
    y, x = points[:, 0], points[:, 1]
    return abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def corners_of(mask):
    (component,) = components(mask)
    return outer_corners(component.pixels) + component.bbox[:2]


def test_the_contour_of_one_pixel_is_a_diamond():
    corners = outer_corners(np.ones((1, 1), bool))
    assert corners.tolist() == [[0, 0], [0, 1], [1, 1], [1, 0]]
    assert midpoints(corners).tolist() == [[0, 0.5], [0.5, 1], [1, 0.5], [0.5, 0], [0, 0.5]]
    assert perimeter(corners) == pytest.approx(4)


def test_pixels_that_meet_at_a_corner_have_one_contour():
    corners = outer_corners(np.eye(3, dtype=bool))
    assert len(corners) == 12
    assert len({tuple(m) for m in midpoints(corners)[:-1].tolist()}) == 12


def test_holes_are_ignored():
    full = np.ones((7, 7), bool)
    ring = full.copy()
    ring[2:5, 2:5] = False
    assert np.array_equal(outer_corners(ring), outer_corners(full))


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_the_contour_visits_each_outer_pixel_edge_once(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 11)) < 0.6
    if not mask.any():
        return
    region = components(mask)[0].pixels
    corners = outer_corners(region)
    steps = np.roll(corners, -1, axis=0) - corners
    assert np.all(np.abs(steps).sum(axis=1) == 1)
    assert len({tuple(m) for m in midpoints(corners)[:-1].tolist()}) == len(corners)
    # The region is to the right of each pixel edge, the background to the left.
    padded = np.pad(region, 1)
    middle = corners + steps / 2 + 1
    normal = np.stack([steps[:, 1], -steps[:, 0]], axis=1) / 2
    right, left = np.floor(middle + normal).astype(int), np.floor(middle - normal).astype(int)
    assert padded[right[:, 0], right[:, 1]].all()
    assert not padded[left[:, 0], left[:, 1]].any()
    assert corners[:, 0].min() == corners[:, 1].min() == 0
    assert tuple(corners.max(axis=0)) == region.shape


@pytest.mark.parametrize("radius", [5, 10, 20, 60])
def test_a_disc_has_an_unbiased_contour(radius):
    rng = np.random.default_rng(radius)
    bias = []
    for _ in range(20):
        centre = radius + 3 + rng.uniform(-0.5, 0.5, 2)
        mask = ellipse(radius, radius, 0, centre, (2 * radius + 6,) * 2)
        contour = midpoints(corners_of(mask))
        off = np.hypot(*(contour[:-1] - centre).T) - radius
        assert np.abs(off).max() <= 0.75
        bias.append(off.mean())
        assert shoelace(contour) == pytest.approx(mask.sum(), abs=1)
    assert np.mean(bias) == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize(("a", "b"), [(10, 10), (14, 10), (30, 30), (30, 10), (60, 15), (120, 50)])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.6)])
def test_perimeter_of_discs_and_ellipses_at_every_angle(a, b, scale):
    """Radii are counted in the larger pixel side, so that every radius is 10 px and more."""
    side = 2 * a + 6
    shape = int(side / scale[0]), int(side / scale[1])
    rng = np.random.default_rng(a)
    errors = []
    for angle in np.linspace(0, math.pi, 13):
        centre = np.array(shape) / 2 + rng.uniform(-0.5, 0.5, 2)
        corners = corners_of(ellipse(a, b, angle, centre, shape, scale))
        errors.append(perimeter(corners, scale) / true_perimeter(a, b) - 1)
    assert np.abs(errors).max() < 0.02
    assert abs(np.mean(errors)) < 0.01


def test_the_perimeter_scales_with_the_spacing():
    corners = corners_of(ellipse(20, 12, 0.4, (25, 25), (50, 50)))
    assert perimeter(corners, (3.0, 3.0)) == pytest.approx(3 * perimeter(corners))


def test_the_perimeter_of_a_long_bar_is_about_twice_its_length():
    corners = outer_corners(np.ones((20, 200), bool))
    assert perimeter(corners) == pytest.approx(440, rel=0.02)
