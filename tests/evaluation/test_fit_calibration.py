"""Confidence and review rule, on cases whose result is known."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import logit as log_odds

from suraksha.evaluation.fit_calibration import (
    CalibrationResult,
    Region,
    _platt,
    calibration_metrics,
    calibration_result,
    fit_confidence,
)
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.postprocessing import PostProcessingSettings, apply_threshold
from suraksha.inference.prediction import Prediction
from suraksha.types import Image

SHAPE = (60, 80)
IMAGE = Image(np.zeros(SHAPE, np.uint8))


def disc(row, col, radius):
    rows, cols = np.indices(SHAPE)
    return (rows - row) ** 2 + (cols - col) ** 2 <= radius**2


def result(truth, marked, high=0.9, lesion=1.0):
    """The result on an image with a probability map that is high where it is marked."""
    probability = np.where(marked, high, 0.05).astype(np.float32)
    classes = {"normal": 1 - lesion, "lesion": lesion}
    card = PostProcessingSettings(classes=("normal", "lesion"), normal_classes=("normal",))
    segmentation = apply_threshold(Prediction(probability, classes, ("normal",)), IMAGE, card=card)
    return calibration_result(segmentation, truth)


EMPTY = np.zeros(SHAPE, bool)


def test_a_result_knows_which_regions_are_correct():
    truth = disc(30, 20, 10)
    marked = disc(30, 21, 10) | disc(15, 65, 6)
    found = result(truth, marked)
    assert [region.correct for region in found.regions] == [True, False]
    assert found.regions[0].mean == pytest.approx(0.9)
    assert not found.poor
    assert result(EMPTY, marked).poor
    assert not result(EMPTY, EMPTY).poor
    assert result(truth, disc(15, 65, 6)).poor


def test_only_an_empty_mask_has_an_unmarked_probability():
    assert result(EMPTY, EMPTY, lesion=0.3).unmarked_probability == pytest.approx(0.3)
    assert result(EMPTY, disc(30, 20, 10), lesion=0.3).unmarked_probability == 0


def test_the_confidence_approaches_the_fraction_that_is_correct():
    rng = np.random.default_rng(1)
    regions = []
    for _ in range(4000):
        mean = rng.uniform(0.5, 0.99)
        chance = expit(-2 + 1.5 * log_odds(mean))
        regions.append(Region(mean, bool(rng.random() < chance)))
    intercept, slope = _platt(regions)
    assert (intercept, slope) == (pytest.approx(-2, abs=0.25), pytest.approx(1.5, abs=0.15))
    results = [CalibrationResult((region,), 0.0, not region.correct) for region in regions]
    calibration = ConfidenceCalibration(intercept=intercept, slope=slope)
    found = calibration_metrics(results, calibration)
    assert found["lesion_calibration_error"] < 0.03
    assert found["lesions_right"] == sum(region.correct for region in regions)


def test_review_catches_poor_results_and_is_asked_for_a_quarter_at_most():
    good = [result(disc(30, 30, 12), disc(30, 30, 12), 0.95) for _ in range(30)]
    poor = [result(disc(30, 30, 12), disc(10, 70, 5), 0.6) for _ in range(5)]
    missed = [result(disc(30, 30, 12), EMPTY, lesion=0.8) for _ in range(3)]
    normal = [result(EMPTY, EMPTY, lesion=0.1) for _ in range(12)]
    calibration = fit_confidence([*good, *poor, *missed, *normal], temperature=1.5)
    fit = calibration.fit
    assert calibration.temperature == 1.5
    assert (fit["images"], fit["poor"]) == (50, 8)
    assert fit["poor_reviewed"] == 8
    assert fit["reviewed"] == 8
    assert 0.1 <= calibration.review_unmarked_above <= 0.8


def test_without_a_region_the_confidence_is_the_mean_probability():
    calibration = fit_confidence([result(EMPTY, EMPTY, lesion=0.1)] * 3, temperature=1.0)
    assert (calibration.intercept, calibration.slope) == (0.0, 1.0)
    assert calibration.fit["lesion_calibration_error"] is None
