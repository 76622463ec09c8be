"""The 13 convolutions of VGG-16, the encoder of SegNet and FCN."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from suraksha.networks.blocks import check_spec

# channels as multiples of the width, and convolutions, of the five stages; a pooling ends each
STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
DIVISOR = 2 ** len(STAGES)


@dataclass(frozen=True, slots=True)
class VGGSpec:
    """The parameters of a network with a VGG-16 encoder.

    Source: Simonyan and Zisserman 2015, arXiv 1409.1556, column D.

    Args:
        in_channels: Colour channels of the image.
        width: Channels of the first stage; the others are 2, 4, 8 and 8 times as wide.

    Raises:
        ModelError: A number below 1.
    """

    in_channels: int = 1
    width: int = 64

    def __post_init__(self) -> None:
        fits = min(self.in_channels, self.width) >= 1
        check_spec(self, fits=fits, rule="in_channels and width are at least 1")


def conv_stack(channels: tuple[int, ...]) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU, from each number of channels to the next."""
    parts: list[nn.Module] = []
    for source, target in pairwise(channels):
        parts += [
            nn.Conv2d(source, target, 3, padding=1, bias=False),
            nn.BatchNorm2d(target),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*parts)


def vgg_encoder(spec: VGGSpec) -> nn.ModuleList:
    """The five stages, without their poolings."""
    return nn.ModuleList(conv_stack(channels) for channels in stage_channels(spec))


def stage_channels(spec: VGGSpec) -> list[tuple[int, ...]]:
    """For each stage, the channels of its input and of each of its convolutions."""
    found, source = [], spec.in_channels
    for factor, convolutions in STAGES:
        own = spec.width * factor
        found.append((source, *[own] * convolutions))
        source = own
    return found
