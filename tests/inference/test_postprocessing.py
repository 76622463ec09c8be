"""Post-processing: temperature, restore, threshold and rule, the regions against a flood fill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suraksha.datasets.phantom import sample_phantom
from suraksha.errors import BundleError, InputError, UsageError
from suraksha.inference.bundle import read_bundle
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.engines import Logits, create_engine
from suraksha.inference.postprocessing import (
    PostProcessing,
    PostProcessingSettings,
    lesion_mask,
    postprocess,
    regions,
)
from suraksha.inference.roi import InferenceSpec, segment_image
from suraksha.inference.segmenter import Segmenter
from suraksha.preprocessing import prepare, restore
from suraksha.types import Image

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
# few levels, so that peaks and areas meet a rule exactly
LEVELS = st.sampled_from([np.float32(k) / np.float32(10) for k in range(11)])
MAPS = hnp.arrays(np.float32, SHAPES, elements=LEVELS)
RULES = st.builds(
    PostProcessing,
    st.sampled_from([0.0, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0]),
    st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.3]),
)


def slow(probability, threshold, rule):
    """A reference without shared code: flood fill with sets, then one region at a time."""
    left = {(int(r), int(c)) for r, c in np.argwhere(probability >= np.float32(threshold))}
    mask = np.zeros(probability.shape, bool)
    count = 0
    while left:
        region, todo = [], [left.pop()]
        while todo:
            r, c = todo.pop()
            region.append((r, c))
            near = {(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            todo.extend(near)
        peak = max(probability[place] for place in region)
        count += 1
        if (
            peak >= np.float32(rule.min_peak)
            and len(region) / probability.size >= rule.min_area_fraction
        ):
            for place in region:
                mask[place] = True
    return mask, count


@given(MAPS, st.sampled_from([0.2, 0.5, 0.8]), RULES)
@settings(deadline=None, max_examples=150)
def test_the_mask_is_that_of_the_reference(probability, threshold, rule):
    before = probability.copy()
    mask = lesion_mask(probability, threshold=threshold, rule=rule)
    expected, count = slow(probability, threshold, rule)
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.bool_
    assert (probability == before).all()
    assert len(regions(probability, threshold).pixels) == count


@given(MAPS, RULES, RULES)
@settings(deadline=None, max_examples=60)
def test_a_stricter_rule_keeps_no_more(probability, one, two):
    both = PostProcessing(
        max(one.min_peak, two.min_peak), max(one.min_area_fraction, two.min_area_fraction)
    )
    masks = [lesion_mask(probability, threshold=0.5, rule=rule) for rule in (one, two, both)]
    np.testing.assert_array_equal(masks[2], masks[0] & masks[1])


@given(MAPS)
@settings(deadline=None, max_examples=60)
def test_regions_partition_the_mask(probability):
    found = regions(probability, 0.5)
    np.testing.assert_array_equal(found.labels > 0, probability >= np.float32(0.5))
    assert found.areas.sum() == pytest.approx((found.labels > 0).mean())
    everywhere = found.overlap(np.ones(probability.shape, bool))
    np.testing.assert_array_equal(everywhere, found.pixels)
    assert found.peaks.dtype == np.float32
    for label, (peak, pixels) in enumerate(zip(found.peaks, found.pixels, strict=True), start=1):
        inside = probability[found.labels == label]
        assert (inside.max(), inside.size) == (peak, pixels)


def test_a_weak_second_region_goes_and_a_corner_joins():
    probability = np.zeros((6, 8), np.float32)
    probability[0:2, 0:2] = 0.95
    probability[2, 2] = 0.6  # touches by a corner: one region with the strong one
    probability[4:, 5:] = 0.7
    mask = lesion_mask(probability, threshold=0.5, rule=PostProcessing(min_peak=0.9))
    assert mask.sum() == 5
    assert mask[2, 2]
    only_large = lesion_mask(
        probability, threshold=0.5, rule=PostProcessing(min_area_fraction=6 / 48)
    )
    assert only_large.sum() == 6
    assert not lesion_mask(probability, threshold=0.5, rule=PostProcessing(0.96)).any()


@given(MAPS, RULES, st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_min_image_probability_empties_the_mask_or_changes_nothing(
    probability, rule, minimum, lesion
):
    asked = PostProcessing(rule.min_peak, rule.min_area_fraction, minimum)
    mask = lesion_mask(probability, threshold=0.5, rule=asked, lesion_probability=lesion)
    expected = lesion_mask(probability, threshold=0.5, rule=rule)
    np.testing.assert_array_equal(mask, expected & (lesion >= minimum))


def test_thousands_of_small_regions_are_removed():
    rng = np.random.default_rng(0)
    probability = np.zeros((400, 600), np.float32)
    probability[::2, ::2] = rng.uniform(0.5, 1, (200, 300)).astype(np.float32)
    mask = lesion_mask(probability, threshold=0.5, rule=PostProcessing(0.9))
    assert len(regions(probability, 0.5).peaks) == 60_000
    np.testing.assert_array_equal(mask, probability >= np.float32(0.9))
    assert not lesion_mask(probability, threshold=0.5, rule=PostProcessing(0, 0.0001)).any()


@pytest.mark.parametrize(
    "rule", [PostProcessing(), PostProcessing(min_peak=0.4), PostProcessing(min_peak=0.5)]
)
def test_nothing_is_labelled_where_no_region_can_be_removed(rule, monkeypatch):
    monkeypatch.setattr("suraksha.inference.postprocessing._regions", None)
    assert rule.is_identity(0.5)
    probability = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    mask = lesion_mask(probability, threshold=0.5, rule=rule)
    np.testing.assert_array_equal(mask, probability >= 0.5)
    empty = np.zeros((3, 4), np.float32)
    assert not lesion_mask(empty, threshold=0.5, rule=PostProcessing(0.9, 0.1)).any()
    assert not PostProcessing(0.9).is_identity(0.5)
    assert not PostProcessing(min_area_fraction=0.1).is_identity(0.5)
    assert not PostProcessing(min_image_probability=0.1).is_identity(0.5)


@pytest.mark.parametrize(
    "numbers",
    [(-0.1, 0), (1.1, 0), (0, -1), (0, 1.0), (np.nan, 0), (0, np.nan), (0, 0, 1.1), (0, 0, np.nan)],
)
def test_a_rule_out_of_range_is_refused(numbers):
    with pytest.raises(UsageError, match="is not valid"):
        PostProcessing(*numbers)


@pytest.mark.parametrize("shape", [(4,), (0, 3), (1, 2, 2)])
def test_an_array_that_is_not_a_map_is_refused(shape):
    probability = np.zeros(shape, np.float32)
    with pytest.raises(InputError, match="is not a mask"):
        regions(probability, 0.5)
    with pytest.raises(InputError, match="is not a mask"):
        lesion_mask(probability, threshold=0.5, rule=PostProcessing())


def test_the_temperature_divides_the_logits_before_the_map_is_resized():
    rng = np.random.default_rng(3)
    logits = Logits(rng.normal(0, 4, (1, 1, 8, 8)).astype(np.float32))
    image = Image(np.zeros((30, 50), np.uint8))
    settings = PostProcessingSettings(
        threshold=0.4, confidence_calibration=ConfidenceCalibration(temperature=2.0)
    )
    found = postprocess(logits, image, card=settings)
    scaled = (1 / (1 + np.exp(-logits.mask[0, 0].astype(np.float64) / 2))).astype(np.float32)
    np.testing.assert_allclose(found.prediction.probability, restore(scaled, image), atol=1e-6)
    np.testing.assert_array_equal(found.mask, found.prediction.probability >= 0.4)
    assert found.prediction.classes is None
    assert found.unmarked_probability == 0


def test_a_temperature_moves_the_contour_at_one_half_where_the_map_is_resized():
    logits = Logits(np.array([[[[8.0, -2.0], [8.0, -2.0]]]], np.float32))
    image = Image(np.zeros((2, 200), np.uint8))
    widths = []
    for temperature in (1.0, 4.0):
        calibration = ConfidenceCalibration(temperature=temperature)
        settings = PostProcessingSettings(confidence_calibration=calibration)
        widths.append(int(postprocess(logits, image, card=settings).mask[0].sum()))
    assert widths[1] != widths[0]


def test_an_empty_mask_has_the_lesion_probability_of_the_classification_head():
    logits = Logits(np.full((1, 1, 4, 4), -9, np.float32), np.log([[0.25, 0.75]]))
    image = Image(np.zeros((6, 6), np.uint8))
    settings = PostProcessingSettings(classes=("normal", "lesion"), normal_classes=("normal",))
    found = postprocess(logits, image, card=settings)
    assert found.unmarked_probability == pytest.approx(0.75)
    assert found.prediction.lesion_probability == pytest.approx(0.75)
    with pytest.raises(BundleError, match="names 2 classes, the network predicts 0"):
        postprocess(Logits(logits.mask), image, card=settings)


@pytest.mark.parametrize("patch", [None, 128, "auto"])
def test_the_served_mask_and_probability_are_those_of_postprocess_bit_for_bit(patch):
    bundle = read_bundle()
    engine = create_engine("onnxruntime", bundle.model, threads=1)
    segment = Segmenter(bundle, engine, patch=patch)
    card = bundle.card
    for number in range(3):
        image = sample_phantom(11, number, shape=(150, 210)).image
        served, scored = segment(image), segment.predict_mask(image)
        np.testing.assert_array_equal(served.mask, scored.mask)
        np.testing.assert_array_equal(served.probability, scored.prediction.probability)
        np.testing.assert_array_equal(served.probability, segment.predict(image).probability)
        if patch is None:
            once = postprocess(engine.run(prepare(image, card.preparation)), image, card=card)
            np.testing.assert_array_equal(served.mask, once.mask)
            np.testing.assert_array_equal(served.probability, once.prediction.probability)
            settings = PostProcessingSettings(
                threshold=card.threshold,
                postprocessing=card.postprocessing,
                confidence_calibration=card.confidence_calibration,
                classes=card.classes,
                normal_classes=card.normal_classes,
                class_temperature=card.class_temperature,
            )
            run = segment_image(image, InferenceSpec(engine.run, card.preparation, settings))
            np.testing.assert_array_equal(served.mask, run.mask)
