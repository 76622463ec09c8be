"""SURAKSHA: a U-Net with attention on every skip and over the whole image at the bottleneck.

``docs/explanation/network.md`` lists the sentences of the paper that each part comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.networks.blocks import (
    AttentionNetwork,
    DecoderBlock,
    DoubleConv,
    GlobalAttention,
    check_batch,
    check_spec,
)

LEVELS = 4
DIVISOR = 2**LEVELS


@dataclass(frozen=True, slots=True)
class SurakshaSpec:
    """The parameters of a SURAKSHA network.

    Args:
        in_channels: Colour channels of the image.
        width: Channels of the first encoder block; each next block doubles them.
        skip_attention: Whether each decoder block weights its skip with an attention gate.
        bottleneck_attention: Whether the bottleneck attends to the whole image.
        heads: Heads of that attention; ``16 * width`` must be a multiple.

    Raises:
        ModelError: A number below 1, or bottleneck channels that are not a multiple of heads.
    """

    in_channels: int = 1
    width: int = 32
    skip_attention: bool = True
    bottleneck_attention: bool = True
    heads: int = 4

    def __post_init__(self) -> None:
        fits = min(self.in_channels, self.width, self.heads) >= 1
        rule = "in_channels, width and heads are at least 1; 16 * width is a multiple of heads"
        check_spec(self, fits=fits and self.channels[-1] % self.heads == 0, rule=rule)

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
    """Conv-norm-ReLU twice at the lowest resolution, then attention over the whole image."""

    def __init__(self, spec: SurakshaSpec) -> None:
        super().__init__()
        self.conv = DoubleConv(spec.channels[-2], spec.channels[-1])
        self.attention = (
            GlobalAttention(spec.channels[-1], spec.heads) if spec.bottleneck_attention else None
        )

    def forward(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> Tensor:
        """A map of the same size; the attention map is put into ``maps`` if it is given."""
        x = self.conv(x)
        if self.attention is None:
            return x
        if maps is not None:
            maps["bottleneck"] = self.attention.weights(x)
        attended: Tensor = self.attention(x)
        return attended


class Suraksha(AttentionNetwork):
    """The network of the paper: (N, C, H, W) -> logits (N, 1, H, W).

    H and W must be multiples of 16. Loss and metrics take logits; ``sigmoid`` turns them into
    probabilities. Source: Keshav Kumar et al. 2025, section 2 (SURAKSHA).
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
            DecoderBlock(
                channels[level + 1],
                channels[level],
                skip_channels=channels[level],
                attention=spec.skip_attention,
            )
            for level in reversed(range(LEVELS))
        )
        self.head = nn.Conv2d(channels[0], 1, 1)

    def run(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> tuple[Tensor, ...]:
        """(logits of the mask,); see `AttentionNetwork.run`."""
        check_batch(x, channels=self.spec.in_channels, divisor=DIVISOR)
        skips = []
        for encode in self.encoder:
            x, skip = encode(x)
            skips.append(skip)
        x = self.bottleneck(x, maps)
        for level, decode in zip(reversed(range(LEVELS)), self.decoder, strict=True):
            x, weights = decode(x, skips[level])
            if maps is not None and weights is not None:
                maps[f"skip{level + 1}"] = weights
        return (self.head(x),)
