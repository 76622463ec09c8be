"""What is fitted of trust, on made cases whose answer is known."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import logit as log_odds

from suraksha.datasets.phantom import sample_phantom
from suraksha.evaluation.fit_calibration import (
    CalibrationCase,
    CalibrationResult,
    Region,
    _platt,
    answer,
    fit_calibration,
    fit_pixel_temperature,
    measured,
    temperature_scaled,
)
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.postprocessing import PostProcessing, lesion_mask
from suraksha.inference.prediction import Prediction
from suraksha.types import Image

SHAPE = (60, 80)
IMAGE = Image(np.zeros(SHAPE, np.uint8))


def disc(row, col, radius):
    rows, cols = np.indices(SHAPE)
    return (rows - row) ** 2 + (cols - col) ** 2 <= radius**2


def case(truth, marked, high=0.9, lesion=1.0):
    probability = np.where(marked, high, 0.05).astype(np.float32)
    told = Prediction(probability, {"normal": 1 - lesion, "lesion": lesion}, ("normal",))
    return CalibrationCase(IMAGE, told, truth)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    rng = np.random.default_rng(0)
    cases = []
    for _ in range(40):
        calibrated = rng.uniform(0.02, 0.98, SHAPE)
        truth = rng.random(SHAPE) < calibrated
        given = expit(temperature * log_odds(calibrated)).astype(np.float32)
        cases.append(CalibrationCase(IMAGE, Prediction(given), truth))
    assert fit_pixel_temperature(cases) == pytest.approx(temperature, rel=0.03)


def test_tempering_divides_the_logits():
    told = Prediction(np.array([[0.5, 0.9, 0.1]], np.float32))
    found = temperature_scaled(told, 2.0).probability
    assert found == pytest.approx(expit(log_odds([[0.5, 0.9, 0.1]]) / 2), abs=1e-6)


def test_an_answer_knows_which_regions_are_right():
    truth = disc(30, 20, 10)
    marked = disc(30, 21, 10) | disc(15, 65, 6)
    found = answer(case(truth, marked), threshold=0.5, rule=PostProcessing())
    assert [region.right for region in found.regions] == [True, False]
    assert not found.poor
    assert answer(case(np.zeros(SHAPE, bool), marked), threshold=0.5, rule=PostProcessing()).poor
    assert not answer(
        case(np.zeros(SHAPE, bool), marked & False), threshold=0.5, rule=PostProcessing()
    ).poor
    assert answer(case(truth, disc(15, 65, 6)), threshold=0.5, rule=PostProcessing()).poor


def test_confidence_approaches_the_fraction_that_is_right():
    rng = np.random.default_rng(1)
    regions = []
    for _ in range(4000):
        mean = rng.uniform(0.5, 0.99)
        chance = expit(-2 + 1.5 * log_odds(mean))
        regions.append(Region(mean, bool(rng.random() < chance)))
    intercept, slope = _platt(regions)
    assert (intercept, slope) == (pytest.approx(-2, abs=0.25), pytest.approx(1.5, abs=0.15))
    answers = [CalibrationResult((region,), 0.0, not region.right) for region in regions]
    found = measured(answers, ConfidenceCalibration(intercept=intercept, slope=slope))
    assert found["lesion_calibration_error"] < 0.03
    assert found["lesions_right"] == sum(region.right for region in regions)


def test_review_catches_poor_answers_and_is_asked_of_a_quarter_at_most():
    good = [case(disc(30, 30, 12), disc(30, 30, 12), 0.95) for _ in range(30)]
    poor = [case(disc(30, 30, 12), disc(10, 70, 5), 0.6) for _ in range(5)]
    missed = [case(disc(30, 30, 12), np.zeros(SHAPE, bool), lesion=0.8) for _ in range(3)]
    normal = [case(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool), lesion=0.1) for _ in range(12)]
    cases = [*good, *poor, *missed, *normal]
    confidence_calibration, threshold, rule = fit_calibration(
        cases, threshold=0.5, rule=PostProcessing()
    )
    assert (threshold, rule) == (0.5, PostProcessing())
    fit = confidence_calibration.fit
    assert (fit["images"], fit["poor"]) == (50, 8)
    assert fit["poor_reviewed"] == 8
    assert fit["reviewed"] == 8
    assert 0.1 <= confidence_calibration.review_unmarked_above <= 0.8


def test_threshold_and_peak_go_with_the_temperature():
    rng = np.random.default_rng(2)
    cases = []
    for number in range(12):
        phantom = sample_phantom(9, number, shape=SHAPE)
        noise = rng.normal(0, 2, SHAPE)
        sharp = expit(6 * (phantom.mask - 0.5) + noise).astype(np.float32)
        cases.append(CalibrationCase(phantom.image, Prediction(sharp), phantom.mask))
    rule = PostProcessing(min_peak=0.97, min_area_fraction=0.01)
    confidence_calibration, cut, changed = fit_calibration(cases, threshold=0.6, rule=rule)
    assert confidence_calibration.temperature != 1
    assert (cut > 0.6) == (confidence_calibration.temperature < 1)
    for one in cases:
        before = lesion_mask(
            one.told.probability,
            threshold=0.6,
            rule=rule,
            lesion_probability=one.told.lesion_probability,
        )
        scaled = temperature_scaled(one.told, confidence_calibration.temperature)
        after = lesion_mask(
            scaled.probability,
            threshold=cut,
            rule=changed,
            lesion_probability=scaled.lesion_probability,
        )
        assert np.array_equal(before, after)


def test_without_a_region_nothing_is_fitted():
    cases = [case(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool), lesion=0.1)] * 3
    confidence_calibration, *_ = fit_calibration(cases, threshold=0.5, rule=PostProcessing())
    assert (confidence_calibration.intercept, confidence_calibration.slope) == (0.0, 1.0)
    assert confidence_calibration.fit["lesion_calibration_error"] is None
