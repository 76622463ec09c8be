"""What a network tells of one image, and the mask that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from suraksha.inference.postprocessing import PostProcessing, lesion_mask


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a network tells of one image.

    Args:
        probability: (H, W) float32 in 0..1, that each pixel is lesion.
        classes: The calibrated probability of each class by name; None where it tells none. Of
            several scans, those of the one that most likely shows a lesion.
        normal: Those of the classes whose images show no lesion.
    """

    probability: NDArray[np.float32]
    classes: Mapping[str, float] | None = None
    normal: tuple[str, ...] = ()

    @property
    def lesion(self) -> float:
        """Probability of any lesion by the classes, 0..1; 1 where they do not tell."""
        told = self.classes or {}
        return 1.0 - sum(told[name] for name in self.normal if name in told)

    def mask(self, threshold: float, rule: PostProcessing) -> NDArray[np.bool_]:
        """The mask that threshold and rule make of it, (H, W) bool."""
        return lesion_mask(self.probability, threshold=threshold, rule=rule, lesion=self.lesion)


def class_probabilities(
    logits: NDArray[Any], *, names: Sequence[str], temperature: float
) -> dict[str, float]:
    """Softmax of logits / temperature, Guo et al. 2017, doi:10.48550/arXiv.1706.04599.

    Args:
        logits: (classes,) floats.
        names: The classes, in that order.
        temperature: Above 0.
    """
    told = softmax(logits.astype(np.float64) / temperature)
    return dict(zip(names, told.tolist(), strict=True))
