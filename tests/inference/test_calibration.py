"""Calibrated confidence and review."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suraksha.datasets.phantom import sample_phantom
from suraksha.errors import BundleError, UsageError
from suraksha.inference.bundle import read_bundle
from suraksha.inference.calibration import ConfidenceCalibration, logit, sigmoid
from suraksha.inference.card import read_card
from suraksha.inference.engines import create_engine
from suraksha.inference.segmenter import Segmenter
from suraksha.measurement.measure import measure
from suraksha.reporting.records import csv_text, result_record

fractions = st.floats(0, 1)


@given(fractions)
def test_sigmoid_undoes_logit(fraction):
    assert sigmoid(logit(fraction)) == pytest.approx(fraction, abs=2e-6)


@given(fractions, fractions, st.floats(-5, 5), st.floats(0, 5))
def test_confidence_is_in_0_to_1_and_keeps_the_order(one, other, intercept, slope):
    confidence_calibration = ConfidenceCalibration(intercept=intercept, slope=slope)
    low, high = sorted((one, other))
    assert (
        0 <= confidence_calibration.confidence(low) <= confidence_calibration.confidence(high) <= 1
    )


@given(fractions)
def test_the_default_changes_nothing(fraction):
    assert ConfidenceCalibration().confidence(fraction) == pytest.approx(fraction, abs=2e-6)
    assert ConfidenceCalibration().review((), unmarked_probability=fraction) == ()


def lesion_of(confidence):
    (lesion,) = measure(sample_phantom(4, 1).mask)[:1]
    return replace(lesion, confidence=confidence)


def test_review_names_its_reasons():
    calibration = ConfidenceCalibration(review_below_confidence=0.6, review_unmarked_above=0.4)
    assert calibration.review([lesion_of(0.7)], unmarked_probability=0.0) == ()
    assert calibration.review([lesion_of(0.7), lesion_of(0.5)], unmarked_probability=0.0) == (
        "lesion confidence below 0.60",
    )
    assert calibration.review([], unmarked_probability=0.3) == ()
    assert "no lesion found" in calibration.review([], unmarked_probability=0.4)[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"slope": -1.0},
        {"review_below_confidence": 1.5},
        {"review_unmarked_above": float("inf")},
        {"feature_bounds": {"contrast": (0.5, 0.1)}},
    ],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        ConfidenceCalibration(**wrong)


def test_a_card_keeps_its_calibration():
    card = read_bundle(None).card
    assert read_card(card.to_json()) == card
    assert card.confidence_calibration.feature_bounds["colour"][1] >= 0.4
    with pytest.raises(BundleError, match=r"unknown key 'confidence_calibration\.temprature'"):
        read_card(card.to_json().replace('"temperature"', '"temprature"'))


@pytest.fixture(scope="module")
def with_calibration():
    bundle = read_bundle(None)
    engine = create_engine("onnxruntime", bundle.model, threads=1)

    def make(**fields):
        confidence_calibration = replace(bundle.card.confidence_calibration, **fields)
        return Segmenter(
            replace(
                bundle, card=replace(bundle.card, confidence_calibration=confidence_calibration)
            ),
            engine,
        )

    return make


def test_a_segmenter_gives_calibrated_confidences_and_asks_for_review(with_calibration):
    image = sample_phantom(4, 1).image
    plain = with_calibration(
        temperature=1.0, intercept=0.0, slope=1.0, review_below_confidence=0.0
    )(image)
    moved = with_calibration(
        temperature=1.0, intercept=-1.0, slope=0.5, review_below_confidence=0.99
    )(image)
    assert plain.lesions
    assert not plain.needs_review
    for before, after in zip(plain.lesions, moved.lesions, strict=True):
        wanted = sigmoid(-1.0 + 0.5 * logit(before.confidence))
        assert after.confidence == pytest.approx(wanted, abs=1e-6)
    assert moved.needs_review
    record = result_record(moved)
    assert record["needs_review"] is True
    assert record["review"] == list(moved.review)
    rows = csv_text([{"image": "a", **record}]).splitlines()
    place = rows[0].split(",").index("needs_review")
    assert rows[1].split(",")[place] == "True"


def test_a_temperature_moves_probabilities_and_keeps_the_mask(with_calibration):
    image = sample_phantom(4, 1).image
    cold, warm = (with_calibration(temperature=t)(image) for t in (1.0, 2.0))
    inside = cold.probability > 0.9
    assert inside.any()
    assert (warm.probability[inside] < cold.probability[inside]).all()
    changed = (cold.mask ^ warm.mask).sum()
    assert changed <= 0.02 * cold.mask.sum()
