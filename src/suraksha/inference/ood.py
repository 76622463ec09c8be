"""Input check: is an image ultrasound at all? By a few features of its grey values.

This is a coarse check for out-of-distribution images: photographs, documents, black frames. A grey
photograph can pass it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from suraksha.preprocessing import to_uint8
from suraksha.types import Image

FeatureBounds = Mapping[str, tuple[float, float]]
Grey = NDArray[np.float64]

# longer side of the reduced image that the features are computed on, in pixels
SIDE = 128
# difference of two channels from which a pixel counts as coloured
COLOURED = 0.15
BRIGHT = 0.85
# second difference below which grey values count as flat
FLAT = 0.004
LAG = 8
# colour Doppler fills a part of an image, never most of it
MAX_COLOUR = 0.4
# what a feature can be at all; bounds beyond it would say nothing
FRACTION, CORRELATION = (0.0, 1.0), (-1.0, 1.0)
RANGES = MappingProxyType(
    {
        **dict.fromkeys(("colour", "brightest", "white", "flat"), FRACTION),
        **dict.fromkeys(("along_row", "along_col", "far_along_row"), CORRELATION),
        "contrast": (0.0, 0.5),
        "grain": (0.0, 8.0),
    }
)


def image_features(image: Image) -> dict[str, float]:
    """The features of an image, by name.

    All are computed on the image reduced to 128 pixels:

    * ``colour``: fraction of coloured pixels.
    * ``brightest``: 99th percentile of the grey values in 0..1.
    * ``contrast``: their standard deviation.
    * ``white``: fraction of bright pixels.
    * ``along_row``, ``along_col``, ``far_along_row``: autocorrelation at 1, 1 and 8 pixels.
    * ``grain``: mean magnitude of the second difference.
    * ``flat``: fraction of pixels where it is nearly 0.

    Args:
        image: Any image.
    """
    colours = _small(image)
    grey = colours if colours.ndim == 2 else colours @ np.array([0.299, 0.587, 0.114])
    coloured = 0.0 if colours.ndim == 2 else (np.ptp(colours, axis=2) > COLOURED).mean()
    bend = np.abs(
        4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    )
    return {
        "colour": float(coloured),
        "brightest": float(np.percentile(grey, 99)),
        "contrast": float(grey.std()),
        "white": float((grey > BRIGHT).mean()),
        "along_row": _correlation(grey, lambda d: (d[:, 1:], d[:, :-1])),
        "along_col": _correlation(grey, lambda d: (d[1:], d[:-1])),
        "far_along_row": _correlation(grey, lambda d: (d[:, LAG:], d[:, :-LAG])),
        "grain": float(bend.mean()),
        "flat": float((bend < FLAT).mean()),
    }


def _small(image: Image) -> Grey:
    """(h, w), or (h, w, 3) of a colour image, in 0..1; longer side 128, no side below 16."""
    pil_image = PilImage.fromarray(to_uint8(image.pixels, 1 if image.pixels.ndim == 2 else 3))
    scale = SIDE / max(pil_image.size)
    width, height = (max(2 * LAG, round(side * scale)) for side in pil_image.size)
    small = np.asarray(pil_image.resize((width, height), PilImage.Resampling.BOX))
    return small / 255.0


def _correlation(grey: Grey, shifted: Callable[[Grey], tuple[Grey, Grey]]) -> float:
    away = grey - grey.mean()
    one, other = shifted(away)
    # the two means are over different pixels, so the plain estimate can exceed 1
    estimate = float((one * other).mean() / (np.square(away).mean() + 1e-9))
    return min(max(estimate, CORRELATION[0]), CORRELATION[1])


def out_of_distribution_reason(image: Image, bounds: FeatureBounds) -> str:
    """Why an image does not look like ultrasound; empty if it does.

    Args:
        image: Any image.
        bounds: Minimum and maximum of each feature in ultrasound images; empty for no check.
    """
    if not bounds:
        return ""
    found = image_features(image)
    outside = [name for name, (low, high) in bounds.items() if not low <= found[name] <= high]
    if not outside:
        return ""
    if "brightest" in outside and found["brightest"] < bounds["brightest"][0]:
        return "it is black or nearly black"
    if "contrast" in outside and found["contrast"] < bounds["contrast"][0]:
        return "it has almost no contrast"
    if "colour" in outside:
        return "most of it is coloured"
    if "white" in outside:
        return "too much of it is white, as in a document or a drawing"
    values = ", ".join(f"{name} {found[name]:.3g}" for name in outside)
    return f"its texture is not that of ultrasound: {values}"


def fit_bounds(
    found: list[dict[str, float]], *, margin: float = 0.5
) -> dict[str, tuple[float, float]]:
    """The range of each feature, widened by a fraction of itself on either side.

    Args:
        found: The `image_features` of ultrasound images.
        margin: That fraction.
    """
    bounds = {}
    for name in found[0]:
        values = [one[name] for one in found]
        low, high = min(values), max(values)
        extra = margin * (high - low)
        minimum, maximum = RANGES.get(name, (-math.inf, math.inf))
        bounds[name] = (round(max(low - extra, minimum), 6), round(min(high + extra, maximum), 6))
    low, high = bounds["colour"]
    return {**bounds, "colour": (low, max(MAX_COLOUR, high))}
