"""Distances between the boundaries of two masks.

The boundary of a mask is its set of pixels with a background pixel at one of the four sides; what
lies outside the image is background. Distances run between pixel centres, in pixels or in mm.
Where both masks are empty the scores are NaN. Where exactly one is empty no distance exists, and
each score takes its worst value, as Metrics Reloaded advises for missing values
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
    """From each boundary pixel of one mask the distance to the nearest of the other, both ways.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.
        spacing: Size of a pixel; distances are in mm where it is given, else in pixels.

    Returns:
        (n,) from the prediction's boundary and (m,) from the truth's. A mask without pixels has an
        empty boundary, and every distance to it is infinite.

    Raises:
        InputError: Not two bool masks of one shape.
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

    The 95th percentile (linear between ranks) of the distances from each boundary to the other,
    and of the two the greater: MONAI's definition.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.
        spacing: Size of a pixel; the answer is in mm where it is given, else in pixels.

    Returns:
        At least 0. Both masks empty: NaN. One empty: the diagonal of the image.

    Raises:
        InputError: Not two bool masks of one shape.
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

    The fraction of the boundary pixels of both masks that lie within ``tolerance`` of the other
    boundary. Boundary pixels are counted, not weighed by their length.

    Args:
        prediction: (H, W) bool.
        truth: (H, W) bool.
        tolerance: At least 0; in mm where a spacing is given, else in pixels.
        spacing: Size of a pixel.

    Returns:
        0..1. Both masks empty: NaN. One empty: 0.

    Raises:
        InputError: Not two bool masks of one shape.
        UsageError: A tolerance that is negative or not finite.
    """
    return nsd_of(surface_distances(prediction, truth, spacing=spacing), tolerance)


def diagonal(shape: tuple[int, ...], spacing: Spacing | None = None) -> float:
    """The diagonal of an image of (rows, columns), in pixels, or in mm with a spacing."""
    row, col = (1.0, 1.0) if spacing is None else (spacing.row_mm, spacing.col_mm)
    return math.hypot(shape[0] * row, shape[1] * col)


def hd95_of(distances: Distances, worst: float) -> float:
    """HD95 of distances that `surface_distances` gave; ``worst`` where exactly one is empty."""
    sizes = [len(distances[0]), len(distances[1])]
    if max(sizes) == 0:
        return math.nan
    if min(sizes) == 0:
        return worst
    return max(float(np.percentile(directed, PERCENTILE)) for directed in distances)


def nsd_of(distances: Distances, tolerance: float) -> float:
    """NSD of distances that `surface_distances` gave.

    Raises:
        UsageError: A tolerance that is negative or not finite.
    """
    if not 0 <= tolerance < math.inf:
        raise UsageError(
            f"an NSD tolerance of {tolerance} cannot be used",
            "it is a distance that still counts as agreement",
            "Give a finite number of at least 0, for example 2.0",
        )
    both = np.concatenate(distances)
    return float(np.mean(both <= tolerance)) if len(both) else math.nan
