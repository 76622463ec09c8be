"""Augmentation on the batch, with kornia. Geometry moves picture and mask alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.augmentation import (
    AugmentationSequential,
    RandomAffine,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomGaussianNoise,
    RandomHorizontalFlip,
)
from torch import Tensor, nn

from suraksha.errors import ModelError


@dataclass(frozen=True, slots=True)
class AugmentSpec:
    """How much a batch is varied; 0 switches a part off.

    Args:
        flip: Chance of a left-right flip. Up and down are not alike in ultrasound.
        rotate_degrees: Greatest rotation to either side.
        translate: Greatest shift, as a share of the side.
        scale: Greatest change of size; 0.2 means 0.8 to 1.25.
        shear_degrees: Greatest shear.
        gamma: Greatest change of gamma, the same way.
        brightness: Greatest shift of brightness, as a share of the range.
        contrast: Greatest change of contrast.
        noise: Standard deviation of added noise, as a share of the range.

    Raises:
        ModelError: A negative value, a flip above 1 or a change of 1 or more.
    """

    flip: float = 0.0
    rotate_degrees: float = 0.0
    translate: float = 0.0
    scale: float = 0.0
    shear_degrees: float = 0.0
    gamma: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.translate, self.scale, self.gamma, self.brightness, self.contrast)
        everything = (*shares, self.flip, self.rotate_degrees, self.shear_degrees, self.noise)
        if min(everything) < 0 or max(shares) >= 1 or self.flip > 1:
            raise ModelError(
                f"{self} cannot be used",
                "values are at least 0, changes stay below 1 and a chance is at most 1",
                "Correct the [augment] part of the recipe",
            )


def _about_one(change: float) -> tuple[float, float]:
    return 1 - change, 1 / (1 - change)


def build_augmentation(spec: AugmentSpec) -> nn.Module | None:
    """The augmentation, or None where nothing is switched on."""
    parts: list[nn.Module] = []
    if spec.flip:
        parts.append(RandomHorizontalFlip(p=spec.flip))
    if spec.rotate_degrees or spec.translate or spec.scale or spec.shear_degrees:
        parts.append(
            RandomAffine(
                degrees=spec.rotate_degrees,
                translate=(spec.translate, spec.translate),
                scale=_about_one(spec.scale),
                shear=spec.shear_degrees,
                p=0.8,
            )
        )
    if spec.gamma:
        parts.append(RandomGamma(gamma=_about_one(spec.gamma), p=0.5))
    if spec.brightness:
        parts.append(RandomBrightness((1 - spec.brightness, 1 + spec.brightness), p=0.5))
    if spec.contrast:
        parts.append(RandomContrast(_about_one(spec.contrast), p=0.5))
    if spec.noise:
        parts.append(RandomGaussianNoise(std=spec.noise, p=0.3))
    return AugmentationSequential(*parts, data_keys=["input", "mask"]) if parts else None


@torch.no_grad()
def augment(augmentation: nn.Module, pictures: Tensor, *, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Vary a batch.

    Args:
        augmentation: From `build_augmentation`.
        pictures: (N, C, h, w) in 0..1.
        masks: (N, 1, h, w) of 0 and 1.

    Returns:
        Both, of the same shapes; pictures in 0..1, masks of 0 and 1. Places that come from outside
        the picture are black and no lesion.
    """
    varied, moved = augmentation(pictures, masks)
    return varied.clamp(0, 1), (moved >= 0.5).to(masks.dtype)
