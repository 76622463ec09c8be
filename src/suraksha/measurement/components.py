"""The connected components of a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from suraksha.errors import InputError, UsageError

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One connected region of a mask, cut out to its bounding box.

    Args:
        pixels: (h, w) bool, True on the region's own pixels; other regions in the box are False.
        bbox: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        area_px: Number of pixels.
    """

    pixels: NDArray[np.bool_]
    bbox: tuple[int, int, int, int]
    area_px: int


def as_mask(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """The mask as (H, W) bool.

    Args:
        mask: (H, W) bool, or integers of the values {0, 1} or {0, 255} alone.

    Raises:
        InputError: Not two axes, no pixels, another type, or other values.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise InputError(
            f"an array of shape {array.shape} is no mask",
            "a mask is (rows, columns) with at least one pixel",
            "Pass one plane, for example mask[0] of a batch or mask[..., 0] of an RGB file",
        )
    if array.dtype == np.bool_:
        return array
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"an array of type {array.dtype} is no mask",
            "a mask says yes or no for each pixel",
            "Compare it with a threshold first, for example probability >= 0.5",
        )
    top = array.max()
    if top not in (0, 1, 255) or not bool(((array == 0) | (array == top)).all()):
        raise InputError(
            f"an integer array with values from {array.min()} to {top} is no mask",
            "an integer mask holds only 0 and 1, or only 0 and 255",
            "Pick the lesion first, for example mask == 2 or mask > 0",
        )
    image: NDArray[np.bool_] = array != 0
    return image


def components(mask: NDArray[Any], *, min_area_px: int = 1) -> tuple[Component, ...]:
    """The connected regions of a mask, largest first; equal ones in reading order.

    Pixels that touch by a side or a corner are connected (8-connectivity, Rosenfeld 1970,
    doi:10.1145/321556.321570).

    Args:
        mask: (H, W) bool, or integers of the values {0, 1} or {0, 255} alone.
        min_area_px: Regions of fewer pixels are left out; at least 1.

    Raises:
        InputError: An array that is no mask.
        UsageError: A ``min_area_px`` below 1.
    """
    if min_area_px < 1:
        raise UsageError(
            f"min_area_px = {min_area_px} cannot be used",
            "the smallest region is one pixel",
            "Give 1 to keep every region, or a larger number to leave specks out",
        )
    image = as_mask(mask)
    rows, cols = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if rows.size == 0:
        return ()
    top, left = int(rows[0]), int(cols[0])
    box = image[top : int(rows[-1]) + 1, left : int(cols[-1]) + 1]
    labels = np.empty(box.shape, dtype=np.int32)
    ndimage.label(box, structure=EIGHT_NEIGHBOURS, output=labels)
    areas = np.bincount(labels.ravel())
    slices = ndimage.find_objects(labels)
    found: list[Component] = []
    for label in 1 + np.argsort(-areas[1:], kind="stable"):
        if areas[label] < min_area_px:
            break
        part = slices[label - 1]
        if part is None:  # every label up to the greatest is in use
            continue
        r, c = part
        bbox = (top + r.start, left + c.start, top + r.stop, left + c.stop)
        found.append(Component(labels[part] == label, bbox, int(areas[label])))
    return tuple(found)
