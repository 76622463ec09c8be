"""measure(): lesions of known size, invariances, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import ellipe

from suraksha.errors import InputError, UsageError
from suraksha.measurement.measure import measure
from suraksha.types import Spacing

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
FIGURES = ("area_px", "long_axis_px", "short_axis_px", "perimeter_px", "circularity", "solidity")
LENGTHS = ("long_axis_mm", "short_axis_mm", "perimeter_mm", "depth_mm")


def ellipse(a, b, angle, centre, shape, scale=(1.0, 1.0)):
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    y, x = (rows - centre[0]) * scale[0], (cols - centre[1]) * scale[1]
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


def figures(mask):
    """The figures of all lesions, in an order that does not depend on their position."""
    return sorted(tuple(round(getattr(x, f), 8) for f in FIGURES) for x in measure(mask))


@pytest.mark.parametrize(("a", "b"), [(10, 10), (25, 25), (25, 12), (60, 20), (90, 60)])
@pytest.mark.parametrize("angle", np.linspace(0, math.pi, 9)[:-1])
def test_discs_and_ellipses(a, b, angle):
    rng = np.random.default_rng(int(1000 * angle) + a)
    side = 2 * a + 8
    centre = side / 2 + rng.uniform(-0.5, 0.5, 2)
    (lesion,) = measure(ellipse(a, b, angle, centre, (side, side)))
    assert lesion.area_px == pytest.approx(math.pi * a * b, rel=0.03)
    assert lesion.centroid == pytest.approx(tuple(centre), abs=0.2)
    assert lesion.long_axis_px == pytest.approx(2 * a, abs=1.2)
    assert lesion.short_axis_px == pytest.approx(2 * b, abs=1.5)
    ring = 4 * a * ellipe(1 - (b / a) ** 2)
    assert lesion.perimeter_px == pytest.approx(ring, rel=0.02)
    assert lesion.circularity == pytest.approx(4 * math.pi**2 * a * b / ring**2, rel=0.04)
    assert lesion.solidity == 1
    if a > b:
        (r0, c0), (r1, c1) = lesion.long_axis_ends
        turned = math.atan2(r1 - r0, c1 - c0) - angle
        assert abs(math.sin(turned)) < 0.15


@pytest.mark.parametrize("scale", [(0.05, 0.1), (0.12, 0.07)])
@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2, 2.0, 2.9])
def test_pixels_that_are_not_square(scale, angle):
    shape = int(12 / scale[0]), int(12 / scale[1])
    mask = ellipse(5, 2.5, angle, (shape[0] / 2, shape[1] / 2), shape, scale)
    (lesion,) = measure(mask, Spacing(*scale))
    assert lesion.area_mm2 == pytest.approx(math.pi * 5 * 2.5, rel=0.02)
    assert lesion.long_axis_mm == pytest.approx(10, abs=1.2 * max(scale))
    assert lesion.short_axis_mm == pytest.approx(5, abs=1.5 * max(scale))
    ring = 20 * ellipe(0.75)
    assert lesion.perimeter_mm == pytest.approx(ring, rel=0.02)
    assert lesion.circularity == pytest.approx(4 * math.pi**2 * 12.5 / ring**2, rel=0.04)
    assert lesion.depth_mm == pytest.approx(lesion.bbox[0] * scale[0])
    assert lesion.taller_than_wide == (abs(math.sin(angle)) > math.sqrt(0.5))


def test_the_long_axis_in_mm_can_have_other_end_points():
    cross = np.zeros((21, 31), bool)
    cross[10], cross[:, 15] = True, True
    (lesion,) = measure(cross, Spacing(0.2, 0.1))
    assert lesion.long_axis_px == pytest.approx(31)
    assert lesion.long_axis_ends == ((10.5, 0.0), (10.5, 31.0))
    assert lesion.long_axis_mm == pytest.approx(21 * 0.2)
    assert lesion.short_axis_mm == pytest.approx(31 * 0.1)


def test_one_pixel():
    mask = np.zeros((6, 8), bool)
    mask[4, 7] = True
    (lesion,) = measure(mask, Spacing.square(0.5))
    assert (lesion.label, lesion.area_px, lesion.bbox) == (1, 1, (4, 7, 5, 8))
    assert lesion.centroid == (4.5, 7.5)
    assert (lesion.long_axis_px, lesion.short_axis_px) == pytest.approx((1, 1))
    assert (lesion.long_axis_mm, lesion.area_mm2) == pytest.approx((0.5, 0.25))
    assert (lesion.depth_px, lesion.depth_mm) == (4, 2)
    assert lesion.perimeter_px == pytest.approx(4)
    assert (lesion.solidity, lesion.taller_than_wide) == (1, False)


def test_a_row_along_the_border():
    mask = np.zeros((5, 12), bool)
    mask[0, 3:] = True
    (lesion,) = measure(mask)
    assert lesion.long_axis_ends == ((0.5, 3.0), (0.5, 12.0))
    assert lesion.short_axis_ends == ((0.0, 7.5), (1.0, 7.5))
    assert (lesion.long_axis_px, lesion.short_axis_px) == pytest.approx((9, 1))
    assert (lesion.depth_px, lesion.solidity) == (0, 1)


def test_the_full_image():
    (lesion,) = measure(np.ones((30, 40), bool))
    assert lesion.area_px == 1200
    assert lesion.bbox == (0, 0, 30, 40)
    assert lesion.centroid == (15, 20)
    assert lesion.contour.min() == 0
    assert tuple(lesion.contour.max(axis=0)) == (30, 40)
    assert lesion.solidity == 1


def test_a_hole_changes_only_area_and_solidity():
    disc = ellipse(20, 20, 0, (25, 25), (50, 50))
    ring = disc & ~ellipse(10, 10, 0, (25, 25), (50, 50))
    (full,), (holed,) = measure(disc), measure(ring)
    assert np.array_equal(full.contour, holed.contour)
    assert holed.perimeter_px == full.perimeter_px
    assert holed.solidity == pytest.approx(0.75, abs=0.01)
    assert holed.circularity == pytest.approx(0.75, abs=0.02)


def test_a_lesion_inside_the_hole_of_another_is_separate():
    target = ellipse(20, 20, 0, (25, 25), (50, 50)) & ~ellipse(12, 12, 0, (25, 25), (50, 50))
    target |= ellipse(4, 4, 0, (25, 25), (50, 50))
    outer, inner = measure(target)
    assert inner.long_axis_px == pytest.approx(8, abs=1)
    assert outer.long_axis_px == pytest.approx(40, abs=1)


@given(MASKS)
@settings(deadline=None, max_examples=60)
def test_lesions_partition_the_mask(mask):
    before = mask.copy()
    lesions = measure(mask)
    assert np.array_equal(mask, before)
    assert sum(x.area_px for x in lesions) == mask.sum()
    assert [x.label for x in lesions] == list(range(1, len(lesions) + 1))
    for x in lesions:
        assert np.array_equal(x.contour[0], x.contour[-1])
        assert (x.contour.min(axis=0) == x.bbox[:2]).all()
        assert (x.contour.max(axis=0) == x.bbox[2:]).all()
        assert 0 < x.circularity <= 1
        assert 0 < x.solidity <= 1
        assert x.short_axis_px <= x.long_axis_px + 1e-9
        assert x.long_axis_mm is x.area_mm2 is x.confidence is None


@given(MASKS)
@settings(deadline=None, max_examples=60)
def test_rotating_and_flipping_do_not_change_the_values(mask):
    expected = figures(mask)
    for other in (np.rot90(mask), mask[::-1], mask[:, ::-1], mask.T):
        found = figures(other)
        assert len(found) == len(expected)
        assert np.allclose(found, expected, rtol=0, atol=3e-8)


@given(MASKS, st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_moving_changes_only_coordinates(mask, down, right):
    move = np.array([down, right])
    moved = measure(np.pad(mask, ((down, 1), (right, 2))))
    for a, b in zip(measure(mask), moved, strict=True):
        assert np.allclose(a.contour + move, b.contour)
        assert np.allclose(np.array(a.long_axis_ends) + move, b.long_axis_ends)
        assert np.allclose(np.array(a.short_axis_ends) + move, b.short_axis_ends)
        assert b.centroid == pytest.approx((a.centroid[0] + down, a.centroid[1] + right))
        assert b.depth_px == a.depth_px + down
        assert b.perimeter_px == pytest.approx(a.perimeter_px)


@given(MASKS, st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.floats(0.1, 10))
@settings(deadline=None, max_examples=40)
def test_values_in_mm_scale_with_the_spacing(mask, row, col, factor):
    small = measure(mask, Spacing(row, col))
    large = measure(mask, Spacing(row * factor, col * factor))
    for a, b in zip(small, large, strict=True):
        for name in LENGTHS:
            assert getattr(b, name) == pytest.approx(factor * getattr(a, name), rel=1e-6)
        assert b.area_mm2 == pytest.approx(factor**2 * a.area_mm2)
        assert b.circularity == pytest.approx(a.circularity)


def test_square_pixels_scale_the_pixel_values():
    (lesion,) = measure(ellipse(20, 11, 0.7, (25, 25), (50, 50)), Spacing.square(0.1))
    for name in ("long_axis", "short_axis", "perimeter", "depth"):
        in_px = getattr(lesion, f"{name}_px")
        assert getattr(lesion, f"{name}_mm") == pytest.approx(in_px / 10)


def test_confidence_is_the_mean_over_the_lesion():
    mask = np.zeros((4, 6), bool)
    mask[0, :2] = mask[3, 3:] = True
    probability = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    large, small = measure(mask, probability=probability)
    assert large.confidence == pytest.approx(probability[3, 3:].mean())
    assert small.confidence == pytest.approx(probability[0, :2].mean())


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((2, 3), np.float32), "does not fit the mask"),
        (np.full((3, 3), 1.5), "sigmoid"),
        (np.full((3, 3), -0.1), "sigmoid"),
        (np.full((3, 3), np.nan), "sigmoid"),
    ],
)
def test_invalid_probabilities_are_refused(bad, said):
    with pytest.raises(InputError, match=said):
        measure(np.ones((3, 3), bool), probability=bad)


def test_empty_masks_small_regions_and_refusals():
    speck = np.zeros((4, 4), np.uint8)
    assert measure(speck) == ()
    speck[0, 0] = 255
    assert len(measure(speck)) == 1
    assert measure(speck, min_area_px=2) == ()
    with pytest.raises(InputError):
        measure(speck.astype(float))
    with pytest.raises(UsageError):
        measure(speck, min_area_px=0)
