"""Temperature scaling of the classes and of the mask, fitted on validation images.

Temperature scaling (Guo et al. 2017, doi:10.48550/arXiv.1706.04599) divides all logits by one
number before the softmax or sigmoid. The most probable class does not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from suraksha.errors import TrainError
from suraksha.inference.calibration import PROBABILITY_EPS

MIN_CLASS_TEMPERATURE, MAX_CLASS_TEMPERATURE = 0.1, 10.0
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.2, 5.0
# pixels of each image that the temperature of the mask is fitted on, evenly spread
PIXELS = 4000


@dataclass(frozen=True, slots=True)
class ClassTemperature:
    """A fitted temperature of the classes.

    Args:
        temperature: Divides the logits; above 1 it corrects overconfidence.
        nll_before: Mean negative log likelihood of the true classes without it, in nats.
        nll_after: The same with it; never higher.
        images: Number of images that it was fitted on.
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
        labels: (N,) indices of the true classes.
        temperature: Divides the logits.
    """
    log_probabilities = log_softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def fit_class_temperature(
    logits: NDArray[Any], labels: NDArray[np.integer[Any]]
) -> ClassTemperature:
    """The temperature from 0.1 to 10 with the lowest negative log likelihood of the true classes.

    Args:
        logits: (N, classes) floats.
        labels: (N,) indices of the true classes.

    Raises:
        TrainError: No images, arrays that do not match, or a logit that is not finite.
    """
    if logits.ndim != 2 or logits.shape[:1] != labels.shape or not np.isfinite(logits).all():
        raise TrainError(
            f"class logits of shape {logits.shape} cannot be calibrated",
            f"they must be finite, one row for each of the {len(labels)} labels",
            "Train the network again with a lower learning rate",
        )
    if not len(labels) or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise TrainError(
            f"the classes cannot be calibrated on {len(labels)} labels",
            f"at least one label is needed, each an index below {logits.shape[1]}",
            "Raise [data] validation_fraction, or check the number of classes",
        )

    def nll(exponent: float) -> float:
        return negative_log_likelihood(logits, labels, temperature=math.exp(exponent))

    # convex in 1 / temperature, so there is one minimum
    bounds = (math.log(MIN_CLASS_TEMPERATURE), math.log(MAX_CLASS_TEMPERATURE))
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    before, after = nll(0.0), float(found.fun)
    best = math.exp(float(found.x)) if after < before else 1.0
    return ClassTemperature(best, before, min(before, after), len(labels))


def fit_mask_temperature(
    predict: Callable[[float], Sequence[NDArray[np.float32]]],
    truths: Sequence[NDArray[np.bool_]],
) -> float:
    """The temperature from 0.2 to 5 with the lowest negative log likelihood of the pixels' truth.

    Each image has the same weight. The probabilities are those that are served: the maps of
    `suraksha.inference.postprocessing.postprocess` at the images' own size.

    Args:
        predict: Temperature -> the probability map of each image, (H, W) in 0..1.
        truths: The masks, (H, W) bool.
    """
    steps = [max(1, truth.size // PIXELS) for truth in truths]
    labels = [truth.ravel()[::step] for truth, step in zip(truths, steps, strict=True)]

    def nll(exponent: float) -> float:
        means = []
        maps = predict(math.exp(exponent))
        for probability, label, step in zip(maps, labels, steps, strict=True):
            lesion = probability.ravel()[::step].astype(np.float64)
            right = np.where(label, lesion, 1 - lesion)
            means.append(-np.log(np.clip(right, PROBABILITY_EPS, 1)).mean())
        return float(np.mean(means))

    if not truths:
        return 1.0
    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return round(math.exp(float(found.x)), 4) if found.fun < nll(0.0) else 1.0
