"""Modern reference networks from MONAI, with the interface of the zoo."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.networks.nets.segresnet import SegResNet as MonaiSegResNet
from monai.networks.nets.swin_unetr import SwinUNETR as MonaiSwinUNETR
from torch import Tensor, nn

from suraksha.networks.blocks import check_batch, check_spec

SEGRESNET_DIVISOR = 8
# its deepest level, at 1/32 of the size, has instance norm, which needs two pixels
SWIN_DIVISOR = 64
# the first stage has three heads, and MONAI requires multiples of 12
SWIN_WIDTH_MULTIPLE = 12


@dataclass(frozen=True, slots=True)
class SegResNetSpec:
    """The parameters of a SegResNet.

    Args:
        in_channels: Colour channels of the image.
        width: Channels at full resolution, a multiple of 8 (the groups of its norm).

    Raises:
        ModelError: A number below 1, or a width that is not a multiple of 8.
    """

    in_channels: int = 1
    width: int = 32

    def __post_init__(self) -> None:
        fits = min(self.in_channels, self.width) >= 1 and self.width % 8 == 0
        rule = "in_channels is at least 1 and width is a multiple of 8, at least 8"
        check_spec(self, fits=fits, rule=rule)


class _MonaiNetwork(nn.Module):
    """A network of MONAI with the zoo's checks."""

    spec: SegResNetSpec | SwinUNETRSpec
    network: nn.Module
    divisor: int

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ModelError: Height or width is not a multiple of the divisor, or other channels.
        """
        check_batch(x, channels=self.spec.in_channels, divisor=self.divisor)
        logits: Tensor = self.network(x)
        return logits


class SegResNet(_MonaiNetwork):
    """A residual encoder and a small decoder: (N, C, H, W) -> logits (N, 1, H, W).

    H and W must be multiples of 8. Source: Myronenko 2018, doi 10.1007/978-3-030-11726-9_28,
    without the autoencoder's branch; the code is MONAI's, in two dimensions.
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
    """The parameters of a Swin UNETR.

    Args:
        in_channels: Colour channels of the image.
        width: Channels of its first stage, a multiple of 12.

    Raises:
        ModelError: A number below 1, or a width that is not a multiple of 12.
    """

    in_channels: int = 1
    width: int = 24

    def __post_init__(self) -> None:
        fits = min(self.in_channels, self.width) >= 1 and self.width % SWIN_WIDTH_MULTIPLE == 0
        rule = "in_channels is at least 1 and width is a multiple of 12, at least 12"
        check_spec(self, fits=fits, rule=rule)


def _any_size(shape: object) -> None:
    """Replaces MONAI's check of sizes, which cannot be exported; `check_batch` comes before it."""


class SwinUNETR(_MonaiNetwork):
    """An encoder of shifted windows and a convolutional decoder: (N, C, H, W) -> (N, 1, H, W).

    H and W must be multiples of 64. Source: Hatamizadeh et al. 2022, doi
    10.1007/978-3-031-08999-2_22; the code is MONAI's, in two dimensions. Its windows depend on the
    input size, so that an export takes images of one size.
    """

    divisor = SWIN_DIVISOR
    one_size = True

    def __init__(self, spec: SwinUNETRSpec) -> None:
        super().__init__()
        self.spec = spec
        device = torch.get_default_device()
        with torch.device(
            "cpu"
        ):  # MONAI reads values of a tensor, which the meta device does not have
            network = MonaiSwinUNETR(spec.in_channels, 1, feature_size=spec.width, spatial_dims=2)
        network._check_input_size = _any_size
        self.network = network.to(device)
