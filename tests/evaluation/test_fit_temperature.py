"""Temperature scaling of classes and mask, against simulations and a grid search."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from scipy.special import logit as log_odds
from sklearn.metrics import log_loss

from suraksha.errors import TrainError
from suraksha.evaluation.fit_temperature import (
    MAX_CLASS_TEMPERATURE,
    MIN_CLASS_TEMPERATURE,
    fit_class_temperature,
    fit_mask_temperature,
    negative_log_likelihood,
)


def drawn(count, *, scale, seed):
    """Logits, and labels drawn from the probabilities that the logits / scale state."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2 * scale, (count, 3)).astype(np.float32)
    chances = softmax(logits.astype(float) / scale, axis=1)
    return logits, np.array([rng.choice(3, p=row) for row in chances])


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_class_temperature_of_a_simulation_is_recovered(scale):
    found = fit_class_temperature(*drawn(4000, scale=scale, seed=1))
    assert found.temperature == pytest.approx(scale, rel=0.1)
    assert found.images == 4000


@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(0.05, 30))
@settings(max_examples=15, deadline=None)
def test_no_temperature_of_a_grid_is_better(seed, count, scale):
    logits, labels = drawn(count, scale=scale, seed=seed)
    found = fit_class_temperature(logits, labels)
    grid = np.geomspace(MIN_CLASS_TEMPERATURE, MAX_CLASS_TEMPERATURE, 300)[:, None, None]
    probabilities = softmax(logits / grid, axis=2)[:, np.arange(count), labels]
    losses = -np.log(np.maximum(probabilities, 1e-300)).mean(axis=1)
    assert MIN_CLASS_TEMPERATURE <= found.temperature <= MAX_CLASS_TEMPERATURE
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
def test_invalid_logits_and_labels_are_refused(logits, labels):
    with pytest.raises(TrainError, match="cannot be calibrated"):
        fit_class_temperature(logits, labels)


def maps(temperature, logits):
    return [expit(one / temperature).astype(np.float32) for one in logits]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_mask_temperature_of_a_simulation_is_recovered(temperature):
    rng = np.random.default_rng(0)
    logits, truths = [], []
    for _ in range(40):
        calibrated = rng.uniform(0.02, 0.98, (60, 80))
        truths.append(rng.random(calibrated.shape) < calibrated)
        logits.append(temperature * log_odds(calibrated))
    found = fit_mask_temperature(lambda at: maps(at, logits), truths)
    assert found == pytest.approx(temperature, rel=0.03)


def test_without_images_the_mask_temperature_is_1():
    assert fit_mask_temperature(lambda at: [], []) == 1.0
