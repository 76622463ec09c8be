"""Distances between the boundaries of two masks.

The boundary of a mask is the set of its pixels that have a background pixel at one of the four
sides; outside the image is background. Distances are between pixel centres, in pixels or in mm.
If both masks are empty, the scores are NaN. If exactly one is empty, no distance exists, and each
score has its worst value, as Metrics Reloaded recommends for missing values
(doi:10.1038/s41592-023-02151-z): NSD 0, and HD95 the diagonal of the image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from suraksha.errors import UsageError
from suraksha.metrics.overlap import check_pair
from suraksha.types import Spacing

TOLERANCE_PX = 2.0
PERCENTILE = 95.0

Distances = tuple[NDArray[np.float64], NDArray[np.float64]]


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(n, 2) row and column indices of the boundary pixels of an (H, W) bool mask."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return np.empty((0, 2), dtype=np.intp)
    box = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    edge: NDArray[np.bool_] = box & ~binary_erosion(box)
    return np.add(np.argwhere(edge), [rows[0], cols[0]])


def surface_distances(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], *, spacing: Spacing | None = None
) -> Distances:
    """Distances from each boundary pixel of one mask to the other boundary, in both directions.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.
        spacing: Size of a pixel; with it, distances are in mm, else in pixels.

    Returns:
        (n,) from the boundary of the prediction and (m,) from that of the truth. An empty mask has
        an empty boundary, and every distance to it is infinite.

    Raises:
        InputError: The arrays are not two bool masks of the same shape.
    """
    check_pair(prediction, truth)
    scale = np.array([1.0, 1.0] if spacing is None else [spacing.row_mm, spacing.col_mm])
    ours, theirs = boundary(prediction) * scale, boundary(truth) * scale
    return _nearest(ours, theirs), _nearest(theirs, ours)


def _nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(points) == 0 or len(others) == 0:
        return np.full(len(points), np.inf)
    return np.asarray(KDTree(others).query(points)[0], dtype=np.float64)


def hd95(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], *, spacing: Spacing | None = None
) -> float:
    """The 95th percentile Hausdorff distance (Huttenlocher 1993, doi:10.1109/34.232073).

    The 95th percentile (linear between ranks) of the distances in each direction, and the maximum
    of the two, as in MONAI.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.
        spacing: Size of a pixel; with it, the result is in mm, else in pixels.

    Returns:
        At least 0; NaN if both masks are empty, the diagonal of the image if one is.

    Raises:
        InputError: The arrays are not two bool masks of the same shape.
    """
    distances = surface_distances(prediction, truth, spacing=spacing)
    return hd95_of(distances, diagonal(truth.shape, spacing))


def nsd(
    prediction: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    *,
    tolerance: float = TOLERANCE_PX,
    spacing: Spacing | None = None,
) -> float:
    """The normalised surface distance, or surface Dice (Nikolov et al. 2021, doi:10.2196/26151).

    The fraction of the boundary pixels of both masks that are within ``tolerance`` of the other
    boundary. Boundary pixels are counted, not weighted by their length.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.
        tolerance: At least 0; in mm with a spacing, else in pixels.
        spacing: Size of a pixel.

    Returns:
        0..1; NaN if both masks are empty, 0 if one is.

    Raises:
        InputError: The arrays are not two bool masks of the same shape.
        UsageError: The tolerance is negative or not finite.
    """
    return nsd_of(surface_distances(prediction, truth, spacing=spacing), tolerance)


def diagonal(shape: tuple[int, ...], spacing: Spacing | None = None) -> float:
    """The diagonal of an image of (rows, columns), in pixels, or in mm with a spacing."""
    row, col = (1.0, 1.0) if spacing is None else (spacing.row_mm, spacing.col_mm)
    return math.hypot(shape[0] * row, shape[1] * col)


def hd95_of(distances: Distances, worst: float) -> float:
    """HD95 from the distances of `surface_distances`; ``worst`` if exactly one mask is empty."""
    sizes = [len(distances[0]), len(distances[1])]
    if max(sizes) == 0:
        return math.nan
    if min(sizes) == 0:
        return worst
    return max(float(np.percentile(directed, PERCENTILE)) for directed in distances)


def nsd_of(distances: Distances, tolerance: float) -> float:
    """NSD from the distances of `surface_distances`.

    Raises:
        UsageError: The tolerance is negative or not finite.
    """
    if not 0 <= tolerance < math.inf:
        raise UsageError(
            f"an NSD tolerance of {tolerance} is out of range",
            "it is the maximum distance that counts as agreement",
            "Give a finite number that is at least 0, for example 2.0",
        )
    both = np.concatenate(distances)
    return float(np.mean(both <= tolerance)) if len(both) else math.nan
