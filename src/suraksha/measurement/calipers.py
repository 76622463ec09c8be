"""Caliper diameters of a contour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from suraksha.types import Point

TIE = 1e-9  # lengths that differ by less than this fraction are equal


@dataclass(frozen=True, slots=True)
class Calipers:
    """The two caliper diameters of a shape, in the unit of its points.

    Args:
        long_axis: Maximum caliper diameter.
        short_axis: Caliper width perpendicular to the long axis.
        long_axis_ends: The two (row, col) end points of the long axis, both on the contour.
        short_axis_ends: The two (row, col) end points of a segment of length ``short_axis`` that is
            perpendicular to the long axis, placed where the shape is widest.
    """

    long_axis: float
    short_axis: float
    long_axis_ends: tuple[Point, Point]
    short_axis_ends: tuple[Point, Point]


def hull(contour: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners of the convex hull of a contour (Quickhull, doi:10.1145/235815.235821).

    The contour of `midpoints` always has an area: that of a single pixel is a diamond.

    Args:
        contour: (n, 2) float points, not all on one line.

    Returns:
        (h, 2) float corners in order, starting with the smallest (row, col).
    """
    corners = contour[ConvexHull(contour).vertices]
    first = np.lexsort((corners[:, 1], corners[:, 0]))[0]
    return np.roll(corners, -first, axis=0)


def calipers(corners: NDArray[np.float64]) -> Calipers:
    """The maximum caliper diameter of a convex polygon and the width perpendicular to it.

    The maximum distance between two parallel lines that enclose a convex shape equals the maximum
    distance between two of its corners (Preparata and Shamos 1985,
    doi:10.1007/978-1-4612-1098-6). The hull of a mask has few corners, so all pairs are compared.
    If several long axes have the same length, as in a square, the one with the maximum
    perpendicular width is used, so that rotating or flipping the image changes neither value.

    The contour is unbiased, but a maximum selects the points where it is too far out: both
    diameters of discs and ellipses are 0.4 to 0.9 px too long on average, independent of their
    size. This is not corrected.

    Args:
        corners: (h, 2) float, the corners of a convex polygon.

    Returns:
        Both diameters and their end points.
    """
    first, second = np.triu_indices(len(corners), 1)
    spans = corners[second] - corners[first]
    lengths = np.hypot(spans[:, 0], spans[:, 1])
    longest = np.flatnonzero(lengths >= lengths.max() * (1 - TIE))
    units = spans[longest] / lengths[longest, None]
    normals = np.stack([-units[:, 1], units[:, 0]], axis=1)
    widths = np.ptp(corners @ normals.T, axis=0)
    best = int(np.argmax(widths >= widths.max() * (1 - TIE)))
    pair = longest[best]
    ends = sorted([_point(corners[first[pair]]), _point(corners[second[pair]])])
    return Calipers(
        long_axis=float(lengths[pair]),
        short_axis=float(widths[best]),
        long_axis_ends=(ends[0], ends[1]),
        short_axis_ends=_short_ends(corners, units[best], normals[best]),
    )


def _short_ends(
    corners: NDArray[np.float64], unit: NDArray[np.float64], normal: NDArray[np.float64]
) -> tuple[Point, Point]:
    """End points of the short axis, halfway between the points where its calipers touch."""
    along, across = corners @ unit, corners @ normal
    low, high = float(across.min()), float(across.max())
    tolerance = TIE * (high - low)
    touch_low = along[across <= low + tolerance]
    touch_high = along[across >= high - tolerance]
    middle = (touch_low.min() + touch_low.max() + touch_high.min() + touch_high.max()) / 4
    ends = sorted([_point(middle * unit + low * normal), _point(middle * unit + high * normal)])
    return ends[0], ends[1]


def _point(values: NDArray[np.float64]) -> Point:
    return float(values[0]), float(values[1])
