"""UNet++: a U-Net whose skips are nested blocks of convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.networks.blocks import DoubleConv, check_batch, check_spec

LEVELS = 5
DIVISOR = 16


@dataclass(frozen=True, slots=True)
class UNetPlusPlusSpec:
    """The parameters of a UNet++.

    Args:
        in_channels: Colour channels of the image.
        width: Channels at full resolution; each of the four levels below doubles them.
        deep_supervision: Whether the logits are the mean of the four heads of the top row, the
            paper's "accurate mode"; otherwise the last head alone.

    Raises:
        ModelError: A number below 1.
    """

    in_channels: int = 1
    width: int = 32
    deep_supervision: bool = True

    def __post_init__(self) -> None:
        fits = min(self.in_channels, self.width) >= 1
        check_spec(self, fits=fits, rule="in_channels and width are at least 1")


class UNetPlusPlus(nn.Module):
    """Nested skips: (N, C, H, W) -> logits (N, 1, H, W); H and W must be multiples of 16.

    Node (level, step) takes all nodes of its level before it and the upsampled one below.
    Source: Zhou et al. 2020, doi 10.1109/TMI.2019.2959609.
    """

    def __init__(self, spec: UNetPlusPlusSpec) -> None:
        super().__init__()
        self.spec = spec
        channels = [spec.width * 2**level for level in range(LEVELS)]
        sources = (spec.in_channels, *channels[:-1])
        self.down = nn.ModuleList(
            DoubleConv(source, own) for source, own in zip(sources, channels, strict=True)
        )
        self.up, self.node = nn.ModuleDict(), nn.ModuleDict()
        for name, level, step in nodes():
            own = channels[level]
            self.up[name] = nn.ConvTranspose2d(channels[level + 1], own, 2, stride=2)
            self.node[name] = DoubleConv((step + 1) * own, own)
        heads = LEVELS - 1 if spec.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(channels[0], 1, 1) for _ in range(heads))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ModelError: Height or width is not a multiple of 16, or other channels.
        """
        check_batch(x, channels=self.spec.in_channels, divisor=DIVISOR)
        rows: list[list[Tensor]] = []
        for level, conv in enumerate(self.down):
            x = conv(F.max_pool2d(x, 2) if level else x)
            rows.append([x])
        for name, level, step in nodes():
            below = self.up[name](rows[level + 1][step - 1])
            rows[level].append(self.node[name](torch.cat([*rows[level], below], dim=1)))
        last = rows[0][-len(self.heads) :]
        logits = [head(node) for head, node in zip(self.heads, last, strict=True)]
        return torch.stack(logits).mean(0)


def nodes() -> list[tuple[str, int, int]]:
    """The nested nodes as (name, level, step), step by step; step 0 is the encoder."""
    steps = range(1, LEVELS)
    return [(f"{level}-{step}", level, step) for step in steps for level in range(LEVELS - step)]
