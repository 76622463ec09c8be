"""Augmentation that a scanner, not a camera, would give: on batches of B-mode, in place of none.

Every function takes pictures (N, C, h, w) in 0..1 and returns new ones; which pictures are varied
and how is drawn from torch's generator. Rows are depth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CURVE_POINTS = 5
SHADOW_DARKNESS = (0.3, 0.9)
MARK_TEXT = (5, 3)  # rows and columns of a drawn letter's dots


def _uniform(count: int, low: float, high: float, *, like: Tensor) -> Tensor:
    return torch.empty(count, 1, 1, 1, device=like.device).uniform_(low, high)


def _some(pictures: Tensor, varied: Tensor, chance: float) -> Tensor:
    """Each picture varied with a chance, else as it was."""
    chosen = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) < chance
    return torch.where(chosen, varied, pictures)


def speckle(pictures: Tensor, strength: float) -> Tensor:
    """Multiply by correlated noise of a random grain.

    Args:
        pictures: (N, C, h, w) in 0..1.
        strength: Greatest standard deviation of the factor.
    """
    count, _, height, width = pictures.shape
    grain = float(torch.empty(()).uniform_(1.0, 3.0))
    size = (max(2, int(height / grain)), max(2, int(width / grain)))
    noise = torch.randn(count, 1, *size, device=pictures.device)
    noise = F.interpolate(noise, size=(height, width), mode="bilinear")
    factor = 1 + _uniform(count, 0, strength, like=pictures) * noise
    return _some(pictures, pictures * factor, 0.5)


def gain(pictures: Tensor, change: float) -> Tensor:
    """Multiply each row by a smooth random curve, as another time-gain compensation would.

    Args:
        pictures: (N, C, h, w) in 0..1.
        change: Greatest change; 0.3 means factors of 0.7 to 1.3 at five depths.
    """
    points = torch.empty(len(pictures), 1, CURVE_POINTS, 1, device=pictures.device)
    points.uniform_(1 - change, 1 + change)
    curve = F.interpolate(points, size=(pictures.shape[2], 1), mode="bicubic", align_corners=True)
    return _some(pictures, pictures * curve, 0.5)


def attenuation(pictures: Tensor, strength: float) -> Tensor:
    """Darken with depth: ``exp(-a * depth)``, depth 0 to 1, ``a`` up to a strength.

    Args:
        pictures: (N, C, h, w) in 0..1.
        strength: Greatest ``a``; a third of the draws brighten with depth instead.
    """
    depth = torch.linspace(0, 1, pictures.shape[2], device=pictures.device).view(1, 1, -1, 1)
    rate = _uniform(len(pictures), -strength / 2, strength, like=pictures)
    return _some(pictures, pictures * torch.exp(-rate * depth), 0.5)


def shadow(pictures: Tensor, chance: float) -> Tensor:
    """Darken a soft-edged, slightly slanted band from a random depth down.

    Args:
        pictures: (N, C, h, w) in 0..1.
        chance: Chance that a picture gets one.
    """
    count, _, height, width = pictures.shape
    rows = torch.linspace(0, 1, height, device=pictures.device).view(1, 1, -1, 1)
    cols = torch.linspace(0, 1, width, device=pictures.device).view(1, 1, 1, -1)
    start = _uniform(count, 0.0, 0.7, like=pictures)
    middle = _uniform(count, 0.0, 1.0, like=pictures)
    slant = _uniform(count, -0.2, 0.2, like=pictures)
    half = _uniform(count, 0.03, 0.15, like=pictures)
    edge = _uniform(count, 0.01, 0.05, like=pictures)
    aside = (cols - middle - slant * rows).abs()
    inside = torch.sigmoid((half - aside) / edge) * torch.sigmoid((rows - start) / 0.03)
    dark = _uniform(count, *SHADOW_DARKNESS, like=pictures)
    return _some(pictures, pictures * (1 - dark * inside), chance)


def draw_marks(pictures: Tensor, chance: float) -> Tensor:
    """Draw calipers (two crosses and dots between) and a line of text-like dots.

    Args:
        pictures: (N, C, h, w) in 0..1.
        chance: Chance that a picture gets them.
    """
    marked = pictures.clone()
    for number in torch.nonzero(torch.rand(len(pictures)) < chance).flatten().tolist():
        _calipers(marked[number])
        _text(marked[number])
    return marked


def _calipers(picture: Tensor) -> None:
    _, height, width = picture.shape
    ends = torch.rand(2, 2) * torch.tensor([height - 1.0, width - 1.0])
    arm = max(1, height // 64)
    value = float(torch.empty(()).uniform_(0.6, 1.0))
    for row, col in ends.round().long().tolist():
        picture[:, max(row - arm, 0) : row + arm + 1, col] = value
        picture[:, row, max(col - arm, 0) : col + arm + 1] = value
    if torch.rand(()) < 0.5:
        steps = torch.linspace(0, 1, max(height // 8, 2)).view(-1, 1)
        dots = (ends[:1] * (1 - steps) + ends[1:] * steps).round().long()
        picture[:, dots[:, 0], dots[:, 1]] = value


def _text(picture: Tensor) -> None:
    _, height, width = picture.shape
    scale = max(1, height // 128)
    letters = int(torch.randint(3, 9, ()))
    tall, wide = MARK_TEXT
    dots = (torch.rand(letters, tall, wide) < 0.6).float()
    line = F.pad(dots, (0, 1)).permute(1, 0, 2).reshape(tall, -1)
    line = line.repeat_interleave(scale, 0).repeat_interleave(scale, 1)[:height, :width]
    row = int(torch.randint(0, height - line.shape[0] + 1, ()))
    col = int(torch.randint(0, width - line.shape[1] + 1, ()))
    place = picture[:, row : row + line.shape[0], col : col + line.shape[1]]
    place.copy_(torch.maximum(place, line.to(picture.device) * 0.9))


def remove_marks(pictures: Tensor, chance: float) -> Tensor:
    """Take thin bright marks off: where a grey opening is far darker, the opening stays.

    Args:
        pictures: (N, C, h, w) in 0..1.
        chance: Chance that a picture is cleaned.
    """
    side = 2 * max(1, pictures.shape[2] // 128) + 1
    eroded = -F.max_pool2d(-pictures, side, stride=1, padding=side // 2)
    opened = F.max_pool2d(eroded, side, stride=1, padding=side // 2)
    return _some(pictures, torch.where(pictures - opened > 0.35, opened, pictures), chance)


def paste_lesions(
    pictures: Tensor, masks: Tensor, *, chance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Blend the lesion of another picture of the batch into pictures without a lesion.

    Args:
        pictures: (N, C, h, w) in 0..1.
        masks: (N, 1, h, w) in 0..1.
        chance: Chance that a picture without a lesion gets one.

    Returns:
        Pictures, masks, and (N,) int64: of which picture of the batch each one's lesion is.
    """
    source = torch.arange(len(pictures), device=pictures.device)
    there = masks.flatten(1).amax(1) >= 0.5
    donors = torch.nonzero(there).flatten()
    if len(donors):
        drawn = donors[torch.randint(len(donors), (len(pictures),), device=pictures.device)]
        chosen = ~there & (torch.rand(len(pictures), device=pictures.device) < chance)
        source = torch.where(chosen, drawn, source)
    side = 2 * (pictures.shape[2] // 32) + 1
    grown = F.max_pool2d(masks[source], side, stride=1, padding=side // 2)
    blend = F.avg_pool2d(grown, side, stride=1, padding=side // 2, count_include_pad=False)
    blend = blend * (source != torch.arange(len(source), device=source.device)).view(-1, 1, 1, 1)
    return pictures * (1 - blend) + pictures[source] * blend, masks[source], source
