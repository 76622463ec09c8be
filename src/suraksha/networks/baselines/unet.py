"""U-Net and Attention U-Net: `suraksha.networks.suraksha` without the parts that it added."""

from __future__ import annotations

from dataclasses import dataclass

from suraksha.networks.suraksha import SurakshaSpec


@dataclass(frozen=True, slots=True)
class UNetSpec(SurakshaSpec):
    """A U-Net: 64 channels in the first block, plain skips.

    Source: Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28; with batch norm, and padded
    so that the mask has the image's size.
    """

    width: int = 64
    skip_attention: bool = False
    bottleneck_attention: bool = False


@dataclass(frozen=True, slots=True)
class AttentionUNetSpec(UNetSpec):
    """A U-Net with an attention gate on every skip.

    Source: Oktay et al. 2018, arXiv 1804.03999.
    """

    skip_attention: bool = True
