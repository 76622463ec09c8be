"""Calipers, circularity, solidity: brute-force oracles and analytic answers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.measurement.calipers import calipers, hull
from suraksha.measurement.components import components
from suraksha.measurement.contour import midpoints, outer_corners
from suraksha.measurement.shape import circularity, solidity, taller_than_wide


def blob(seed, side=24):
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:side, 0:side] + 0.5
    mask = np.zeros((side, side), bool)
    for _ in range(3):
        r, c, radius = *rng.uniform(6, side - 6, 2), rng.uniform(1, 6)
        mask |= (rows - r) ** 2 + (cols - c) ** 2 <= radius**2
    mask |= (rng.random(mask.shape) < 0.05) & (np.hypot(rows - 12, cols - 12) < 8)
    mask[12, 12] = True
    return components(mask)[0].pixels


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 3), st.floats(0.2, 3))
@settings(deadline=None, max_examples=60)
def test_calipers_against_all_pairs_and_a_dense_angle_scan(seed, row, col):
    contour = midpoints(outer_corners(blob(seed)))[:-1] * [row, col]
    answer = calipers(hull(contour))
    gaps = contour[:, None] - contour[None]
    distances = np.hypot(gaps[..., 0], gaps[..., 1])
    assert answer.long_axis == pytest.approx(distances.max(), rel=1e-12)

    angles = np.linspace(0, math.pi, 3601)
    directions = np.stack([np.sin(angles), np.cos(angles)])
    widths = np.ptp(contour @ directions, axis=0)
    assert widths.max() <= answer.long_axis * (1 + 1e-9)
    assert widths.max() == pytest.approx(answer.long_axis, rel=1e-5)

    first, second = np.array(answer.long_axis_ends)
    assert np.hypot(*(second - first)) == pytest.approx(answer.long_axis)
    assert any(np.allclose(first, p) for p in contour)
    assert any(np.allclose(second, p) for p in contour)
    unit = (second - first) / answer.long_axis
    across = contour @ np.array([-unit[1], unit[0]])
    assert answer.short_axis == pytest.approx(np.ptp(across))


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_the_axes_are_perpendicular(seed):
    answer = calipers(hull(midpoints(outer_corners(blob(seed)))[:-1]))
    p, q = np.array(answer.long_axis_ends)
    s, t = np.array(answer.short_axis_ends)
    assert np.hypot(*(t - s)) == pytest.approx(answer.short_axis)
    assert (q - p) @ (t - s) == pytest.approx(0, abs=1e-9)
    # The intersection is within both segments.
    fraction = ((s - p) @ (q - p)) / ((q - p) @ (q - p))
    assert -1e-9 <= fraction <= 1 + 1e-9
    normal = (t - s) / answer.short_axis
    assert s @ normal - 1e-9 <= p @ normal <= t @ normal + 1e-9


@pytest.mark.parametrize("sides", [(1, 1), (1, 9), (9, 1), (4, 4), (3, 8)])
def test_bars(sides):
    height, width = sides
    answer = calipers(hull(midpoints(outer_corners(np.ones(sides, bool)))[:-1]))
    gap = [max(height, width), math.hypot(max(0, height - 1), width), math.hypot(height, width - 1)]
    assert answer.long_axis == pytest.approx(max(gap))
    assert solidity(np.ones(sides, bool)) == 1
    if 1 in sides:
        assert answer.short_axis == pytest.approx(1)
        assert np.mean(answer.short_axis_ends, axis=0).tolist() == [height / 2, width / 2]


@given(
    st.floats(0.6, 30), st.floats(0.2, 1), st.floats(0, math.pi), st.floats(0, 1), st.floats(0, 1)
)
@settings(deadline=None, max_examples=80)
def test_every_digitised_ellipse_is_solid(a, ratio, angle, dr, dc):
    side = int(2 * a) + 5
    rows, cols = np.mgrid[0:side, 0:side] + 0.5
    y, x = rows - side / 2 - dr, cols - side / 2 - dc
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    for component in components((u / a) ** 2 + (v / (a * ratio)) ** 2 <= 1)[:1]:
        if component.area_px == np.sum((u / a) ** 2 + (v / (a * ratio)) ** 2 <= 1):
            assert solidity(component.pixels) == 1


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_solidity_against_counted_pixels(seed):
    pixels = blob(seed)
    points = np.argwhere(pixels).astype(float)
    if np.linalg.matrix_rank(points - points[0]) < 2:
        return
    corners = hull(points)
    edges = np.roll(corners, -1, axis=0) - corners
    grid = np.argwhere(np.ones_like(pixels))
    gaps = grid[:, None] - corners[None]
    side = edges[None, :, 0] * gaps[..., 1] - edges[None, :, 1] * gaps[..., 0]
    inside = np.all(side >= -1e-9, axis=1) | np.all(side <= 1e-9, axis=1)
    assert solidity(pixels) == pytest.approx(pixels.sum() / inside.sum(), rel=1e-12)


def test_solidity_of_shapes_that_are_not_convex():
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    assert solidity(ring) == 24 / 25
    corner = np.zeros((3, 3), bool)
    corner[:, 0] = corner[2] = True
    assert solidity(corner) == 5 / 6
    assert solidity(np.eye(5, dtype=bool)) == 1


def test_circularity_is_clipped_and_falls_with_length():
    assert circularity(math.pi * 9, 6 * math.pi) == pytest.approx(1)
    assert circularity(math.pi * 9, 5.9 * math.pi) == 1
    assert circularity(1, 4) == pytest.approx(math.pi / 4)


def test_taller_than_wide_uses_the_scaled_plane():
    assert taller_than_wide((0, 0, 5, 4))
    assert not taller_than_wide((0, 0, 4, 4))
    assert not taller_than_wide((0, 0, 5, 4), (0.1, 0.2))
    assert taller_than_wide((3, 1, 7, 6), (0.2, 0.1))
