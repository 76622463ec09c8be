"""The parts that networks are built from. All tensors are (N, C, H, W) float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DoubleConv(nn.Sequential):
    """Twice 3 x 3 convolution, batch norm, ReLU; the size stays.

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
    """Weighs every place of a skip connection by what the decoder is looking for.

    ``weight = sigmoid(norm(psi(relu(norm(W_x skip) + norm(W_g query)))))``, one weight a place.
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


class GlobalAttention(nn.Module):
    """Scaled dot-product self-attention over all places of a map, added to the map.

    Source: Vaswani et al. 2017, "Attention is all you need", arXiv 1706.03762, section 3.2.
    Position comes from a depth-wise 3 x 3 convolution (Chu et al. 2021, arXiv 2102.10882), so that
    any size is allowed; layer norm before the attention (Xiong et al. 2020, arXiv 2002.04745).
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape: each place plus what it took from all others."""
        placed = x + self.position(x)
        query, key, value = self._heads(placed)
        seen = F.scaled_dot_product_attention(query, key, value)
        seen = seen.transpose(2, 3).reshape(x.shape)
        attended: Tensor = placed + self.out(seen)
        return attended

    def weights(self, x: Tensor) -> Tensor:
        """How much each place is looked at, mean over heads and lookers, (N, 1, H, W), sum 1."""
        query, key, _ = self._heads(x + self.position(x))
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        looked_at: Tensor = scores.softmax(dim=-1).mean(dim=(1, 2))
        return looked_at.reshape(x.shape[0], 1, *x.shape[2:])

    def _heads(self, placed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, each (N, heads, H * W, channels / heads)."""
        split: Tensor = self.to_qkv(self.norm(placed)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = split.transpose(3, 4).unbind(1)
        return query, key, value
