"""Losses on logits: each takes logits and truth (N, 1, H, W) and gives one number."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from suraksha.errors import TrainError


@dataclass(frozen=True, slots=True)
class LossSpec:
    """The weights of the parts of the loss.

    Args:
        bce: Weight of binary cross-entropy, the paper's loss.
        dice: Weight of the soft Dice loss.

    Raises:
        TrainError: A negative weight, or none above 0.
    """

    bce: float = 1.0
    dice: float = 0.0

    def __post_init__(self) -> None:
        if min(self.bce, self.dice) < 0 or self.bce + self.dice <= 0:
            raise TrainError(
                f"{self} cannot be used",
                "weights are at least 0 and one of them is above 0",
                "Correct the [loss] part of the recipe",
            )


def soft_dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - Dice of the probabilities, mean over pictures.

    ``1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)``; the 1 keeps empty masks smooth. Source:
    Milletari et al. 2016, V-Net, doi 10.1109/3DV.2016.79 (there with squares in the denominator).
    """
    probability = logits.sigmoid().flatten(1)
    target = truth.flatten(1)
    overlap = (probability * target).sum(1)
    total = probability.sum(1) + target.sum(1)
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def loss(logits: Tensor, truth: Tensor, *, spec: LossSpec) -> Tensor:
    """The weighted sum of the parts."""
    total = logits.new_zeros(())
    if spec.bce:
        total = total + spec.bce * F.binary_cross_entropy_with_logits(logits, truth)
    if spec.dice:
        total = total + spec.dice * soft_dice_loss(logits, truth)
    return total
