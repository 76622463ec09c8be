"""What a network predicts for one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The prediction for one image, before threshold and post-processing rule.

    Args:
        probability: (H, W) float32 in 0..1, the probability that each pixel is lesion.
        classes: Calibrated probability of each class by name, sum 1; None without a
            classification head. For an image with several scans, those of the scan with the
            highest `lesion_probability`.
        normal_classes: The classes whose images show no lesion.
    """

    probability: NDArray[np.float32]
    classes: Mapping[str, float] | None = None
    normal_classes: tuple[str, ...] = ()

    @property
    def lesion_probability(self) -> float:
        """Probability that the image shows a lesion, 0..1; 1 without a classification head."""
        classes = self.classes or {}
        return 1.0 - sum(classes[name] for name in self.normal_classes if name in classes)


def class_probabilities(
    logits: NDArray[Any], *, names: Sequence[str], temperature: float
) -> dict[str, float]:
    """Softmax of logits / temperature (Guo et al. 2017, doi:10.48550/arXiv.1706.04599).

    Args:
        logits: (classes,) floats.
        names: The classes, in the order of the logits.
        temperature: Above 0.
    """
    probabilities = softmax(logits.astype(np.float64) / temperature)
    return dict(zip(names, probabilities.tolist(), strict=True))
