"""The outer contour of a region and its length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Pixel edges to either side that define the local direction of the contour.
REACH = 5


def outer_corners(pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The pixel corners along the outer border of a region, in order, clockwise on the screen.

    Follows the pixel edges between region and background (Rosenfeld 1970,
    doi:10.1145/321556.321570); pixels that share a corner are connected. Holes are ignored. Outside
    the array is background.

    Args:
        pixels: (h, w) bool, one 8-connected region.

    Returns:
        (n, 2) float (row, col) coordinates, one pixel edge apart, the last and first too.
    """
    padded = np.pad(pixels, 1)
    width = padded.shape[1]
    inside = padded.tobytes()
    # East, south, west, north. Corner v is the upper left corner of padded pixel v.
    step = (1, width, -1, -width)
    ahead_left = (-width, 0, -1, -width - 1)
    ahead_right = (0, -1, -width - 1, -width)
    start = corner = inside.index(1)
    direction = 0
    visited: list[int] = []
    while True:
        visited.append(corner)
        corner += step[direction]
        if inside[corner + ahead_left[direction]]:
            direction = (direction + 3) % 4
        elif not inside[corner + ahead_right[direction]]:
            direction = (direction + 1) % 4
        if corner == start and direction == 0:
            break
    rows, cols = np.divmod(np.array(visited), width)
    return np.stack([rows, cols], axis=1) - 1.0


def midpoints(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The contour at level 0.5: the closed polygon through the centres of the pixel edges.

    This is the result of marching squares (Lorensen and Cline 1987, doi:10.1145/37401.37422) at
    level 0.5 on a mask. It runs between the last pixel inside and the first outside, so it is
    unbiased.

    Args:
        corners: (n, 2), from `outer_corners`.

    Returns:
        (n + 1, 2) float (row, col) coordinates, first == last.
    """
    middle = (corners + np.roll(corners, -1, axis=0)) / 2
    return np.concatenate([middle, middle[:1]])


def perimeter(corners: NDArray[np.float64], scale: tuple[float, float] = (1.0, 1.0)) -> float:
    """The length of the outer contour, by integration of its tangent.

    Each pixel edge contributes its projection on the local direction of the contour, which is the
    chord over `REACH` edges to either side (gradient-based length, Coeurjolly and Klette 2004,
    doi:10.1109/TPAMI.2004.1262194). The polygon of `midpoints` is 5 % too long; this estimate is
    within 1.5 % on discs and ellipses of radius 10 px and more, at every angle, and -0.2 % on
    average. Edges and chords are scaled first, so pixels need not be square.

    Args:
        corners: (n, 2), from `outer_corners`.
        scale: Length of a pixel along (rows, columns).

    Returns:
        The length in the unit of ``scale``, above 0.
    """
    plane = corners * np.asarray(scale)
    edges = np.roll(plane, -1, axis=0) - plane
    middle = plane + edges / 2
    reach = max(1, min(REACH, len(plane) // 8))
    chords = np.roll(middle, -reach, axis=0) - np.roll(middle, reach, axis=0)
    lengths = np.hypot(chords[:, 0], chords[:, 1])
    along = np.einsum("ij,ij->i", edges, chords)
    return float(np.sum(along / np.where(lengths > 0, lengths, 1.0)))
