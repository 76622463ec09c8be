"""Resize and normalise an image for a network, and resize its output back.

Training, export and inference all use these functions. The image is resized to the input size of
the network with Pillow's bilinear filter (which averages when it shrinks), without keeping the
aspect ratio; the inverse is the same resize from the network's grid to the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from suraksha.errors import ModelError
from suraksha.types import Image

BILINEAR = PilImage.Resampling.BILINEAR
THRESHOLD = 0.5
# The paper's patch sizes: side of the square network input in pixels.
PATCH_SIZES: Mapping[str, int] = MappingProxyType({"C1": 64, "C2": 128, "C3": 256})


class _Arithmetic(Protocol):
    def __sub__(self, other: float, /) -> Self: ...
    def __truediv__(self, other: float, /) -> Self: ...


Values = TypeVar("Values", bound=_Arithmetic)


@dataclass(frozen=True, slots=True)
class Preparation:
    """How an image becomes a network's input.

    Args:
        height: Rows of the network's input.
        width: Columns of the network's input.
        channels: 1 for grey or 3 for RGB.
        mean: Subtracted from each value after scaling to 0..1.
        std: Divides each value after that.

    Raises:
        ModelError: A size is below 1, there are not 1 or 3 channels, mean or std is not finite, or
            std is not above 0.
    """

    height: int
    width: int
    channels: int = 1
    mean: float = 0.33
    std: float = 0.22

    def __post_init__(self) -> None:
        finite = math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0
        if min(self.shape) < 1 or self.channels not in (1, 3) or not finite:
            raise ModelError(
                f"{self} is not valid",
                "it needs at least 1 x 1 pixels, 1 or 3 channels, a finite mean and a std above 0",
                "Correct the recipe or the bundle's card",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


def to_uint8(pixels: NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Convert pixels to grey (H, W) or RGB (H, W, 3), uint8.

    Grey is ITU-R 601 luma, exact if R = G = B; 16-bit values keep their upper 8 bits.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16.
        channels: 1 for grey, 3 for RGB.
    """
    if pixels.dtype.type is np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if channels == 1 and pixels.ndim == 3:
        return np.asarray(PilImage.fromarray(pixels).convert("L"))
    if channels == 3 and pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return pixels


def _resize(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    if array.shape[:2] == shape:
        return array
    return np.asarray(PilImage.fromarray(array).resize((shape[1], shape[0]), BILINEAR))


def resize_image(image: Image, preparation: Preparation) -> NDArray[np.uint8]:
    """The image at the input size: (h, w) or (h, w, 3) uint8, as stored in a cache."""
    return _resize(to_uint8(image.pixels, preparation.channels), preparation.shape)


def resize_mask(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at another size; a pixel is True if at least half of it is covered."""
    return resize_probability(mask.astype(np.float32), shape) >= THRESHOLD


def normalise(pixels: NDArray[np.uint8], preparation: Preparation) -> NDArray[np.float32]:
    """Convert (N, h, w) or (N, h, w, 3) uint8 to the network input: (N, C, h, w) float32."""
    planes = pixels[:, None] if pixels.ndim == 3 else np.moveaxis(pixels, 3, 1)
    unit: NDArray[np.float32] = np.ascontiguousarray(planes, dtype=np.float32) / np.float32(255)
    return standardise(unit, preparation)


def standardise(unit: Values, preparation: Preparation) -> Values:
    """Apply mean and std to values in 0..1; works on float32 arrays and torch tensors."""
    return (unit - preparation.mean) / preparation.std


def prepare(image: Image, preparation: Preparation) -> NDArray[np.float32]:
    """Convert an image to the network input: (1, C, h, w) float32."""
    return normalise(resize_image(image, preparation)[None], preparation)


def resize_probability(
    probability: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Resize a map of values in 0..1 from (h, w) to ``shape``; float32 in 0..1."""
    resized: NDArray[np.float32] = _resize(probability, shape)
    return np.clip(resized, 0.0, 1.0)


def restore(probability: NDArray[np.float32], image: Image) -> NDArray[np.float32]:
    """Resize a probability map from the network's grid to the image; float32 in 0..1."""
    return resize_probability(probability, image.shape)
