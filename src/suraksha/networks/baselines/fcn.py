"""FCN-8s: VGG-16 made convolutional, with the scores of three depths summed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.networks.baselines.vgg import DIVISOR, VGGSpec, stage_channels, vgg_encoder
from suraksha.networks.blocks import check_batch

DROPOUT = 0.5
# channels of the convolutional fc6 and fc7, as multiples of the width
DEEP = 64


class FCN8s(nn.Module):
    """Skip sums: (N, C, H, W) -> logits (N, 1, H, W); H and W must be multiples of 32.

    Scores of pool5 (through fc6 and fc7) are upsampled twofold and added to those of pool4, the sum
    is added to those of pool3 in the same way, and upsampled eightfold. Source: Long et al. 2015,
    doi 10.1109/CVPR.2015.7298965; with batch norm, and padded instead of cropped.
    """

    def __init__(self, spec: VGGSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = vgg_encoder(spec)
        pool3, pool4, pool5 = (channels[-1] for channels in stage_channels(spec)[2:])
        deep = DEEP * spec.width
        self.deep = nn.Sequential(
            nn.Conv2d(pool5, deep, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout2d(DROPOUT),
            nn.Conv2d(deep, deep, 1),
            nn.ReLU(inplace=True),
            nn.Dropout2d(DROPOUT),
        )
        self.scores = nn.ModuleList(nn.Conv2d(source, 1, 1) for source in (pool3, pool4, deep))
        self.up = nn.ModuleList(_bilinear_twofold() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ModelError: Height or width is not a multiple of 32, or other channels.
        """
        check_batch(x, channels=self.spec.in_channels, divisor=DIVISOR)
        pooled = []
        for encode in self.encoder:
            x = F.max_pool2d(encode(x), 2)
            pooled.append(x)
        score3, score4, score5 = self.scores
        up5, up4 = self.up
        logits: Tensor = score5(self.deep(x))
        logits = up5(logits) + score4(pooled[3])
        logits = up4(logits) + score3(pooled[2])
        return F.interpolate(logits, scale_factor=8.0, mode="bilinear")


def _bilinear_twofold() -> nn.ConvTranspose2d:
    """A learned twofold upsampling, initialised as bilinear interpolation."""
    up = nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False)
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        up.weight.copy_(torch.outer(ramp, ramp)[None, None])
    return up
