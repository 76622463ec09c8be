"""A network drawn from its spec: the pipeline and its blocks, as the paper's Figures 2 and 3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from suraksha.files import keep_matplotlib_out_of_home
from suraksha.networks.suraksha import LEVELS, SurakshaSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "data": "#eeeeee",
    "encoder": "#9ecae1",
    "bottleneck": "#fdae6b",
    "decoder": "#a1d99b",
    "attention": "#fc9272",
}
Place = tuple[float, float]
BOX = (2.5, 0.82)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, size in inches."""
    keep_matplotlib_out_of_home()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def draw_network(spec: SurakshaSpec, path: Path, *, size: int = 256) -> None:
    """Draw the pipeline and the blocks of a SURAKSHA network.

    Args:
        spec: What to draw; parts that it disables are left out.
        path: A PNG, SVG or PDF file.
        size: Side of the input in pixels, for the sizes in the boxes.
    """
    figure = new_figure(13, 11)
    pipeline, blocks = figure.subplots(2, 1, height_ratios=(5, 4))
    _pipeline(pipeline, spec, size)
    _blocks(blocks, spec)
    for axes in (pipeline, blocks):
        axes.set_axis_off()
        axes.autoscale_view()
    figure.savefig(path, dpi=110)


def _box(axes: Axes, at: Place, text: str, kind: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    width, height = BOX
    corner = (at[0] - width / 2, at[1] - height / 2)
    style = "round,pad=0.02,rounding_size=0.1"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, fc=COLOURS[kind], ec="#333333")
    )
    axes.text(*at, text, ha="center", va="center", fontsize=9)


def _arrow(axes: Axes, start: Place, end: Place, *, dashed: bool = False) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "linestyle": "--" if dashed else "-", "color": "#333333"},
    )


def _pipeline(axes: Axes, spec: SurakshaSpec, size: int) -> None:
    half = BOX[1] / 2
    left, middle, right = 0.0, 4.2, 8.4
    axes.set_title(f"Pipeline, width {spec.width}, input {size} x {size} x {spec.in_channels}")
    _box(axes, (left, LEVELS + 1.3), f"image\n{size} x {size} x {spec.in_channels}", "data")
    _arrow(axes, (left, LEVELS + 1.3 - half), (left, LEVELS + half))
    for level in range(LEVELS):
        y, side, channels = LEVELS - level, size // 2**level, spec.channels[level]
        shape = f"{side} x {side} x {channels}"
        _box(axes, (left, y), f"encoder block {level + 1}\n{shape}, then pool", "encoder")
        _box(axes, (right, y), f"decoder block {level + 1}\n{shape}", "decoder")
        gate = "attention gate" if spec.skip_attention else "skip"
        _box(axes, (middle, y), gate, "attention" if spec.skip_attention else "data")
        _arrow(axes, (left + BOX[0] / 2, y), (middle - BOX[0] / 2, y))
        _arrow(axes, (middle + BOX[0] / 2, y + 0.15), (right - BOX[0] / 2, y + 0.15))
        if y > 1:
            _arrow(axes, (left, y - half), (left, y - 1 + half))
        if spec.skip_attention:
            query = y - 0.2
            _arrow(axes, (right - BOX[0] / 2, query), (middle + BOX[0] / 2, query), dashed=True)
        _arrow(axes, (right, y - 1 + half if y > 1 else 0), (right, y - half))
    low = size // 2**LEVELS
    tokens = "attention over all pixels\n" if spec.bottleneck_attention else ""
    text = f"bottleneck\n{tokens}{low} x {low} x {spec.channels[-1]}"
    _box(axes, (middle, 0), text, "bottleneck")
    axes.plot((left, left), (1 - half, 0), color="#333333", linewidth=1)
    _arrow(axes, (left, 0), (middle - BOX[0] / 2, 0))
    axes.plot((middle + BOX[0] / 2, right), (0, 0), color="#333333", linewidth=1)
    _box(axes, (right, LEVELS + 1.3), f"1 x 1 convolution, sigmoid\n{size} x {size} x 1", "data")
    _arrow(axes, (right, LEVELS + half), (right, LEVELS + 1.3 - half))


def _chain(axes: Axes, title: str, steps: list[tuple[str, str]], y: float) -> None:
    axes.text(-1.25, y + 0.62, title, fontsize=10, weight="bold")
    for number, (text, kind) in enumerate(steps):
        x = number * (BOX[0] + 0.5)
        _box(axes, (x, y), text, kind)
        if number:
            _arrow(axes, (x - BOX[0] / 2 - 0.5, y), (x - BOX[0] / 2, y))


def _blocks(axes: Axes, spec: SurakshaSpec) -> None:
    conv = "3 x 3 convolution\nbatch norm, ReLU"
    encoder = [(conv, "encoder"), (conv, "encoder"), ("2 x 2 max pool", "encoder")]
    _chain(axes, "Encoder block (the skip leaves before the pool)", encoder, 6)
    bottleneck = [(conv, "bottleneck"), (conv, "bottleneck")]
    if spec.bottleneck_attention:
        bottleneck.append(("3 x 3 depth-wise\nposition, added", "attention"))
        bottleneck.append((f"{spec.heads}-head attention\nall pixels, added", "attention"))
    _chain(axes, "Bottleneck", bottleneck, 4)
    up = [("2 x 2 up-convolution", "decoder")]
    if spec.skip_attention:
        up.append(("skip x gate(skip, up)", "attention"))
    joined = [("concatenate", "decoder"), (conv, "decoder"), (conv, "decoder")]
    _chain(axes, "Decoder block", up + joined, 2)
    if spec.skip_attention:
        gate = [
            ("1 x 1 conv, norm of\nskip and of up, summed", "attention"),
            ("ReLU", "attention"),
            ("1 x 1 conv to 1, norm", "attention"),
            ("sigmoid: one weight\nper pixel", "attention"),
        ]
        _chain(axes, "Attention gate", gate, 0)
