"""Whether an image looks like ultrasound at all, by a few figures of its grey values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from suraksha.preprocessing import to_uint8
from suraksha.types import Image

FeatureBounds = Mapping[str, tuple[float, float]]
Grey = NDArray[np.float64]

# longer side of the image that the figures are taken from, in pixels
SIDE = 128
# difference of two channels from which a pixel counts as coloured
COLOURED = 0.15
BRIGHT = 0.85
# second difference below which grey values count as flat
FLAT = 0.004
LAG = 8
# colour flow fills a part of an image, never most of it
MAX_COLOUR = 0.4


def image_features(image: Image) -> dict[str, float]:
    """The figures of an image, by name.

    ``colour``: fraction of coloured pixels. ``brightest``: the 99th percentile. ``contrast``: standard
    deviation. ``white``: fraction of bright pixels. ``along_row``, ``along_col``, ``far_along_row``:
    autocorrelation over 1, 1 and 8 pixels. ``grain``: mean magnitude of the second difference.
    ``flat``: fraction of pixels where it is nearly 0. All of the image at 128 pixels a side.

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
    """(h, w), or of a colour image (h, w, 3), in 0..1; longer side 128, no side below 16."""
    pil_image = PilImage.fromarray(to_uint8(image.pixels, 1 if image.pixels.ndim == 2 else 3))
    scale = SIDE / max(pil_image.size)
    width, height = (max(2 * LAG, round(side * scale)) for side in pil_image.size)
    small = np.asarray(pil_image.resize((width, height), PilImage.Resampling.BOX))
    return small / 255.0


def _correlation(grey: Grey, shifted: Callable[[Grey], tuple[Grey, Grey]]) -> float:
    away = grey - grey.mean()
    one, other = shifted(away)
    return float((one * other).mean() / (np.square(away).mean() + 1e-9))


def out_of_distribution_reason(image: Image, limits: FeatureBounds) -> str:
    """Why an image is not taken for ultrasound; empty where it is.

    Args:
        image: Any image.
        limits: Least and greatest of each figure that ultrasound has.
    """
    if not limits:
        return ""
    found = image_features(image)
    out = [name for name, (low, high) in limits.items() if not low <= found[name] <= high]
    if not out:
        return ""
    if found["brightest"] < limits["brightest"][0]:
        return "it is black, or nearly so"
    if found["contrast"] < limits["contrast"][0]:
        return "it has hardly any contrast"
    if "colour" in out:
        return "most of it is coloured"
    if "white" in out:
        return "too much of it is white, as in a document or a drawing"
    told = ", ".join(f"{name} {found[name]:.3g}" for name in out)
    return f"its texture is not that of ultrasound ({told})"


def fit_bounds(
    found: list[dict[str, float]], *, margin: float = 0.5
) -> dict[str, tuple[float, float]]:
    """The range of each figure, widened by a fraction of itself to either side.

    Args:
        found: What `image_features` gives, of images that are ultrasound.
        margin: That share.
    """
    limits = {}
    for name in found[0]:
        values = [one[name] for one in found]
        low, high = min(values), max(values)
        room = margin * (high - low)
        limits[name] = (round(low - room, 6), round(high + room, 6))
    low = limits["colour"][0]
    return {**limits, "colour": (low, max(MAX_COLOUR, limits["colour"][1]))}
