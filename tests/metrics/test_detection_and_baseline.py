"""Lesions counted one by one, normal images, the mean mask."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.errors import InputError
from suraksha.metrics.baseline import mean_mask
from suraksha.metrics.detection import Detection, detection, normals
from suraksha.metrics.overlap import Counts, counts, dice


def test_detection_by_hand():
    truth, prediction = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    truth[0, 0] = truth[3:5, 3:5] = truth[7, 0:3] = True
    prediction[4:6, 4:6] = prediction[0, 6] = prediction[7, 7] = True
    assert detection(prediction, truth) == Detection(found=1, missed=2, false=2)
    assert detection(truth, truth) == Detection(found=3)
    assert detection(np.zeros_like(truth), truth) == Detection(missed=3)
    assert detection(prediction, np.zeros_like(truth)) == Detection(false=3)


def test_one_prediction_can_find_two_lesions_and_diagonal_pixels_are_connected():
    truth = np.zeros((3, 7), bool)
    truth[1, 1] = truth[1, 5] = True
    assert detection(np.ones_like(truth), truth) == Detection(found=2)
    assert detection(np.eye(4, dtype=bool), np.eye(4, dtype=bool)) == Detection(found=1)


def test_detections_are_added_and_other_shapes_refused():
    assert Detection(1, 2, 3) + Detection(4, 5, 6) == Detection(5, 7, 9)
    with pytest.raises(InputError):
        detection(np.ones((2, 2), bool), np.ones((2, 3), bool))


def test_normals_by_hand():
    images = [
        Counts(tp=5, fp=9, fn=1, tn=85),  # has a lesion: passed over
        Counts(fn=3, tn=97),  # missed, but not a normal image
        Counts(tn=100),
        Counts(fp=10, tn=90),
        Counts(fp=20, tn=180),
    ]
    found = normals(images)
    assert (found.images, found.with_prediction) == (3, 2)
    assert found.fraction == pytest.approx(2 / 3)
    assert found.false_area_px == pytest.approx(10)
    assert found.false_area_fraction == pytest.approx(0.2 / 3)


def test_without_normals_the_values_are_nan():
    found = normals([Counts(tp=1)])
    assert (found.images, found.with_prediction) == (0, 0)
    assert math.isnan(found.fraction)
    assert math.isnan(found.false_area_px)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_the_mean_mask_uses_the_best_threshold(seed, n):
    rng = np.random.default_rng(seed)
    masks = rng.random((n, 5, 6)) < rng.random((5, 6))
    before = masks.copy()
    best = mean_mask(masks)
    assert np.array_equal(masks, before)
    if not masks.any():
        assert not best.any()
        return

    def pooled(mask):
        return dice(sum((counts(mask, m) for m in masks), Counts()))

    average = masks.mean(axis=0)
    candidates = [average >= level for level in np.unique(average)]
    assert any(np.array_equal(best, c) for c in candidates)
    assert pooled(best) == pytest.approx(max(pooled(c) for c in candidates))


def test_the_mean_of_equal_masks_is_the_mask():
    mask = np.eye(4, dtype=bool)
    assert np.array_equal(mean_mask(np.stack([mask, mask])), mask)


@pytest.mark.parametrize(
    "bad", [np.ones((3, 3), bool), np.ones((2, 3, 3)), np.ones((0, 3, 3), bool)]
)
def test_other_arrays_are_refused(bad):
    with pytest.raises(InputError, match="mean mask"):
        mean_mask(bad)
