"""The presence rule: regions against a flood fill, what stays, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suraksha.errors import InputError, UsageError
from suraksha.inference.postprocessing import PostProcessing, lesion_mask, regions

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
    """An oracle that shares no code: flood fill with sets, then one region at a time."""
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
def test_what_stays_is_what_the_slow_loop_keeps(probability, threshold, rule):
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
    both = PostProcessing(max(one.peak, two.peak), max(one.min_area, two.min_area))
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
def test_the_second_output_empties_or_leaves_alone(probability, rule, least, lesion):
    asked = PostProcessing(rule.min_peak, rule.min_area_fraction, least)
    mask = lesion_mask(probability, threshold=0.5, rule=asked, lesion_probability=lesion)
    expected = lesion_mask(probability, threshold=0.5, rule=rule)
    np.testing.assert_array_equal(mask, expected & (lesion >= least))


def test_thousands_of_specks_are_sorted_out():
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
def test_nothing_is_labelled_where_nothing_can_go(rule, monkeypatch):
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
    with pytest.raises(UsageError, match="cannot be used"):
        PostProcessing(*numbers)


@pytest.mark.parametrize("shape", [(4,), (0, 3), (1, 2, 2)])
def test_what_is_no_map_is_refused(shape):
    probability = np.zeros(shape, np.float32)
    with pytest.raises(InputError, match="no mask"):
        regions(probability, 0.5)
    with pytest.raises(InputError, match="no mask"):
        lesion_mask(probability, threshold=0.5, rule=PostProcessing())
