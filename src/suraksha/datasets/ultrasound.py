"""Ultrasound augmentation: effects of scanners and examiners on batches of B-mode images.

Every function takes images (N, C, h, w) in 0..1 and returns new ones. Which images are changed,
and how, is drawn from torch's generator. Rows are depth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CURVE_POINTS = 5
FIELD_POINTS = (4, 4)
SHADOW_DARKNESS = (0.3, 0.9)
MARK_TEXT = (5, 3)  # rows and columns of a drawn letter's dots


def _uniform(count: int, low: float, high: float, *, like: Tensor) -> Tensor:
    return torch.empty(count, 1, 1, 1, device=like.device).uniform_(low, high)


def _some(images: Tensor, changed: Tensor, chance: float) -> Tensor:
    """Each image in its changed form with a probability, otherwise as it was."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < chance
    return torch.where(chosen, changed, images)


def speckle(images: Tensor, strength: float) -> Tensor:
    """Multiply by correlated noise of a random grain.

    Args:
        images: (N, C, h, w) in 0..1.
        strength: Maximum standard deviation of the factor.
    """
    count, _, height, width = images.shape
    grain = float(torch.empty(()).uniform_(1.0, 3.0))
    size = (max(2, int(height / grain)), max(2, int(width / grain)))
    noise = torch.randn(count, 1, *size, device=images.device)
    noise = F.interpolate(noise, size=(height, width), mode="bilinear")
    factor = 1 + _uniform(count, 0, strength, like=images) * noise
    return _some(images, images * factor, 0.5)


def gain(images: Tensor, change: float, *, chance: float = 0.5) -> Tensor:
    """Multiply each row by a smooth random curve, as another time-gain compensation does.

    Args:
        images: (N, C, h, w) in 0..1.
        change: Maximum change; 0.3 means factors of 0.7 to 1.3 at five depths.
        chance: Probability that an image is changed.
    """
    points = torch.empty(len(images), 1, CURVE_POINTS, 1, device=images.device)
    points.uniform_(1 - change, 1 + change)
    curve = F.interpolate(points, size=(images.shape[2], 1), mode="bicubic", align_corners=True)
    return _some(images, images * curve, chance)


def local_gain(images: Tensor, spread: float, *, chance: float = 0.5) -> Tensor:
    """Multiply by a smooth random gain field, as coupling and focus differ over the image.

    Args:
        images: (N, C, h, w) in 0..1.
        spread: Standard deviation of the log of the gain at 4 x 4 points.
        chance: Probability that an image is changed.
    """
    points = spread * torch.randn(len(images), 1, *FIELD_POINTS, device=images.device)
    field = F.interpolate(points, size=images.shape[2:], mode="bicubic", align_corners=True)
    return _some(images, images * field.exp(), chance)


def blur(images: Tensor, chance: float) -> Tensor:
    """Smooth with a 3 x 3 mean filter, as a scanner of lower resolution would.

    Args:
        images: (N, C, h, w) in 0..1.
        chance: Probability that an image is changed.
    """
    smooth = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return _some(images, smooth, chance)


def zoom(images: Tensor, masks: Tensor, *, amount: float, aspect: float) -> tuple[Tensor, Tensor]:
    """Magnify about a random centre and change the aspect ratio; outside the image is black.

    Args:
        images: (N, C, h, w) in 0..1.
        masks: (N, 1, h, w) in 0..1.
        amount: Maximum log magnification, the same for both axes.
        aspect: Maximum log factor by which columns are magnified more, and rows less.

    Returns:
        Images and masks of the same shapes.
    """
    count = len(images)
    magnified = _uniform(count, -amount, amount, like=images).view(count)
    stretched = _uniform(count, -aspect, aspect, like=images).view(count)
    limit = (1 - magnified.exp()).abs()
    matrices = torch.zeros(count, 2, 3, device=images.device)
    for axis, sign in enumerate((1, -1)):
        matrices[:, axis, axis] = torch.exp(-(magnified + sign * stretched))
        matrices[:, axis, 2] = limit * _uniform(count, -1, 1, like=images).view(count)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return tuple(F.grid_sample(x, grid, align_corners=False) for x in (images, masks))  # type: ignore[return-value]


def attenuation(images: Tensor, strength: float, *, chance: float = 0.5) -> Tensor:
    """Darken with depth: ``exp(-a * depth)``, depth 0 to 1, ``a`` up to a strength.

    Args:
        images: (N, C, h, w) in 0..1.
        strength: Maximum ``a``; a third of the draws are negative, so that brightness increases.
        chance: Probability that an image is changed.
    """
    depth = torch.linspace(0, 1, images.shape[2], device=images.device).view(1, 1, -1, 1)
    rate = _uniform(len(images), -strength / 2, strength, like=images)
    return _some(images, images * torch.exp(-rate * depth), chance)


def shadow(images: Tensor, chance: float) -> Tensor:
    """Darken a soft-edged, slightly slanted band from a random depth down.

    Args:
        images: (N, C, h, w) in 0..1.
        chance: Probability that an image gets one.
    """
    count, _, height, width = images.shape
    rows = torch.linspace(0, 1, height, device=images.device).view(1, 1, -1, 1)
    cols = torch.linspace(0, 1, width, device=images.device).view(1, 1, 1, -1)
    start = _uniform(count, 0.0, 0.7, like=images)
    middle = _uniform(count, 0.0, 1.0, like=images)
    slant = _uniform(count, -0.2, 0.2, like=images)
    half = _uniform(count, 0.03, 0.15, like=images)
    edge = _uniform(count, 0.01, 0.05, like=images)
    aside = (cols - middle - slant * rows).abs()
    inside = torch.sigmoid((half - aside) / edge) * torch.sigmoid((rows - start) / 0.03)
    low, high = SHADOW_DARKNESS
    dark = _uniform(count, low, high, like=images)
    return _some(images, images * (1 - dark * inside), chance)


def draw_calipers(images: Tensor, chance: float) -> Tensor:
    """Draw calipers (two crosses with dots between them) and a line of text-like dots.

    Args:
        images: (N, C, h, w) in 0..1.
        chance: Probability that an image gets them.
    """
    marked = images.clone()
    for number in torch.nonzero(torch.rand(len(images)) < chance).flatten().tolist():
        _calipers(marked[number])
        _text(marked[number])
    return marked


def _calipers(image: Tensor) -> None:
    _, height, width = image.shape
    ends = torch.rand(2, 2) * torch.tensor([height - 1.0, width - 1.0])
    arm = max(1, height // 64)
    value = float(torch.empty(()).uniform_(0.6, 1.0))
    for row, col in ends.round().long().tolist():
        image[:, max(row - arm, 0) : row + arm + 1, col] = value
        image[:, row, max(col - arm, 0) : col + arm + 1] = value
    if torch.rand(()) < 0.5:
        steps = torch.linspace(0, 1, max(height // 8, 2)).view(-1, 1)
        dots = (ends[:1] * (1 - steps) + ends[1:] * steps).round().long()
        image[:, dots[:, 0], dots[:, 1]] = value


def _text(image: Tensor) -> None:
    _, height, width = image.shape
    scale = max(1, height // 128)
    letters = int(torch.randint(3, 9, ()))
    tall, wide = MARK_TEXT
    dots = (torch.rand(letters, tall, wide) < 0.6).float()
    line = F.pad(dots, (0, 1)).permute(1, 0, 2).reshape(tall, -1)
    line = line.repeat_interleave(scale, 0).repeat_interleave(scale, 1)[:height, :width]
    row = int(torch.randint(0, height - line.shape[0] + 1, ()))
    col = int(torch.randint(0, width - line.shape[1] + 1, ()))
    place = image[:, row : row + line.shape[0], col : col + line.shape[1]]
    place.copy_(torch.maximum(place, line.to(image.device) * 0.9))


def remove_calipers(images: Tensor, chance: float) -> Tensor:
    """Remove thin bright marks: where the grey opening is much darker, it replaces the image.

    Args:
        images: (N, C, h, w) in 0..1.
        chance: Probability that an image is cleaned.
    """
    side = 2 * max(1, images.shape[2] // 128) + 1
    eroded = -F.max_pool2d(-images, side, stride=1, padding=side // 2)
    opened = F.max_pool2d(eroded, side, stride=1, padding=side // 2)
    return _some(images, torch.where(images - opened > 0.35, opened, images), chance)


def copy_paste_lesions(
    images: Tensor, masks: Tensor, *, chance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Blend the lesion of another image of the batch into images without a lesion.

    Args:
        images: (N, C, h, w) in 0..1.
        masks: (N, 1, h, w) in 0..1.
        chance: Probability that an image without a lesion gets one.

    Returns:
        Images, masks, and (N,) int64: index of the image that each one's lesion is from.
    """
    source = torch.arange(len(images), device=images.device)
    there = masks.flatten(1).amax(1) >= 0.5
    donors = torch.nonzero(there).flatten()
    if len(donors):
        drawn = donors[torch.randint(len(donors), (len(images),), device=images.device)]
        chosen = ~there & (torch.rand(len(images), device=images.device) < chance)
        source = torch.where(chosen, drawn, source)
    side = 2 * (images.shape[2] // 32) + 1
    grown = F.max_pool2d(masks[source], side, stride=1, padding=side // 2)
    blend = F.avg_pool2d(grown, side, stride=1, padding=side // 2, count_include_pad=False)
    blend = blend * (source != torch.arange(len(source), device=source.device)).view(-1, 1, 1, 1)
    return images * (1 - blend) + images[source] * blend, masks[source], source
