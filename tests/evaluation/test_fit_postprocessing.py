"""The fit of the post-processing rule, against brute force with `lesion_mask` and the metrics."""

import json
import math
from dataclasses import astuple
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.errors import InputError, UsageError
from suraksha.evaluation.fit_postprocessing import (
    LESIONS,
    MIN_AREAS,
    PEAKS,
    Case,
    fit_postprocessing,
)
from suraksha.inference.postprocessing import PostProcessing, lesion_mask
from suraksha.metrics.overlap import counts, dice


def image(seed, *, normal=False, side=16):
    """A map with a few rectangles of random height, and a truth that one of them may meet."""
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0, 0.45, (side, side)).astype(np.float32)
    truth = np.zeros((side, side), bool)
    for number in range(int(rng.integers(0 if normal else 1, 5))):
        top, left = rng.integers(0, side - 1, 2)
        height, width = rng.integers(1, 6, 2)
        box = np.s_[top : top + height, left : left + width]
        probability[box] = rng.choice([0.55, 0.7, 0.9, 0.9995, 1 - 0.3 * rng.random()])
        if number == 0 and not normal:
            truth[box] = True
            truth = np.roll(truth, rng.integers(0, 4, 2), (0, 1))
    lesion = rng.choice([0.01, 0.04, 0.35, 0.6, 0.97, 1.0])
    return Case(probability, truth, float(lesion))


def images(seed, lesions, normals):
    return [image(seed + n) for n in range(lesions)] + [
        image(seed + 100 + n, normal=True) for n in range(normals)
    ]


def tried(threshold):
    return [0.0, *(peak for peak in PEAKS if peak > threshold)]


def measured(cases, threshold, rule):
    """Normals flagged, lesion images missed, mean Dice: from the masks themselves."""
    flagged, missed, scores = 0, 0, []
    for case in cases:
        truth = case.truth
        mask = lesion_mask(
            case.probability,
            threshold=threshold,
            rule=rule,
            lesion_probability=case.lesion_probability,
        )
        if truth.any():
            scores.append(dice(counts(mask, truth)))
            missed += not (mask & truth).any()
        else:
            flagged += bool(mask.any())
    return flagged, missed, round(float(np.mean(scores)), 12) if scores else math.nan


def brute_force(cases, threshold, max_flagged):
    normals = sum(not case.truth.any() for case in cases)
    places = product(tried(threshold), MIN_AREAS, LESIONS)
    rules = [PostProcessing(*place) for place in places]
    found = {rule: measured(cases, threshold, rule) for rule in rules}
    allowed = [r for r in rules if not normals or found[r][0] / normals <= max_flagged]
    fewest = min(found[r][0] for r in rules)
    allowed = allowed or [r for r in rules if found[r][0] == fewest]
    return max(
        allowed,
        key=lambda r: (
            np.nan_to_num(found[r][2]),
            -found[r][0],
            *(-number for number in astuple(r)),
        ),
    )


@given(
    seed=st.integers(0, 10_000),
    lesions=st.integers(0, 4),
    normals=st.integers(0, 5),
    threshold=st.sampled_from([0.3, 0.5, 0.7]),
    max_flagged=st.sampled_from([0.0, 0.1, 0.4, 1.0]),
)
@settings(deadline=None, max_examples=6)
def test_the_fit_equals_brute_force(seed, lesions, normals, threshold, max_flagged):
    cases = images(seed, lesions, normals) or [image(seed)]
    found = fit_postprocessing(cases, threshold=threshold, max_flagged=max_flagged)
    assert found.rule == brute_force(cases, threshold, max_flagged)
    flagged, missed, mean = measured(cases, threshold, found.rule)
    assert (found.flagged, found.missed) == (flagged, missed)
    assert found.chosen.dice == pytest.approx(mean, abs=1e-11, nan_ok=True)
    assert (found.images, found.normals) == (len(cases), normals)
    assert found.chosen in found.curve
    assert found.without.rule == PostProcessing()
    for kind, points in (("flagged", found.curve), ("dice", found.curve)):
        values = [getattr(point, kind) for point in points]
        assert values == sorted(set(values)) or len(values) == 1
    for point in (found.without, *found.curve):
        flagged, missed, mean = measured(cases, threshold, point.rule)
        lesion = len(cases) - normals
        assert point.flagged == pytest.approx(flagged / normals if normals else math.nan, nan_ok=1)
        assert point.missed == pytest.approx(missed / lesion if lesion else math.nan, nan_ok=1)
        assert point.dice == pytest.approx(mean, nan_ok=True)


def block(peak, *, rows=4, truth=True, lesion=1.0):
    """A map with one block of a peak; the truth is the block or nothing."""
    probability = np.full((20, 20), 0.1, np.float32)
    probability[2 : 2 + rows, 3:8] = 0.6
    probability[3, 4] = peak
    return Case(probability, (probability > 0.5) & truth, lesion)


def test_peaks_that_separate_normals_cost_no_dice():
    lesions = [block(peak) for peak in (0.96, 0.97, 0.999)]
    normals = [block(peak, truth=False) for peak in (0.8, 0.85, 0.93)]
    found = fit_postprocessing([*lesions, *normals], max_flagged=0.1)
    assert found.rule == PostProcessing(min_peak=0.94)
    assert (found.flagged, found.missed, found.chosen.dice) == (0, 0, 1.0)
    assert (found.without.flagged, found.without.missed) == (1.0, 0.0)


@pytest.mark.parametrize(("max_flagged", "flagged"), [(0.0, 0), (0.34, 1), (0.7, 2), (1.0, 3)])
def test_the_limit_on_normals_holds_even_at_the_cost_of_lesions(max_flagged, flagged):
    lesions = [block(peak) for peak in (0.7, 0.8, 0.9)]
    normals = [block(peak, truth=False) for peak in (0.71, 0.81, 0.91)]
    found = fit_postprocessing([*lesions, *normals], max_flagged=max_flagged)
    assert found.flagged <= max_flagged * 3
    assert (found.flagged, found.missed) == (flagged, 3 - flagged)
    assert [point.flagged for point in found.curve] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [point.missed for point in found.curve] == pytest.approx([1, 2 / 3, 1 / 3, 0])


def test_the_area_separates_what_the_peak_cannot():
    lesions = [block(0.9, rows=8), block(0.9, rows=10)]
    specks = [block(1.0, rows=1, truth=False)] * 2
    found = fit_postprocessing([*lesions, *specks], max_flagged=0)
    assert found.rule == PostProcessing(0.0, 0.02), "a speck has 6 of 400 pixels"
    assert (found.flagged, found.chosen.dice) == (0, 1.0)


def test_the_classification_head_separates_what_peak_and_area_cannot():
    lesions = [block(0.9, lesion=value) for value in (0.31, 0.9, 1.0)]
    normals = [block(1.0, rows=9, truth=False, lesion=value) for value in (0.0, 0.1, 0.24)]
    found = fit_postprocessing([*lesions, *normals], max_flagged=0)
    assert found.rule == PostProcessing(0.0, 0.0, 0.3)
    assert (found.flagged, found.chosen.dice) == (0, 1.0)


def test_if_no_rule_flags_few_enough_the_fewest_are_flagged():
    sure = Case(np.ones((10, 10), np.float32), np.zeros((10, 10), bool))
    cases = [block(0.9), sure, block(0.9, truth=False)]
    found = fit_postprocessing(cases, max_flagged=0.1)
    assert found.flagged == 1, "no rule of the grid takes a sure, large region away"
    assert found.rule == brute_force(cases, 0.5, 0.1)


def test_without_normals_dice_alone_decides_and_the_record_says_so():
    case = block(0.9)
    case.probability[15, 15] = 0.55
    found = fit_postprocessing([case])
    assert (found.normals, found.flagged) == (0, 0)
    assert found.rule == PostProcessing(0.0, 0.004), "of equal rules the smaller peak"
    assert found.chosen.dice == 1.0
    table = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert table["normals"] == 0
    assert {point["flagged"] for point in table["curve"]} == {None}


def test_normals_alone_are_emptied_by_the_mildest_rule():
    found = fit_postprocessing([block(0.83, truth=False), block(0.7, truth=False)], max_flagged=0)
    assert found.rule == PostProcessing(0.85)
    assert math.isnan(found.chosen.dice)
    assert found.to_dict()["dice"] is None


@pytest.mark.parametrize(
    "numbers", [{"threshold": 0.0}, {"threshold": 1.0}, {"max_flagged": -0.1}, {"max_flagged": 2}]
)
def test_numbers_outside_their_range_are_refused(numbers):
    with pytest.raises(UsageError, match="is not valid"):
        fit_postprocessing([block(0.9)], **numbers)


def test_invalid_images_are_refused():
    with pytest.raises(UsageError, match="no images"):
        fit_postprocessing([])
    with pytest.raises(InputError, match="has shape"):
        fit_postprocessing([Case(np.zeros((4, 4), np.float32), np.zeros((4, 5), bool))])
    with pytest.raises(InputError, match="is not a mask"):
        fit_postprocessing([Case(np.zeros((4, 4), np.float32), np.zeros((4, 4)))])
