"""Modern references, as MONAI builds them, behind the contract of the zoo."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.networks.nets.segresnet import SegResNet as MonaiSegResNet
from monai.networks.nets.swin_unetr import SwinUNETR as MonaiSwinUNETR
from torch import Tensor, nn

from suraksha.networks.blocks import check_batch, check_spec

SEGRESNET_DIVISOR = 8
# the deepest of its levels, at a thirty-second, has instance norms, which need two places
SWIN_DIVISOR = 64
# channels of the narrowest stage are shared out among three heads, and MONAI wants multiples of 12
SWIN_WIDTHS = 12


@dataclass(frozen=True, slots=True)
class SegResNetSpec:
    """What a SegResNet is made of.

    Args:
        in_channels: Colour channels of the image.
        width: Channels at full resolution, a multiple of 8, the groups of its norm.

    Raises:
        ModelError: A number below 1, or a width that 8 does not divide.
    """

    in_channels: int = 1
    width: int = 32

    def __post_init__(self) -> None:
        fits = min(self.in_channels, self.width) >= 1 and self.width % 8 == 0
        rule = "in_channels is at least 1 and width is a multiple of 8, at least 8"
        check_spec(self, fits=fits, rule=rule)


class _OfMonai(nn.Module):
    """A network of MONAI behind the zoo's checks."""

    spec: SegResNetSpec | SwinUNETRSpec
    network: nn.Module
    divisor: int

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ModelError: The divisor does not divide the height or the width, or other channels.
        """
        check_batch(x, channels=self.spec.in_channels, divisor=self.divisor)
        logits: Tensor = self.network(x)
        return logits


class SegResNet(_OfMonai):
    """A residual encoder and a small decoder: (N, C, H, W) -> logits (N, 1, H, W).

    8 divides H and W. Source: Myronenko 2018, doi 10.1007/978-3-030-11726-9_28, without the
    autoencoder's branch; the code is MONAI's, in two dimensions.
    """

    divisor = SEGRESNET_DIVISOR

    def __init__(self, spec: SegResNetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.network = MonaiSegResNet(
            spatial_dims=2, init_filters=spec.width, in_channels=spec.in_channels, out_channels=1
        )


@dataclass(frozen=True, slots=True)
class SwinUNETRSpec:
    """What a Swin UNETR is made of.

    Args:
        in_channels: Colour channels of the image.
        width: Channels of its first stage, a multiple of 12.

    Raises:
        ModelError: A number below 1, or a width that 12 does not divide.
    """

    in_channels: int = 1
    width: int = 24

    def __post_init__(self) -> None:
        fits = min(self.in_channels, self.width) >= 1 and self.width % SWIN_WIDTHS == 0
        rule = "in_channels is at least 1 and width is a multiple of 12, at least 12"
        check_spec(self, fits=fits, rule=rule)


def _any_size(shape: object) -> None:
    """In the place of MONAI's check of sizes, which cannot be exported; ours stands before it."""


class SwinUNETR(_OfMonai):
    """An encoder of shifted windows and a convolutional decoder: (N, C, H, W) -> (N, 1, H, W).

    64 divides H and W. Source: Hatamizadeh et al. 2022, doi 10.1007/978-3-031-08999-2_22; the code
    is MONAI's, in two dimensions. Where its windows lie depends on the size, so that an export
    takes images of one size.
    """

    divisor = SWIN_DIVISOR
    one_size = True

    def __init__(self, spec: SwinUNETRSpec) -> None:
        super().__init__()
        self.spec = spec
        device = torch.get_default_device()
        with torch.device("cpu"):  # MONAI reads numbers off a tensor, which meta cannot give
            network = MonaiSwinUNETR(spec.in_channels, 1, feature_size=spec.width, spatial_dims=2)
        network._check_input_size = _any_size
        self.network = network.to(device)
