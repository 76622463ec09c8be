"""The temperature against a grid, and what it may not change."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from suraksha.errors import TrainError
from suraksha.evaluation.fit_temperature import (
    GREATEST,
    LEAST,
    fit_temperature,
    negative_log_likelihood,
)
from suraksha.runs.fits import RunClasses, read_classes, save_classes


def drawn(count, *, scale, seed):
    """Logits, and labels drawn from the probabilities that the logits / scale state."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2 * scale, (count, 3)).astype(np.float32)
    chances = softmax(logits.astype(float) / scale, axis=1)
    return logits, np.array([rng.choice(3, p=row) for row in chances])


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_draw_is_found(scale):
    found = fit_temperature(*drawn(4000, scale=scale, seed=1))
    assert found.temperature == pytest.approx(scale, rel=0.1)
    assert found.images == 4000


@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(0.05, 30))
@settings(max_examples=15, deadline=None)
def test_no_temperature_of_a_grid_is_better(seed, count, scale):
    logits, labels = drawn(count, scale=scale, seed=seed)
    found = fit_temperature(logits, labels)
    grid = np.geomspace(LEAST, GREATEST, 300)[:, None, None]
    told = softmax(logits / grid, axis=2)[:, np.arange(count), labels]
    losses = -np.log(np.maximum(told, 1e-300)).mean(axis=1)
    assert LEAST <= found.temperature <= GREATEST
    assert found.nll_after <= losses.min() + 1e-4
    assert found.nll_after <= found.nll_before
    now = negative_log_likelihood(logits, labels, temperature=found.temperature)
    assert now == pytest.approx(found.nll_after, abs=1e-9)


def test_likelihood_by_hand():
    logits, labels = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]), np.array([0, 1])
    expected = -(math.log(0.5) + math.log(0.1)) / 2
    assert negative_log_likelihood(logits, labels) == pytest.approx(expected)
    assert log_loss(labels, np.exp(logits), labels=[0, 1, 2]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((0, 3)), np.zeros(0, int)),
        (np.zeros((2, 3)), np.zeros(3, int)),
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros((2, 3)), np.array([0, 3])),
        (np.zeros((2, 3)), np.array([-1, 0])),
        (np.array([[0, math.nan, 0]]), np.array([0])),
    ],
)
def test_what_cannot_be_fitted_is_refused(logits, labels):
    with pytest.raises(TrainError, match="cannot be calibrated"):
        fit_temperature(logits, labels)


def test_the_file_there_and_back(tmp_path):
    path = tmp_path / "classes.json"
    assert read_classes(path) is None
    classes = RunClasses(("a", "b"), 1.5, ("b",), {"images": 4, "part": "x"})
    save_classes(classes, path)
    assert read_classes(path) == classes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"names": ["a"], "temperature": 1, "fit": {}}',
        '{"names": [], "temperature": 1, "normal": [], "fit": {}}',
        '{"names": ["a"], "temperature": 0, "normal": [], "fit": {}}',
        '{"names": ["a"], "temperature": 1, "normal": ["b"], "fit": {}}',
        '{"names": ["a"], "temperature": 1, "normal": [], "fit": {}, "more": 1}',
        '{"names": 3, "temperature": 1}',
    ],
)
def test_a_damaged_file_is_refused(tmp_path, text):
    path = tmp_path / "classes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"classes|Expecting"):
        read_classes(path)
