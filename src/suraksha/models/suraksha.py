"""SURAKSHA: a U-Net with attention on every skip and over the whole picture at the bottleneck.

``docs/explanation/network.md`` says which sentence of the paper each part comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.errors import ModelError
from suraksha.models.blocks import AttentionGate, DoubleConv, GlobalAttention

LEVELS = 4
DIVISOR = 2**LEVELS


@dataclass(frozen=True, slots=True)
class SurakshaSpec:
    """What a SURAKSHA network is made of.

    Args:
        in_channels: Colour channels of the picture.
        width: Channels of the first encoder block; each next block doubles them.
        skip_attention: Whether each decoder block weighs its skip with an attention gate.
        bottleneck_attention: Whether the bottleneck attends to the whole picture.
        heads: Heads of that attention; they divide ``16 * width``.

    Raises:
        ModelError: A number below 1, or heads that do not divide the bottleneck's channels.
    """

    in_channels: int = 1
    width: int = 32
    skip_attention: bool = True
    bottleneck_attention: bool = True
    heads: int = 4

    def __post_init__(self) -> None:
        if min(self.in_channels, self.width, self.heads) < 1 or self.channels[-1] % self.heads:
            raise ModelError(
                f"{self} cannot be built",
                "in_channels, width and heads are at least 1, and heads divide 16 * width",
                "Correct the [model] part of the recipe",
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the four encoder blocks and of the bottleneck."""
        return tuple(self.width * 2**level for level in range(LEVELS + 1))


class EncoderBlock(nn.Module):
    """Conv-norm-ReLU twice, then 2 x 2 max pooling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(the map at half the size, the skip at the full size)."""
        skip: Tensor = self.conv(x)
        return F.max_pool2d(skip, 2), skip


class Bottleneck(nn.Module):
    """Conv-norm-ReLU twice at the lowest resolution, then attention over the whole picture."""

    def __init__(self, spec: SurakshaSpec) -> None:
        super().__init__()
        self.conv = DoubleConv(spec.channels[-2], spec.channels[-1])
        self.attention = (
            GlobalAttention(spec.channels[-1], spec.heads) if spec.bottleneck_attention else None
        )

    def forward(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> Tensor:
        """A map of the same size; the attention's map is put into ``maps`` where one is given."""
        x = self.conv(x)
        if self.attention is None:
            return x
        if maps is not None:
            maps["bottleneck"] = self.attention.weights(x)
        attended: Tensor = self.attention(x)
        return attended


class DecoderBlock(nn.Module):
    """2 x 2 up-convolution, attention on the congruent skip, then conv-norm-ReLU twice."""

    def __init__(self, in_channels: int, out_channels: int, *, attention: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        inner = max(out_channels // 2, 1)
        self.gate = AttentionGate(out_channels, out_channels, inner) if attention else None
        self.conv = DoubleConv(2 * out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor | None]:
        """(the map at the skip's size, the gate's weights or None)."""
        x = self.up(x)
        weights = None if self.gate is None else self.gate(skip, x)
        if weights is not None:
            skip = skip * weights
        return self.conv(torch.cat([skip, x], dim=1)), weights


class Suraksha(nn.Module):
    """The network of the paper: (N, C, H, W) -> logits (N, 1, H, W); 16 divides H and W.

    Source: Keshav Kumar et al. 2025, section 2 (SURAKSHA). Loss and metrics take the logits;
    ``sigmoid`` makes them probabilities.
    """

    def __init__(self, spec: SurakshaSpec) -> None:
        super().__init__()
        self.spec = spec
        channels = spec.channels
        sources = (spec.in_channels, *channels[: LEVELS - 1])
        self.encoder = nn.ModuleList(
            EncoderBlock(source, channels[level]) for level, source in enumerate(sources)
        )
        self.bottleneck = Bottleneck(spec)
        self.decoder = nn.ModuleList(
            DecoderBlock(channels[level + 1], channels[level], attention=spec.skip_attention)
            for level in reversed(range(LEVELS))
        )
        self.head = nn.Conv2d(channels[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ModelError: 16 does not divide the height or the width, or the channels do not fit.
        """
        return self._run(x, None)

    @torch.no_grad()
    def attention_maps(self, x: Tensor) -> dict[str, Tensor]:
        """Where the network looked: name -> (N, 1, h, w), coarse to fine.

        ``bottleneck`` sums to 1 over the picture; ``skip4`` (coarsest) to ``skip1`` are the gates'
        weights in 0..1. Parts that the spec switches off are left out.

        Raises:
            ModelError: As for the call.
        """
        maps: dict[str, Tensor] = {}
        self._run(x, maps)
        return maps

    def _run(self, x: Tensor, maps: dict[str, Tensor] | None) -> Tensor:
        if not torch.compiler.is_compiling():
            self._check(x)
        skips = []
        for encode in self.encoder:
            x, skip = encode(x)
            skips.append(skip)
        x = self.bottleneck(x, maps)
        for level, decode in zip(reversed(range(LEVELS)), self.decoder, strict=True):
            x, weights = decode(x, skips[level])
            if maps is not None and weights is not None:
                maps[f"skip{level + 1}"] = weights
        logits: Tensor = self.head(x)
        return logits

    def _check(self, x: Tensor) -> None:
        channels, height, width = x.shape[1:]
        if height % DIVISOR or width % DIVISOR or channels != self.spec.in_channels:
            fit = [max(DIVISOR, -(-side // DIVISOR) * DIVISOR) for side in (height, width)]
            raise ModelError(
                f"a batch of shape {tuple(x.shape)} does not fit the network",
                f"it takes {self.spec.in_channels} channels and sides that {DIVISOR} divides",
                f"Resize or pad to {fit[0]} x {fit[1]}, or build it for {channels} channels",
            )
