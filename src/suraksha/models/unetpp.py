"""UNet++: a U-Net whose skips are nested blocks of convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.errors import ModelError
from suraksha.models.blocks import DoubleConv, check_batch

LEVELS = 5
DIVISOR = 16


@dataclass(frozen=True, slots=True)
class UNetPlusPlusSpec:
    """What a UNet++ is made of.

    Args:
        in_channels: Colour channels of the picture.
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
        if min(self.in_channels, self.width) < 1:
            raise ModelError(
                f"{self} cannot be built",
                "in_channels and width are at least 1",
                "Correct the [model] part of the recipe",
            )


class UNetPlusPlus(nn.Module):
    """Nested skips: (N, C, H, W) -> logits (N, 1, H, W); 16 divides H and W.

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
        # by step from 1, then by level from 0
        self.up = nn.ModuleList()
        self.nodes = nn.ModuleList()
        for step in range(1, LEVELS):
            levels = range(LEVELS - step)
            self.up.append(
                nn.ModuleList(
                    nn.ConvTranspose2d(channels[n + 1], channels[n], 2, stride=2) for n in levels
                )
            )
            self.nodes.append(
                nn.ModuleList(DoubleConv((step + 1) * channels[n], channels[n]) for n in levels)
            )
        heads = LEVELS - 1 if spec.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(channels[0], 1, 1) for _ in range(heads))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ModelError: 16 does not divide the height or the width, or the channels do not fit.
        """
        if not torch.compiler.is_compiling():
            check_batch(x, channels=self.spec.in_channels, divisor=DIVISOR)
        rows: list[list[Tensor]] = []
        for level, conv in enumerate(self.down):
            x = conv(F.max_pool2d(x, 2) if level else x)
            rows.append([x])
        for ups, nodes in zip(self.up, self.nodes, strict=True):
            below = [row[-1] for row in rows]
            for level, (up, node) in enumerate(zip(ups, nodes, strict=True)):  # type: ignore[call-overload]
                rows[level].append(node(torch.cat([*rows[level], up(below[level + 1])], dim=1)))
        last = rows[0][-len(self.heads) :]
        logits = [head(node) for head, node in zip(self.heads, last, strict=True)]
        return torch.stack(logits).mean(0)
