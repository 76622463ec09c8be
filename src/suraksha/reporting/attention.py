"""Attention maps of a network, drawn over the image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from suraksha.preprocessing import resize_probability, to_uint8
from suraksha.types import Image

# from dark blue (low) over red to yellow (high), at even steps
COLOURS = np.array(((10, 10, 60), (110, 20, 110), (210, 50, 60), (250, 150, 30), (255, 250, 140)))
# maximum width of a panel, and height of the title above it
PANEL_PX, TITLE_PX = 420, 22
OPACITY = 0.6
NOTICE = "Research use only. Yellow: more weight, blue: less."
# How a panel is titled, by the name of the map.
TITLES = {
    "skip4": "attention, coarse (skip 4)",
    "skip3": "attention (skip 3)",
    "skip2": "attention (skip 2)",
    "skip1": "attention, fine (skip 1)",
    "bottleneck": "attention, whole image (bottleneck)",
}


def heat(image: Image, weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw a map over an image, from blue (minimum of the map) to yellow (maximum).

    Args:
        image: The image.
        weights: (h, w) of any size and range; resized to the image and scaled to 0..1.

    Returns:
        (H, W, 3) uint8.
    """
    span = float(np.ptp(weights))
    unit = (weights - weights.min()) / span if span else np.zeros_like(weights)
    spread = resize_probability(unit.astype(np.float32), image.shape)
    places = np.linspace(0.0, 1.0, len(COLOURS))
    colour = np.stack([np.interp(spread, places, COLOURS[:, n]) for n in range(3)], axis=2)
    mixed = (1 - OPACITY) * to_uint8(image.pixels, 3) + OPACITY * colour
    return np.rint(mixed).astype(np.uint8)


def heat_panels(image: Image, maps: Mapping[str, NDArray[np.float32]]) -> NDArray[np.uint8]:
    """The image, or its largest scan, and each map drawn over it, side by side with titles.

    Args:
        image: The image.
        maps: (h, w) weights by name, as `Segmenter.explain` returns them.

    Returns:
        (h, w, 3) uint8 RGB; each panel has the aspect ratio of the image and at most 420 columns.
    """
    image = image.cut(image.scans[0])
    panels = {"image": to_uint8(image.pixels, 3)}
    for name, weights in maps.items():
        title = f"{TITLES.get(name, name)}: {weights.min():.2g} to {weights.max():.2g}"
        panels[title] = heat(image, weights)
    cols = min(PANEL_PX, image.shape[1])
    rows = max(1, round(image.shape[0] * cols / image.shape[1]))
    canvas = PilImage.new("RGB", (cols * len(panels), rows + 2 * TITLE_PX))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for place, (title, pixels) in enumerate(panels.items()):
        canvas.paste(PilImage.fromarray(pixels).resize((cols, rows)), (place * cols, TITLE_PX))
        pen.text((place * cols + 4, 3), title, fill="white", font=font)
    pen.text((4, rows + TITLE_PX + 3), NOTICE, fill="white", font=font)
    return np.array(canvas)
