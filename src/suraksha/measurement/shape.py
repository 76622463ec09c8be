"""Descriptors of the shape of a region."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from suraksha.measurement.calipers import hull
from suraksha.types import Box


def circularity(area: float, perimeter: float) -> float:
    """4 pi area / perimeter^2 (isoperimetric quotient, doi:10.1090/S0002-9904-1978-14553-4).

    Clipped at 1, the maximum of any shape: the estimated perimeter of small discs can be slightly
    too short.

    Args:
        area: Area of the region, above 0.
        perimeter: Length of its contour in the same unit, above 0.

    Returns:
        0..1; 1 for a disc.
    """
    return min(1.0, 4 * math.pi * area / perimeter**2)


def solidity(pixels: NDArray[np.bool_]) -> float:
    """Area divided by the area of the convex hull, both counted in pixels.

    The hull's area is the number of pixels whose centre is inside the convex hull of the region's
    pixel centres, counted with Pick's theorem (doi:10.1080/00029890.1993.11990392). The value is
    exactly 1 for a disc or an ellipse of any size, and never larger. It does not depend on the
    spacing.

    Args:
        pixels: (h, w) bool, one region in its bounding box.

    Returns:
        Above 0, at most 1; lower for holes and concavities.
    """
    area = int(np.count_nonzero(pixels))
    centres = _row_ends(pixels)
    offsets = centres - centres[0]
    if not np.any(offsets[:, 0] * offsets[-1, 1] != offsets[:, 1] * offsets[-1, 0]):
        return 1.0  # connected pixels on one line equal their hull
    corners = np.rint(hull(centres)).astype(np.int64)
    after = np.roll(corners, -1, axis=0)
    twice_area = abs(int(np.sum(corners[:, 0] * after[:, 1] - corners[:, 1] * after[:, 0])))
    steps = np.abs(after - corners)
    on_border = int(np.sum(np.gcd(steps[:, 0], steps[:, 1])))
    return area / ((twice_area + on_border) // 2 + 1)


def taller_than_wide(bbox: Box, scale: tuple[float, float] = (1.0, 1.0)) -> bool:
    """Whether the height (away from the skin) exceeds the width.

    A sign of malignancy (Stavros et al. 1995, doi:10.1148/radiology.196.1.7784555).

    Args:
        bbox: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        scale: Length of a pixel along (rows, columns).
    """
    return (bbox[2] - bbox[0]) * scale[0] > (bbox[3] - bbox[1]) * scale[1]


def _row_ends(pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 2) float indices of the first and last pixel of each row; the hull has no others."""
    rows = np.flatnonzero(pixels.any(axis=1))
    used = pixels[rows]
    first = used.argmax(axis=1)
    last = used.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
    return np.stack([np.tile(rows, 2), np.concatenate([first, last])], axis=1).astype(np.float64)
