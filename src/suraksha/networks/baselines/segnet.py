"""SegNet: a VGG-16 encoder, and a decoder that unpools with the encoder's indices."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.networks.baselines.vgg import (
    DIVISOR,
    VGGSpec,
    conv_stack,
    stage_channels,
    vgg_encoder,
)
from suraksha.networks.blocks import check_batch


class SegNet(nn.Module):
    """Pooling with indices: (N, C, H, W) -> logits (N, 1, H, W); H and W must be multiples of 32.

    Source: Badrinarayanan et al. 2017, doi 10.1109/TPAMI.2016.2644615.
    """

    def __init__(self, spec: VGGSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = vgg_encoder(spec)
        mirrored = [tuple(reversed(channels)) for channels in reversed(stage_channels(spec))]
        # the last convolution of all is the classifier
        mirrored[-1] = mirrored[-1][:-1]
        self.decoder = nn.ModuleList(conv_stack(channels) for channels in mirrored)
        self.head = nn.Conv2d(spec.width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ModelError: Height or width is not a multiple of 32, or other channels.
        """
        check_batch(x, channels=self.spec.in_channels, divisor=DIVISOR)
        places = []
        for encode in self.encoder:
            x, indices = F.max_pool2d(encode(x), 2, return_indices=True)
            places.append(indices)
        for decode in self.decoder:
            x = decode(unpool(x, places.pop()))
        logits: Tensor = self.head(x)
        return logits


def unpool(x: Tensor, indices: Tensor) -> Tensor:
    """Max unpooling: each value at the index of its maximum, 0 elsewhere; twice the size.

    Args:
        x: (N, C, H, W).
        indices: (N, C, H, W), of a 2 x 2 max pooling.
    """
    count, channels, height, width = x.shape
    empty = x.new_zeros(count, channels, 4 * height * width)
    filled = empty.scatter(2, indices.flatten(2), x.flatten(2))
    return filled.view(count, channels, 2 * height, 2 * width)
