"""Augmentation of batches: geometry and grey levels with kornia, ultrasound effects with ours."""

from __future__ import annotations

from dataclasses import astuple, dataclass

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

from suraksha.datasets import ultrasound
from suraksha.errors import ModelError


@dataclass(frozen=True, slots=True)
class AugmentSpec:
    """How strongly a batch is augmented; 0 disables a part.

    Args:
        flip: Probability of a left-right flip; there is none up-down, because rows are depth.
        rotate_degrees: Maximum rotation to either side.
        translate: Maximum shift, as a fraction of the side.
        scale: Maximum change of size; 0.2 means 0.8 to 1.25.
        shear_degrees: Maximum shear.
        gamma: Maximum change of gamma, in the same way.
        brightness: Maximum shift of brightness, as a fraction of the range.
        contrast: Maximum change of contrast.
        noise: Standard deviation of added noise, as a fraction of the range.
        speckle: Maximum standard deviation of multiplied, correlated noise.
        gain: Maximum change of a smooth gain curve over depth.
        attenuation: Maximum rate at which the image darkens with depth.
        shadow: Probability of a dark band below a random depth.
        marks: Probability of drawn calipers and text.
        unmark: Probability that thin bright marks are removed.
        paste: Probability that an image without a lesion gets that of another.
        zoom: Maximum log magnification; 0.5 means 0.61 to 1.65. The image is shifted by as much.
        aspect: Maximum log change of the aspect ratio.
        local_gain: Standard deviation of the log of a smooth gain field over the image.
        blur: Probability of a 3 x 3 mean filter.
        chance: Probability that each of gamma, brightness, contrast, noise, gain, local gain and
            attenuation is applied.

    Raises:
        ModelError: A negative value, a probability above 1 or a change of 1 or more.
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
    speckle: float = 0.0
    gain: float = 0.0
    attenuation: float = 0.0
    shadow: float = 0.0
    marks: float = 0.0
    unmark: float = 0.0
    paste: float = 0.0
    zoom: float = 0.0
    aspect: float = 0.0
    local_gain: float = 0.0
    blur: float = 0.0
    chance: float = 0.5

    def __post_init__(self) -> None:
        changes = (self.translate, self.scale, self.gamma, self.brightness, self.contrast)
        chances = (
            self.flip,
            self.shadow,
            self.marks,
            self.unmark,
            self.paste,
            self.blur,
            self.chance,
        )
        if min(astuple(self)) < 0 or max(*changes, self.gain) >= 1 or max(chances) > 1:
            raise ModelError(
                f"{self} cannot be used",
                "values are at least 0, changes are below 1 and probabilities at most 1",
                "Correct the [augment] part of the recipe",
            )


def _about_one(change: float) -> tuple[float, float]:
    return 1 - change, 1 / (1 - change)


@dataclass(frozen=True, slots=True)
class AugmentedBatch:
    """An augmented batch.

    Args:
        images: (N, C, h, w) in 0..1.
        masks: (N, 1, h, w) in 0..1.
        source: (N,) int64: index of the image whose lesion, and class, each one shows.
    """

    images: Tensor
    masks: Tensor
    source: Tensor


class Augmentation(nn.Module):
    """Augments batches: lesions are pasted first, then geometry and grey levels, then ultrasound.

    Args:
        spec: How strongly.
    """

    def __init__(self, spec: AugmentSpec) -> None:
        super().__init__()
        self.spec = spec
        self.kornia = _kornia(spec)

    @torch.no_grad()
    def forward(self, images: Tensor, masks: Tensor) -> AugmentedBatch:
        """An augmented batch of the same shapes; the input is not changed.

        Pixels that come from outside the image are black and background.

        Args:
            images: (N, C, h, w) in 0..1.
            masks: (N, 1, h, w) in 0..1.
        """
        spec, source = self.spec, torch.arange(len(images), device=images.device)
        if spec.paste:
            images, masks, source = ultrasound.copy_paste_lesions(images, masks, chance=spec.paste)
        if spec.unmark:
            images = ultrasound.remove_calipers(images, spec.unmark)
        if self.kornia is not None:
            images, masks = self.kornia(images, masks)
        if spec.zoom or spec.aspect:
            images, masks = ultrasound.zoom(images, masks, amount=spec.zoom, aspect=spec.aspect)
        for varied, amount in (
            (ultrasound.gain, spec.gain),
            (ultrasound.local_gain, spec.local_gain),
            (ultrasound.attenuation, spec.attenuation),
        ):
            if amount:
                images = varied(images, amount, chance=spec.chance)
        for part, amount in (
            (ultrasound.blur, spec.blur),
            (ultrasound.shadow, spec.shadow),
            (ultrasound.speckle, spec.speckle),
            (ultrasound.draw_calipers, spec.marks),
        ):
            if amount:
                images = part(images, amount)
        masks = (masks >= 0.5).to(masks.dtype)
        return AugmentedBatch(images.clamp(0, 1), masks, source)


def _kornia(spec: AugmentSpec) -> nn.Module | None:
    """Geometry and grey levels, or None where all of them are disabled."""
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
        parts.append(RandomGamma(gamma=_about_one(spec.gamma), p=spec.chance))
    if spec.brightness:
        parts.append(RandomBrightness((1 - spec.brightness, 1 + spec.brightness), p=spec.chance))
    if spec.contrast:
        parts.append(RandomContrast(_about_one(spec.contrast), p=spec.chance))
    if spec.noise:
        parts.append(RandomGaussianNoise(std=spec.noise, p=0.3))
    return AugmentationSequential(*parts, data_keys=["input", "mask"]) if parts else None
