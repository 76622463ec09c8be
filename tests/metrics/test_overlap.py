"""Counts and the scores made of them: hand-computed cases, identities, scikit-learn as oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from suraksha.errors import InputError
from suraksha.metrics.overlap import (
    OVERLAP,
    Counts,
    accuracy,
    counts,
    dice,
    iou,
    precision,
    recall,
    score_counts,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)
NUMBERS = st.integers(0, 10**6)
COUNTS = st.builds(Counts, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
FOUR = (dice, iou, precision, recall)


def same(a, b):
    return a == pytest.approx(b, nan_ok=True)


def test_scores_by_hand():
    prediction = np.array([[1, 1, 0], [1, 0, 0]], bool)
    truth = np.array([[1, 0, 0], [1, 1, 0]], bool)
    found = counts(prediction, truth)
    assert found == Counts(tp=2, fp=1, fn=1, tn=2)
    assert found.pixels == 6
    assert dice(found) == pytest.approx(4 / 6)
    assert iou(found) == pytest.approx(2 / 4)
    assert precision(found) == recall(found) == pytest.approx(2 / 3)
    assert accuracy(found) == pytest.approx(4 / 6)


@given(PAIRS)
@settings(deadline=None, max_examples=80)
def test_scores_equal_scikit_learn(pair):
    prediction, truth = pair
    found = counts(prediction, truth)
    p, t = prediction.ravel(), truth.ravel()
    matrix = confusion_matrix(t, p, labels=[False, True])
    assert [[found.tn, found.fp], [found.fn, found.tp]] == matrix.tolist()
    assert accuracy(found) == pytest.approx(accuracy_score(t, p))
    if p.any() and t.any():
        assert dice(found) == pytest.approx(f1_score(t, p))
        assert iou(found) == pytest.approx(jaccard_score(t, p))
        assert precision(found) == pytest.approx(precision_score(t, p))
        assert recall(found) == pytest.approx(recall_score(t, p))


@given(PAIRS)
@settings(deadline=None, max_examples=60)
def test_symmetry_range_and_equality(pair):
    before = pair[0].copy(), pair[1].copy()
    one, other = counts(*pair), counts(pair[1], pair[0])
    assert all(np.array_equal(a, b) for a, b in zip(before, pair, strict=True))
    assert same(dice(one), dice(other))
    assert same(iou(one), iou(other))
    assert same(precision(one), recall(other))
    if pair[0].any() or pair[1].any():
        assert all(0 <= score(one) <= 1 for score in FOUR)
        assert (dice(one) == 1) == np.array_equal(*pair)
    else:
        assert all(math.isnan(score(one)) for score in FOUR)


@given(COUNTS)
@settings(deadline=None, max_examples=80)
def test_dice_follows_from_iou_and_from_precision_and_recall(c):
    if c.tp + c.fp + c.fn == 0:
        return
    assert dice(c) == pytest.approx(2 * iou(c) / (1 + iou(c)))
    if c.tp:
        assert dice(c) == pytest.approx(2 * precision(c) * recall(c) / (precision(c) + recall(c)))


@pytest.mark.parametrize("c", [Counts(fp=3, tn=5), Counts(fn=3, tn=5)])
def test_exactly_one_empty_scores_zero(c):
    assert [score(c) for score in FOUR] == [0, 0, 0, 0]
    assert accuracy(c) == pytest.approx(5 / 8)


def test_both_empty_has_only_an_accuracy():
    assert all(math.isnan(score(Counts(tn=8))) for score in FOUR)
    assert accuracy(Counts(tn=8)) == 1
    assert math.isnan(accuracy(Counts()))


@given(PAIRS, PAIRS)
@settings(deadline=None, max_examples=30)
def test_pooled_counts_equal_those_of_one_large_image(first, second):
    summed = counts(*first) + counts(*second)
    flat = [np.concatenate([first[i].ravel(), second[i].ravel()])[None] for i in (0, 1)]
    assert summed == counts(*flat)


@given(st.lists(COUNTS, min_size=1, max_size=6))
@settings(deadline=None, max_examples=30)
def test_an_array_of_counts_scores_like_single_counts(many):
    table = score_counts(np.array([[c.tp, c.fp, c.fn, c.tn] for c in many]))
    assert tuple(table) == OVERLAP
    for name, score in zip(OVERLAP, (*FOUR, accuracy), strict=True):
        assert same(table[name].tolist(), [score(c) for c in many])


@pytest.mark.parametrize(
    ("prediction", "truth", "said"),
    [
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), bool), "prediction .* uint8"),
        (np.zeros((2, 2), bool), np.zeros((2, 2)), "truth .* float64"),
        (np.zeros(4, bool), np.zeros(4, bool), "not a mask"),
        (np.zeros((0, 2), bool), np.zeros((0, 2), bool), "not a mask"),
        (np.zeros((2, 2), bool), np.zeros((2, 3), bool), "Resize the prediction"),
    ],
)
def test_invalid_masks_are_refused(prediction, truth, said):
    with pytest.raises(InputError, match=said):
        counts(prediction, truth)


def test_negative_counts_are_refused():
    with pytest.raises(InputError, match="must not be negative"):
        Counts(tp=-1)
