"""Calibrated class probabilities: one temperature, fitted on validation images.

Temperature scaling (Guo et al. 2017, doi:10.48550/arXiv.1706.04599) divides all logits by one
number before the softmax. The most probable class stays what it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from suraksha.errors import TrainError

LEAST, GREATEST = 0.1, 10.0


@dataclass(frozen=True, slots=True)
class Temperature:
    """A fitted temperature.

    Args:
        temperature: What divides the logits; above 1 it takes back overconfidence.
        nll_before: Mean negative log likelihood of the true classes without it, in nats.
        nll_after: The same with it; never greater.
        images: How many it was fitted on.
    """

    temperature: float
    nll_before: float
    nll_after: float
    images: int


def negative_log_likelihood(
    logits: NDArray[Any], labels: NDArray[np.integer[Any]], *, temperature: float = 1.0
) -> float:
    """Mean negative log likelihood of the true classes, in nats.

    Args:
        logits: (N, classes) floats.
        labels: (N,) places of the true classes.
        temperature: What divides the logits.
    """
    told = log_softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return float(-told[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: NDArray[Any], labels: NDArray[np.integer[Any]]) -> Temperature:
    """The temperature from 0.1 to 10 that makes the true classes most likely.

    Args:
        logits: (N, classes) floats.
        labels: (N,) places of the true classes.

    Raises:
        TrainError: No images, arrays that do not fit each other, or a logit that is no number.
    """
    if logits.ndim != 2 or logits.shape[:1] != labels.shape or not np.isfinite(logits).all():
        raise TrainError(
            f"logits of shape {logits.shape} cannot be calibrated",
            f"they are finite, one row for each of the {len(labels)} labels",
            "Train the network again with a lower learning rate, or pass whole arrays",
        )
    if not len(labels) or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise TrainError(
            f"{len(labels)} labels cannot be calibrated on",
            f"it takes at least one, each a place of the {logits.shape[1]} classes",
            "Hold back more images, or count the classes again",
        )

    def nll(exponent: float) -> float:
        return negative_log_likelihood(logits, labels, temperature=math.exp(exponent))

    # convex in 1 / temperature, so there is one least value
    bounds = (math.log(LEAST), math.log(GREATEST))
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    before, after = nll(0.0), float(found.fun)
    best = math.exp(float(found.x)) if after < before else 1.0
    return Temperature(best, before, min(before, after), len(labels))
