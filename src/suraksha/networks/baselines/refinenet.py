"""RefineNet: a residual encoder whose four depths are refined from the coarsest to the finest."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.networks.blocks import check_batch, check_spec

DIVISOR = 32
# layers of the encoder -> its blocks by stage
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
EXPANSION = 4
POOLINGS = 2
DROPOUT = 0.5


@dataclass(frozen=True, slots=True)
class RefineNetSpec:
    """The parameters of a RefineNet.

    Args:
        in_channels: Colour channels of the image.
        width: Channels of the encoder's stem; 64 in the paper, whose refining paths have 256.
        layers: 50 or 101, of the ResNet.

    Raises:
        ModelError: A number below 1, or another depth.
    """

    in_channels: int = 1
    width: int = 64
    layers: int = 101

    def __post_init__(self) -> None:
        fits = min(self.in_channels, self.width) >= 1 and self.layers in BLOCKS
        rule = f"in_channels and width are at least 1, and layers is one of {list(BLOCKS)}"
        check_spec(self, fits=fits, rule=rule)


class ResidualBottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions with batch norm, added to the input.

    Source: He et al. 2016, doi 10.1109/CVPR.2016.90, figure 5; the stride at the 3 x 3.
    """

    def __init__(self, in_channels: int, inner: int, *, stride: int) -> None:
        super().__init__()
        out = inner * EXPANSION
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        same = stride == 1 and in_channels == out
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """A map of four times ``inner`` channels."""
        return F.relu(self.body(x) + self.shortcut(x))


class ResidualConvUnit(nn.Module):
    """RCU: ReLU and 3 x 3 convolution twice, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        out: Tensor = self.second(F.relu(self.first(F.relu(x))))
        return x + out


class ChainedResidualPooling(nn.Module):
    """CRP: a chain of 5 x 5 poolings, each followed by a convolution; all are summed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(POOLINGS)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        total = path = F.relu(x)
        for conv in self.convs:
            path = conv(F.max_pool2d(path, 5, stride=1, padding=2))
            total = total + path
        return total


class RefineBlock(nn.Module):
    """Two RCUs on each input, multi-resolution fusion (of several inputs), CRP, one RCU."""

    def __init__(self, sources: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.adapt = nn.ModuleList(
            nn.Sequential(ResidualConvUnit(source), ResidualConvUnit(source)) for source in sources
        )
        alone = len(sources) == 1
        self.fuse = nn.ModuleList(
            nn.Identity() if alone else nn.Conv2d(source, channels, 3, padding=1)
            for source in sources
        )
        self.pool = ChainedResidualPooling(channels)
        self.out = ResidualConvUnit(channels)

    def forward(self, *maps: Tensor) -> Tensor:
        """A map of the first one's size, which is the largest."""
        size = maps[0].shape[2:]
        fused = [conv(adapt(x)) for conv, adapt, x in zip(self.fuse, self.adapt, maps, strict=True)]
        total = fused[0]
        for x in fused[1:]:
            total = total + F.interpolate(x, size=size, mode="bilinear")
        refined: Tensor = self.out(self.pool(total))
        return refined


class RefineNet(nn.Module):
    """Four cascaded blocks: (N, C, H, W) -> logits (N, 1, H, W); H and W must be multiples of 32.

    Source: Lin et al. 2017, doi 10.1109/CVPR.2017.549.
    """

    def __init__(self, spec: RefineNetSpec) -> None:
        super().__init__()
        self.spec = spec
        width, source = spec.width, spec.width
        self.stem = nn.Sequential(
            nn.Conv2d(spec.in_channels, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.encoder = nn.ModuleList()
        for stage, blocks in enumerate(BLOCKS[spec.layers]):
            inner, parts = width * 2**stage, []
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                parts.append(ResidualBottleneck(source, inner, stride=stride))
                source = inner * EXPANSION
            self.encoder.append(nn.Sequential(*parts))
        # from the coarsest; the coarsest path is twice as wide as the others
        wide = [8 * width, *[4 * width] * 3]
        encoded = [EXPANSION * width * 2**stage for stage in (3, 2, 1, 0)]
        self.reduce = nn.ModuleList(
            nn.Conv2d(own, target, 3, padding=1, bias=False)
            for own, target in zip(encoded, wide, strict=True)
        )
        below = [(), *((channels,) for channels in wide[:-1])]
        self.refine = nn.ModuleList(
            RefineBlock((own, *coarser), own) for own, coarser in zip(wide, below, strict=True)
        )
        self.head = nn.Sequential(
            ResidualConvUnit(wide[-1]),
            ResidualConvUnit(wide[-1]),
            nn.Dropout(DROPOUT),
            nn.Conv2d(wide[-1], 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ModelError: Height or width is not a multiple of 32, or other channels.
        """
        check_batch(x, channels=self.spec.in_channels, divisor=DIVISOR)
        x = self.stem(x)
        encoded = []
        for encode in self.encoder:
            x = encode(x)
            encoded.append(x)
        refined: tuple[Tensor, ...] = ()
        for reduce, refine in zip(self.reduce, self.refine, strict=True):
            refined = (refine(reduce(encoded.pop()), *refined),)
        return F.interpolate(self.head(refined[0]), scale_factor=4.0, mode="bilinear")
