"""HD95 and NSD: hand-computed cases, a brute-force oracle, properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suraksha.errors import InputError, UsageError
from suraksha.metrics.boundary import boundary, hd95, nsd, surface_distances
from suraksha.types import Spacing

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9)
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)


def edge_pixels(mask):
    """Boundary by its words: a pixel with background, or the image's end, at one side."""
    found = []
    for r, c in np.argwhere(mask):
        for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            y, x = r + dr, c + dc
            outside = not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1])
            if outside or not mask[y, x]:
                found.append((int(r), int(c)))
                break
    return found


@given(PAIRS, st.floats(0.05, 2), st.floats(0.05, 2), st.floats(0, 3))
@settings(deadline=None, max_examples=80)
def test_against_brute_force(pair, row, col, tolerance):
    a, b = (np.array(edge_pixels(m)).reshape(-1, 2) * [row, col] for m in pair)
    assert sorted(map(tuple, boundary(pair[0]).tolist())) == edge_pixels(pair[0])
    if len(a) == 0 or len(b) == 0:
        return
    gaps = np.hypot(*np.moveaxis(a[:, None] - b[None], -1, 0))
    there, back = gaps.min(axis=1), gaps.min(axis=0)
    spacing = Spacing(row, col)
    found = surface_distances(*pair, spacing=spacing)
    assert np.allclose(np.sort(found[0]), np.sort(there))
    assert np.allclose(np.sort(found[1]), np.sort(back))
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert hd95(*pair, spacing=spacing) == pytest.approx(expected)
    if np.abs(np.concatenate([there, back]) - tolerance).min() > 1e-9:
        fraction = np.mean(np.concatenate([there, back]) <= tolerance)
        assert nsd(*pair, tolerance=tolerance, spacing=spacing) == pytest.approx(fraction)


def test_a_square_moved_by_three():
    truth = np.zeros((20, 30), bool)
    truth[5:11, 5:11] = True
    moved = np.roll(truth, 3, axis=1)
    assert hd95(moved, truth) == pytest.approx(3)
    assert hd95(moved, truth, spacing=Spacing(0.5, 0.1)) == pytest.approx(0.3)
    assert nsd(moved, truth, tolerance=3) == 1
    assert 0 < nsd(moved, truth, tolerance=0) < nsd(moved, truth, tolerance=2) < 1


def test_nsd_counted_by_hand():
    truth, prediction = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    truth[1, 1:4], prediction[1, 1:6] = True, True
    # Distances: truth 0 0 0, prediction 0 0 0 1 2.
    assert nsd(prediction, truth, tolerance=0) == pytest.approx(6 / 8)
    assert nsd(prediction, truth, tolerance=1) == pytest.approx(7 / 8)
    assert nsd(prediction, truth, tolerance=2) == 1
    assert hd95(prediction, truth) == pytest.approx(np.percentile([0, 0, 0, 1, 2], 95))


@given(PAIRS)
@settings(deadline=None, max_examples=60)
def test_symmetry_range_and_equality(pair):
    assert hd95(*pair) == pytest.approx(hd95(*pair[::-1]), nan_ok=True)
    assert nsd(*pair) == pytest.approx(nsd(*pair[::-1]), nan_ok=True)
    if pair[0].any() or pair[1].any():
        assert 0 <= nsd(*pair) <= 1
        assert 0 <= hd95(*pair) <= math.hypot(*pair[0].shape)
    if pair[0].any():
        assert hd95(pair[0], pair[0]) == 0
        assert nsd(pair[0], pair[0], tolerance=0) == 1


@given(PAIRS, st.integers(0, 4), st.floats(0.01, 1))
@settings(deadline=None, max_examples=40)
def test_translation_invariance_and_scaling(pair, margin, mm):
    if not (pair[0].any() and pair[1].any()):
        return
    moved = [np.pad(m, ((margin, 1), (2, margin))) for m in pair]
    assert hd95(*moved) == pytest.approx(hd95(*pair))
    assert nsd(*moved) == pytest.approx(nsd(*pair))
    in_mm = hd95(*pair, spacing=Spacing.square(mm))
    assert in_mm == pytest.approx(mm * hd95(*pair))


def test_the_empty_rule():
    empty, full = np.zeros((30, 40), bool), np.ones((30, 40), bool)
    assert math.isnan(hd95(empty, empty))
    assert math.isnan(nsd(empty, empty))
    for pair in ((empty, full), (full, empty)):
        assert hd95(*pair) == 50
        assert hd95(*pair, spacing=Spacing(0.1, 0.1)) == pytest.approx(5)
        assert nsd(*pair) == 0


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_invalid_tolerances_are_refused(tolerance):
    full = np.ones((3, 3), bool)
    with pytest.raises(UsageError, match="tolerance"):
        nsd(full, full, tolerance=tolerance)


def test_invalid_masks_are_refused():
    with pytest.raises(InputError):
        hd95(np.ones((3, 3)), np.ones((3, 3), bool))
    with pytest.raises(InputError):
        nsd(np.ones((3, 3), bool), np.ones((3, 4), bool))
