"""The blocks that networks are built from. All tensors are (N, C, H, W) float32."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.errors import ModelError

EFFICIENTNET_EPS = 1e-3


class DoubleConv(nn.Sequential):
    """3 x 3 convolution, batch norm, ReLU, twice; the size does not change.

    Source: Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28 (there without norm and
    padding); batch norm after Ioffe and Szegedy 2015, arXiv 1502.03167.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class AttentionGate(nn.Module):
    """Weights every pixel of a skip connection by its relevance to the decoder.

    ``weight = sigmoid(norm(psi(relu(norm(W_x skip) + norm(W_g query)))))``, one weight per pixel.
    Source: Oktay et al. 2018, "Attention U-Net", arXiv 1804.03999, equation 1 (here the query is
    brought to the skip's size before the sum, so the weights need no resampling).
    """

    def __init__(self, skip_channels: int, query_channels: int, inner_channels: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(
            nn.Conv2d(skip_channels, inner_channels, 1, bias=False), nn.BatchNorm2d(inner_channels)
        )
        self.query = nn.Sequential(
            nn.Conv2d(query_channels, inner_channels, 1, bias=False), nn.BatchNorm2d(inner_channels)
        )
        self.psi = nn.Sequential(nn.Conv2d(inner_channels, 1, 1, bias=False), nn.BatchNorm2d(1))

    def forward(self, skip: Tensor, query: Tensor) -> Tensor:
        """The weights, (N, 1, H, W) in 0..1, of a skip and a query of one size."""
        scores: Tensor = self.psi(F.relu(self.skip(skip) + self.query(query)))
        return torch.sigmoid(scores)


class AttentionNetwork(nn.Module, ABC):
    """A network with attention, which can return its attention maps."""

    @abstractmethod
    def run(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> tuple[Tensor, ...]:
        """All outputs for a batch (N, C, H, W), the mask's logits first.

        Args:
            x: The batch.
            maps: If given, the attention maps are put into it; see `attention_maps`.

        Raises:
            ModelError: Height or width is not a multiple of the divisor, or other channels.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mask, (N, 1, H, W).

        Raises:
            ModelError: As `run`.
        """
        return self.run(x)[0]

    @torch.no_grad()
    def attention_maps(self, x: Tensor) -> dict[str, Tensor]:
        """Attention maps: name -> (N, 1, h, w), coarse to fine.

        ``bottleneck`` sums to 1 over the image; ``skip4`` (coarsest) to ``skip1`` are the gates'
        weights in 0..1. Parts that the spec disables are left out.

        Raises:
            ModelError: As `run`.
        """
        maps: dict[str, Tensor] = {}
        self.run(x, maps)
        return maps


class GlobalAttention(nn.Module):
    """Scaled dot-product self-attention over all pixels of a map, added to the map.

    Source: Vaswani et al. 2017, "Attention is all you need", arXiv 1706.03762, section 3.2.
    Positions are encoded by a depth-wise 3 x 3 convolution (Chu et al. 2021, arXiv 2102.10882), so
    that any size is allowed; layer norm before the attention (Xiong et al. 2020, arXiv 2002.04745).
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape: each pixel plus the weighted sum of all others."""
        positioned = x + self.position(x)
        query, key, value = self._heads(positioned)
        values = F.scaled_dot_product_attention(query, key, value)
        values = values.transpose(2, 3).reshape(x.shape)
        attended: Tensor = positioned + self.out(values)
        return attended

    def weights(self, x: Tensor) -> Tensor:
        """Attention that each pixel receives, mean over heads and queries, (N, 1, H, W), sum 1."""
        query, key, _ = self._heads(x + self.position(x))
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        received: Tensor = scores.softmax(dim=-1).mean(dim=(1, 2))
        return received.reshape(x.shape[0], 1, *x.shape[2:])

    def _heads(self, positioned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, each (N, heads, H * W, channels / heads)."""
        split: Tensor = (
            self.to_qkv(self.norm(positioned)).flatten(2).unflatten(1, (3, self.heads, -1))
        )
        query, key, value = split.transpose(3, 4).unbind(1)
        return query, key, value


class DecoderBlock(nn.Module):
    """2 x 2 up-convolution, attention on the skip of that size, then conv-norm-ReLU twice."""

    def __init__(
        self, in_channels: int, out_channels: int, *, skip_channels: int, attention: bool
    ) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        inner = max(out_channels // 2, 1)
        self.gate = AttentionGate(skip_channels, out_channels, inner) if attention else None
        self.conv = DoubleConv(skip_channels + out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor | None]:
        """(the map at the skip's size, the gate's weights or None)."""
        x = self.up(x)
        weights = None if self.gate is None else self.gate(skip, x)
        if weights is not None:
            skip = skip * weights
        return self.conv(torch.cat([skip, x], dim=1)), weights


class InvertedBottleneck(nn.Module):
    """1 x 1 expansion, depth-wise convolution, 1 x 1 projection, each with batch norm.

    ReLU6 after the first two; the input is added if the shape does not change. Source: Sandler
    et al. 2018, MobileNetV2, doi 10.1109/CVPR.2018.00474, with the norm's epsilon of EfficientNet.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the depth-wise kernel.
        stride: 1 or 2.
        expansion: Factor of the inner channels; 1 leaves the expansion out.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        parts: list[nn.Module] = []
        if expansion != 1:
            parts += [*_conv_norm(in_channels, inner, 1), nn.ReLU6(inplace=True)]
        parts += [
            *_conv_norm(inner, inner, kernel, stride=stride, groups=inner),
            nn.ReLU6(inplace=True),
            *_conv_norm(inner, out_channels, 1),
        ]
        self.body = nn.Sequential(*parts)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """A map of ``out_channels``, of the same size or half of it."""
        out: Tensor = self.body(x)
        return x + out if self.residual else out


def _conv_norm(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        bias=False,
    )
    return conv, nn.BatchNorm2d(out_channels, eps=EFFICIENTNET_EPS)


def check_spec(spec: object, *, fits: bool, rule: str) -> None:
    """Refuse a spec with invalid numbers.

    Args:
        spec: The spec.
        fits: Whether it follows the rule.
        rule: The rule, for the error message.

    Raises:
        ModelError: It does not follow the rule.
    """
    if not fits:
        raise ModelError(f"{spec} cannot be built", rule, "Correct the [model] part of the recipe")


def check_batch(x: Tensor, *, channels: int, divisor: int) -> None:
    """Refuse a batch of an invalid shape; skipped during export, where sizes are symbolic.

    Raises:
        ModelError: Height or width is not a multiple of the divisor, or other channels.
    """
    if torch.compiler.is_compiling():
        return
    found, height, width = x.shape[1:]
    if height % divisor or width % divisor or found != channels:
        valid = [max(divisor, -(-side // divisor) * divisor) for side in (height, width)]
        raise ModelError(
            f"a batch of shape {tuple(x.shape)} does not fit the network",
            f"it takes {channels} channels, and height and width must be multiples of {divisor}",
            f"Resize or pad to {valid[0]} x {valid[1]}, or build it for {found} channels",
        )
