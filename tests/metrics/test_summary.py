"""Summaries: hand-computed cases, pairing, the community's batches, plain JSON."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.errors import DataError, InputError, UsageError
from suraksha.metrics.detection import Detection
from suraksha.metrics.image import score_image
from suraksha.metrics.overlap import Counts, dice, iou
from suraksha.metrics.summary import COLUMNS, batch_pooled, paired_difference, summarise, table_row

EMPTY = np.zeros((30, 40), bool)


def square(top, side):
    mask = EMPTY.copy()
    mask[top : top + side, 5 : 5 + side] = True
    return mask


def scored(prediction, truth, name, group=None, label="benign"):
    return score_image(prediction, truth, name=name, group=group, label=label)


@pytest.fixture
def four():
    return [
        scored(square(2, 10), square(2, 10), "a", "g1"),
        scored(square(7, 10), square(2, 10), "b", "g1"),
        scored(EMPTY, EMPTY, "c", label="normal"),
        scored(square(0, 4), EMPTY, "d", label="normal"),
    ]


def test_a_score_has_every_metric():
    score = scored(square(7, 10), square(2, 10), "b")
    assert (score.name, score.label, score.group) == ("b", "benign", "b")
    assert score.counts == Counts(tp=50, fp=50, fn=50, tn=1050)
    assert (score.dice, score.precision, score.recall) == pytest.approx((0.5, 0.5, 0.5))
    assert score.iou == pytest.approx(1 / 3)
    assert score.hd95_px == pytest.approx(5)
    assert 0 < score.nsd < 1
    assert score.lesions == Detection(found=1)
    assert not score.both_empty


def test_a_summary_by_hand(four):
    found = summarise(four, resamples=200)
    assert (found.images, found.groups, found.left_out) == (4, 3, 1)
    assert found.mean["dice"].value == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.median["dice"].value == pytest.approx(0.5)
    assert found.mean["hd95_px"].value == pytest.approx((0 + 5 + 50) / 3)
    assert found.mean["nsd"].value == pytest.approx((1 + four[1].nsd + 0) / 3)
    pooled = Counts(tp=150, fp=66, fn=50, tn=4 * 1200 - 266)
    assert found.pooled["dice"].value == pytest.approx(dice(pooled))
    assert found.pooled["accuracy"].value == pytest.approx((4800 - 116) / 4800)
    assert (found.normals.images, found.normals.with_prediction) == (2, 1)
    assert found.normals.false_area_px == pytest.approx(8)
    assert found.lesions == Detection(found=2, false=1)
    for estimates in (found.mean, found.median, found.pooled):
        for key, e in estimates.items():
            if key == "hd95_mm":
                assert np.isnan([e.value, e.low, e.high]).all(), "no spacing, no millimetres"
            else:
                assert e.low <= e.value <= e.high


def test_the_seed_decides_and_the_order_does_not(four):
    first = summarise(four, seed=1, resamples=50).to_dict()
    assert first == summarise(four, seed=1, resamples=50).to_dict()
    assert first != summarise(four, seed=2, resamples=50).to_dict()
    turned = summarise(four[::-1], seed=1, resamples=50)
    assert turned.mean["dice"].low == pytest.approx(first["mean"]["dice"]["low"])


def test_json_has_null_for_nan(four):
    only_empty = summarise([four[2]], resamples=10)
    text = json.dumps(only_empty.to_dict(), allow_nan=False)
    plain = json.loads(text)
    assert plain["mean"]["dice"] == {"value": None, "low": None, "high": None}
    assert plain["pooled"]["accuracy"]["value"] == 1
    assert plain["left_out"] == plain["images"] == 1
    record = json.loads(json.dumps(four[2].to_dict(), allow_nan=False))
    assert record["dice"] is None
    assert record["counts"]["tn"] == 1200
    assert record["lesions"] == {"found": 0, "missed": 0, "false": 0}


def test_the_table_row_follows_the_columns(four):
    found = summarise(four, resamples=20)
    row = table_row(found)
    assert list(row) == [c.title for c in COLUMNS]
    assert len(set(row)) == len(COLUMNS)
    assert row["median Dice"] is found.median["dice"]
    assert row["pooled IoU"] is found.pooled["iou"]


def test_a_difference_by_hand(four):
    worse = [
        scored(square(7, 10), square(2, 10), "a", "g1"),
        scored(square(7, 10), square(2, 10), "b", "g1"),
        scored(square(0, 2), EMPTY, "c"),
        scored(square(0, 4), EMPTY, "d"),
    ]
    found = paired_difference(four, worse[::-1], resamples=200)
    assert (found.images, found.left_out) == (4, 1)
    assert found.mean["dice"].value == pytest.approx((0.5 + 0 + 0) / 3)
    assert found.mean["hd95_px"].value == pytest.approx(-5 / 3)
    gap = summarise(four).pooled["dice"].value - summarise(worse).pooled["dice"].value
    assert found.pooled["dice"].value == pytest.approx(gap)
    assert found.mean["dice"].low <= found.mean["dice"].value <= found.mean["dice"].high
    json.dumps(found.to_dict(), allow_nan=False)


def test_differences_are_antisymmetric(four):
    same = paired_difference(four, four, resamples=50)
    for part in (same.mean, same.pooled):
        known = [e for key, e in part.items() if key != "hd95_mm"]
        assert all((e.value, e.low, e.high) == (0, 0, 0) for e in known)
    millimetres = [replace(s, hd95_mm=0.1 * s.hd95_px) for s in four]
    in_mm = paired_difference(millimetres, millimetres, resamples=50).mean["hd95_mm"]
    assert (in_mm.value, in_mm.low, in_mm.high) == (0, 0, 0)
    other = [replace(s, dice=s.dice * 0.5) for s in four]
    there = paired_difference(four, other, resamples=50).mean["dice"]
    back = paired_difference(other, four, resamples=50).mean["dice"]
    assert (there.value, there.low, there.high) == pytest.approx(
        (-back.value, -back.high, -back.low)
    )


def test_paired_intervals_are_narrower():
    rng = np.random.default_rng(0)
    template = scored(square(2, 10), square(2, 10), "x")
    hard = rng.random(100)
    a = [replace(template, name=str(i), group=str(i), dice=float(h)) for i, h in enumerate(hard)]
    b = [replace(s, dice=s.dice - 0.01) for s in a]
    found = paired_difference(a, b, resamples=200).mean["dice"]
    assert (found.low, found.high) == pytest.approx((0.01, 0.01))


@pytest.mark.parametrize("change", ["missing", "renamed", "regrouped", "twice"])
def test_different_images_cannot_be_paired(four, change):
    other = {
        "missing": four[:-1],
        "renamed": [*four[:-1], replace(four[-1], name="z")],
        "regrouped": [*four[:-1], replace(four[-1], group="z")],
        "twice": [*four, four[0]],
    }[change]
    with pytest.raises(DataError):
        paired_difference(four, other, resamples=5)


def test_empty_and_repeated_scores_are_refused(four):
    with pytest.raises(UsageError):
        summarise([])
    with pytest.raises(DataError, match="two scores"):
        summarise([four[0], four[0]])
    with pytest.raises(InputError):
        score_image(EMPTY, EMPTY[:-1], name="x")
    with pytest.raises(UsageError):
        score_image(EMPTY, EMPTY, name="x", tolerance_px=-1)


def from_counts(name, c):
    return replace(scored(square(2, 4), square(2, 4), name), counts=c)


def test_batches_by_hand():
    lists = [Counts(10, 0, 0), Counts(0, 10, 0), Counts(5, 5, 0), Counts(0, 0, 8), Counts(8, 0, 8)]
    scores = [from_counts(str(i), c) for i, c in enumerate(lists)]
    found = batch_pooled(scores, batch_size=2)
    parts = [Counts(10, 10, 0), Counts(5, 5, 8), Counts(8, 0, 8)]
    assert found["iou"] == pytest.approx(np.average([iou(c) for c in parts], weights=[2, 2, 1]))
    assert found["f1"] == pytest.approx(np.average([dice(c) for c in parts], weights=[2, 2, 1]))


NUMBERS = st.integers(0, 1000)


@given(st.lists(st.builds(Counts, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=20))
@settings(deadline=None, max_examples=40)
def test_batches_of_one_are_the_mean_and_one_batch_is_pooled(many):
    scores = [from_counts(str(i), c) for i, c in enumerate(many)]
    one_by_one = [x for x in (iou(c) for c in many) if not math.isnan(x)]
    mean = np.mean(one_by_one) if one_by_one else math.nan
    assert batch_pooled(scores, batch_size=1)["iou"] == pytest.approx(mean, nan_ok=True)
    pooled = dice(sum(many, Counts()))
    assert batch_pooled(scores, batch_size=99)["f1"] == pytest.approx(pooled, nan_ok=True)


def test_batch_size_and_empty_input():
    with pytest.raises(UsageError, match="batch_size = 0"):
        batch_pooled([], batch_size=0)
    assert all(math.isnan(v) for v in batch_pooled([]).values())
