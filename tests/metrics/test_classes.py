"""Class scores against scikit-learn and by hand."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, roc_auc_score

from suraksha.errors import InputError, UsageError
from suraksha.metrics.bootstrap import Resampler
from suraksha.metrics.classes import auc, score_classes

NAMES = ("benign", "malignant", "normal")
# few values, so that there are ties
IMAGES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.9]), st.booleans()),
    min_size=1,
    max_size=30,
)


@given(IMAGES)
@settings(max_examples=80, deadline=None)
def test_auc_equals_scikit_learn(images):
    scores = np.array([score for score, _ in images])
    yes = np.array([side for _, side in images])
    resampler = Resampler.of([str(n) for n in range(len(yes))], seed=0, resamples=5)
    found = auc(scores, (yes, ~yes), resampler=resampler)
    if yes.all() or not yes.any():
        assert math.isnan(found.value)
        assert math.isnan(found.low)
    else:
        assert found.value == pytest.approx(roc_auc_score(yes, scores), abs=1e-12)


def test_the_interval_is_computed_from_the_drawn_images():
    rng = np.random.default_rng(3)
    yes, groups = rng.random(40) < 0.4, [f"g{n // 3}" for n in range(40)]
    scores = np.round(rng.normal(size=40) + yes, 1)
    resampler = Resampler.of(groups, seed=7, resamples=200)
    areas = []
    for weights in resampler.weights[1:]:
        drawn = np.repeat(np.arange(40), weights[resampler.group_of].astype(int))
        areas.append(roc_auc_score(yes[drawn], scores[drawn]))
    found = auc(scores, (yes, ~yes), resampler=resampler)
    assert (found.low, found.high) == pytest.approx(np.percentile(areas, [2.5, 97.5]))


def dirichlet(count, seed=0):
    rng = np.random.default_rng(seed)
    labels = [NAMES[n] for n in rng.integers(0, 3, count)]
    return rng.dirichlet([1, 1, 1], count), labels


def test_every_question_and_score():
    probabilities, labels = dirichlet(60)
    truth = np.array(labels)
    found = score_classes(
        probabilities, labels, names=NAMES, groups=[str(n // 2) for n in range(60)]
    )
    assert (found.images, found.groups) == (60, 30)
    assert list(found.auc) == [
        *(f"{name} vs rest" for name in NAMES),
        "lesion vs normal",
        "malignant vs benign",
    ]
    for place, name in enumerate(NAMES):
        expected = roc_auc_score(truth == name, probabilities[:, place])
        assert found.auc[f"{name} vs rest"].value == pytest.approx(expected)
    lesion = truth != "normal"
    expected = roc_auc_score(lesion, probabilities[:, :2].sum(axis=1))
    assert found.auc["lesion vs normal"].value == pytest.approx(expected)
    odds = probabilities[lesion, 1] / probabilities[lesion, 0]
    expected = roc_auc_score(truth[lesion] == "malignant", odds)
    assert found.auc["malignant vs benign"].value == pytest.approx(expected)
    for area in found.auc.values():
        assert area.low <= area.value <= area.high
    hits = confusion_matrix(truth, np.array(NAMES)[probabilities.argmax(axis=1)], labels=NAMES)
    assert found.confusion == tuple(map(tuple, hits.tolist()))
    onehot = truth[:, None] == np.array(NAMES)
    assert found.brier.value == pytest.approx(((probabilities - onehot) ** 2).sum() / 60)


def test_calibration_error_by_hand():
    """Four images at 0.95, three of them right; two at 0.55, one right."""
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.45, 0.55]] * 2)
    labels = ["a", "a", "a", "b", "a", "b"]
    found = score_classes(probabilities, labels, names=("a", "b"), groups=list("uvwxyz"))
    assert found.calibration_error == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.05)
    assert found.confusion == ((3, 1), (1, 1))
    assert list(found.auc) == ["a vs rest", "b vs rest"], "the named ones are of BUSI's three"


def test_columns_can_be_in_any_order():
    probabilities, labels = dirichlet(30, seed=2)
    groups = [str(n) for n in range(30)]
    one = score_classes(probabilities, labels, names=NAMES, groups=groups)
    order = [2, 0, 1]
    names = [NAMES[n] for n in order]
    two = score_classes(probabilities[:, order], labels, names=names, groups=groups)
    assert one.brier.value == pytest.approx(two.brier.value)
    for question, area in one.auc.items():
        assert two.auc[question] == area


def test_confident_correct_predictions_have_the_best_scores():
    labels = [*NAMES, *NAMES]
    probabilities = (np.array(labels)[:, None] == np.array(NAMES)).astype(float)
    found = score_classes(probabilities, labels, names=NAMES, groups=list("abcdef"))
    assert {area.value for area in found.auc.values()} == {1.0}
    assert (found.brier.value, found.calibration_error) == (0, 0)
    record = found.to_dict()
    assert record["names"] == list(NAMES)
    assert record["confusion"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]


def test_a_class_without_images_has_no_auc():
    probabilities, _ = dirichlet(10)
    labels = ["benign", "malignant"] * 5
    found = score_classes(probabilities, labels, names=NAMES, groups=labels)
    assert math.isnan(found.auc["lesion vs normal"].value)
    record = found.to_dict()
    assert record["auc"]["normal vs rest"] == {"value": None, "low": None, "high": None}
    assert 0 <= record["auc"]["malignant vs benign"]["value"] <= 1


GOOD = {"probabilities": np.full((3, 3), 1 / 3), "labels": list(NAMES), "groups": list("abc")}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"probabilities": np.full((2, 3), 1 / 3)}, InputError),
        ({"probabilities": np.full((3, 3), 0.5)}, InputError),
        ({"probabilities": np.array([[2.0, -1.0, 0.0]] * 3)}, InputError),
        ({"probabilities": np.full((3, 3), np.nan)}, InputError),
        ({"labels": ["benign", "cyst", "normal"]}, InputError),
        ({"groups": ["a"]}, InputError),
        ({"probabilities": np.zeros((0, 3)), "labels": [], "groups": []}, UsageError),
    ],
)
def test_invalid_arrays_are_refused(change, error):
    given_ = {**GOOD, **change}
    with pytest.raises(error):
        score_classes(
            given_["probabilities"], given_["labels"], names=NAMES, groups=given_["groups"]
        )


def test_pairs_counted_one_by_one():
    scores, yes = np.array([0.2, 0.7, 0.7, 0.4]), np.array([False, True, False, True])
    resampler = Resampler.of(list("abcd"), seed=0, resamples=1)
    won = [(a > b) + 0.5 * (a == b) for a, b in product(scores[yes], scores[~yes])]
    assert auc(scores, (yes, ~yes), resampler=resampler).value == np.mean(won) == 0.625
