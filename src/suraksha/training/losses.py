"""Losses on logits: each takes logits and truth (N, 1, H, W) and returns one value per image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from kornia.losses import binary_focal_loss_with_logits, lovasz_hinge_loss
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from suraksha.runs.config import LossSpec

FALSE_NEGATIVE_WEIGHT = 0.7


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the pixels of each image, (N,)."""
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(1).mean(1)


def soft_dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - Dice of the probabilities, (N,).

    ``1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)``; the 1 keeps empty masks smooth. Source:
    Milletari et al. 2016, V-Net, doi 10.1109/3DV.2016.79 (there with squares in the denominator).
    """
    return _tversky(logits, truth, false_negative=0.5)


def tversky_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - Tversky index, (N,), with weights 0.3 (false positive) and 0.7 (false negative pixels).

    Source: Salehi et al. 2017, doi 10.1007/978-3-319-67389-9_44.
    """
    return _tversky(logits, truth, false_negative=FALSE_NEGATIVE_WEIGHT)


def _tversky(logits: Tensor, truth: Tensor, *, false_negative: float) -> Tensor:
    probability, target = logits.sigmoid().flatten(1), truth.flatten(1)
    overlap = (probability * target).sum(1)
    predicted, actual = probability.sum(1), target.sum(1)
    return 1 - (2 * overlap + 1) / (
        2 * (1 - false_negative) * predicted + 2 * false_negative * actual + 1
    )


def focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Focal loss with gamma 2, mean over the pixels of each image, (N,).

    Source: Lin et al. 2017, doi 10.1109/ICCV.2017.324.
    """
    values: Tensor = binary_focal_loss_with_logits(
        logits, truth, alpha=None, gamma=2.0, reduction="none"
    )
    return values.flatten(1).mean(1)


def lovasz_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Lovasz hinge of each image, (N,).

    Source: Berman et al. 2018, doi 10.1109/CVPR.2018.00464.
    """
    hard = (truth >= 0.5).to(truth.dtype)
    return torch.stack(
        [lovasz_hinge_loss(one[None], mask) for one, mask in zip(logits, hard, strict=True)]
    )


def boundary_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Probability times the signed distance to the truth's boundary, (N,); 0 without a lesion.

    Distances are fractions of the image's height, negative inside. Source: Kervadec et al. 2021,
    doi 10.1016/j.media.2020.101851.
    """
    distances = []
    for mask in (truth[:, 0] >= 0.5).cpu().numpy():
        inside = distance_transform_edt(mask) - 0.5
        outside = distance_transform_edt(~mask) - 0.5
        signed = np.where(mask, -inside, outside) if mask.any() else np.zeros(mask.shape)
        distances.append(signed / mask.shape[0])
    distance = torch.from_numpy(np.stack(distances)).to(logits)
    return (logits.sigmoid()[:, 0] * distance).flatten(1).mean(1)


PARTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": cross_entropy,
    "dice": soft_dice_loss,
    "tversky": tversky_loss,
    "focal": focal_loss,
    "lovasz": lovasz_loss,
    "boundary": boundary_loss,
}


def loss(logits: Tensor, truth: Tensor, *, spec: LossSpec) -> Tensor:
    """The weighted sum of the losses, mean over the images.

    Args:
        logits: (N, 1, H, W).
        truth: (N, 1, H, W) in 0..1.
        spec: The weights.
    """
    total = logits.new_zeros(len(logits))
    for name, part in PARTS.items():
        if weight := getattr(spec, name):
            total = total + weight * part(logits, truth)
    if spec.normal != 1:
        empty = truth.flatten(1).amax(1) < 0.5
        total = torch.where(empty, spec.normal * total, total)
    return total.mean()
