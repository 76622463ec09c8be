"""Pixel calibration against scikit-learn, brute force and answers by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from suraksha.errors import InputError
from suraksha.metrics.calibration import BINS, EDGES, Reliability, reliability

MAPS = hnp.arrays(np.float32, (7, 9), elements=st.floats(0, 1, width=32))
MASKS = hnp.arrays(np.bool_, (7, 9))


def drawn(seed, shape=(40, 50)):
    """A map that is calibrated except for its upper half, where it is overconfident."""
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0, 1, shape).astype(np.float32)
    truth = rng.uniform(0, 1, shape) < np.where(probability > 0.5, probability - 0.2, probability)
    return probability, truth


def test_reliability_equals_scikit_learn():
    probability, truth = drawn(0)
    observed, mean = calibration_curve(truth.ravel(), probability.ravel(), n_bins=BINS)
    found = reliability(probability, truth).to_dict()
    ours = [(one["observed"], one["mean_probability"]) for one in found["bins"]]
    np.testing.assert_allclose(ours, np.stack([observed, mean], axis=1), rtol=1e-6)
    expected = brier_score_loss(truth.ravel(), probability.ravel())
    assert found["brier"] == pytest.approx(expected, rel=1e-6)


@given(probability=MAPS, truth=MASKS)
@settings(deadline=None, max_examples=60)
def test_brute_force_pixel_by_pixel(probability, truth):
    bins = [[] for _ in range(BINS)]
    for value, lesion in zip(probability.ravel().tolist(), truth.ravel().tolist(), strict=True):
        place = max(n for n in range(BINS) if value >= EDGES[n])
        bins[place].append((value, lesion))
    error = 0.0
    for members, one in zip(bins, reliability(probability, truth).to_dict()["bins"], strict=True):
        assert one["fraction"] == pytest.approx(len(members) / truth.size)
        if not members:
            assert (one["mean_probability"], one["observed"]) == (None, None)
            continue
        mean, observed = np.mean(members, axis=0)
        assert (one["mean_probability"], one["observed"]) == pytest.approx((mean, observed))
        error += abs(mean - observed) * len(members) / truth.size
    assert reliability(probability, truth).calibration_error == pytest.approx(error, abs=1e-12)


def test_images_sum_to_one_large_image():
    images = [drawn(seed) for seed in range(3)]
    total = Reliability()
    for probability, truth in images:
        total += reliability(probability, truth)
    together = reliability(*(np.concatenate(arrays) for arrays in zip(*images, strict=True)))
    apart, whole = total.to_dict(), together.to_dict()
    for one, other in zip(apart.pop("bins"), whole.pop("bins"), strict=True):
        assert one == pytest.approx(other)
    assert apart == pytest.approx(whole)
    assert whole["pixels"] == 3 * 40 * 50


def test_values_by_hand():
    truth = np.array([[True, False, False, False]])
    sure = reliability(truth.astype(np.float32), truth)
    assert (sure.calibration_error, sure.brier) == (0, 0)
    assert (sure.pixels[0], sure.pixels[-1], sure.pixels.sum()) == (3, 1, 4)
    half = reliability(np.full((1, 4), 0.5, np.float32), truth)
    assert half.pixels[5] == 4, "0.5 is lesion at the threshold 0.5, so it is above the edge"
    assert (half.calibration_error, half.brier) == (0.25, 0.25)
    base = reliability(np.full((1, 4), 0.25), truth)
    assert (base.calibration_error, base.brier) == (0, 0.25 * 0.75)
    wrong = reliability((~truth).astype(np.float64), truth)
    assert (wrong.calibration_error, wrong.brier) == (1, 1)


def test_without_pixels_the_values_are_nan():
    found = Reliability().to_dict()
    assert (found["pixels"], found["brier"], found["expected_calibration_error"]) == (0, None, None)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_map_is_not_changed():
    probability, truth = drawn(1)
    before = probability.copy()
    probability.flags.writeable = truth.flags.writeable = False
    reliability(probability, truth)
    np.testing.assert_array_equal(probability, before)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_values_outside_0_to_1_are_refused(value):
    with pytest.raises(InputError, match=r"outside 0\.\.1"):
        reliability(np.array([[0.5, value]]), np.zeros((1, 2), bool))


def test_shapes_that_differ_are_refused():
    with pytest.raises(InputError, match="cannot be compared"):
        reliability(np.zeros((2, 3)), np.zeros((3, 2), bool))
    with pytest.raises(InputError, match="is not a mask"):
        reliability(np.zeros((2, 3)), np.zeros((2, 3)))
