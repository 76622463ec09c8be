"""The connected components of a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from suraksha.errors import InputError, UsageError
from suraksha.types import Box

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One connected region of a mask, cropped to its bounding box.

    Args:
        pixels: (h, w) bool, True on the pixels of this region; other regions in the box are False.
        bbox: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        area_px: Number of pixels.
    """

    pixels: NDArray[np.bool_]
    bbox: Box
    area_px: int


def as_mask(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """A mask as (H, W) bool.

    Args:
        mask: (H, W) bool, or integers that are all 0 or 1, or all 0 or 255.

    Raises:
        InputError: The array is not 2-D, has no pixels, or has another type or other values.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise InputError(
            f"an array of shape {array.shape} is not a mask",
            "a mask is (rows, columns) with at least one pixel",
            "Pass one plane, for example mask[0] of a batch or mask[..., 0] of an RGB file",
        )
    if array.dtype == np.bool_:
        return array
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"an array of type {array.dtype} is not a mask",
            "a mask is bool, or integers with the values 0 and 1 or 0 and 255",
            "Compare it with a threshold first, for example probability >= 0.5",
        )
    top = array.max()
    if top not in (0, 1, 255) or not bool(((array == 0) | (array == top)).all()):
        raise InputError(
            f"an integer array with values from {array.min()} to {top} is not a mask",
            "an integer mask contains only 0 and 1, or only 0 and 255",
            "Select the lesion first, for example mask == 2 or mask > 0",
        )
    binary: NDArray[np.bool_] = array != 0
    return binary


def components(mask: NDArray[Any], *, min_area_px: int = 1) -> tuple[Component, ...]:
    """The connected regions of a mask, largest first; regions of equal size in reading order.

    Pixels that share a side or a corner are connected (8-connectivity, Rosenfeld 1970,
    doi:10.1145/321556.321570).

    Args:
        mask: (H, W) bool, or integers that are all 0 or 1, or all 0 or 255.
        min_area_px: Regions with fewer pixels are dropped; at least 1.

    Raises:
        InputError: The array is not a mask.
        UsageError: ``min_area_px`` is below 1.
    """
    if min_area_px < 1:
        raise UsageError(
            f"min_area_px = {min_area_px} is out of range",
            "the smallest region is one pixel",
            "Give 1 to keep every region, or a larger number to drop small ones",
        )
    binary = as_mask(mask)
    rows, cols = np.flatnonzero(binary.any(axis=1)), np.flatnonzero(binary.any(axis=0))
    if rows.size == 0:
        return ()
    top, left = int(rows[0]), int(cols[0])
    box = binary[top : int(rows[-1]) + 1, left : int(cols[-1]) + 1]
    labels = np.empty(box.shape, dtype=np.int32)
    ndimage.label(box, structure=EIGHT_NEIGHBOURS, output=labels)
    areas = np.bincount(labels.ravel())
    slices = ndimage.find_objects(labels)
    found: list[Component] = []
    for label in 1 + np.argsort(-areas[1:], kind="stable"):
        if areas[label] < min_area_px:
            break
        part = slices[label - 1]
        if part is None:  # find_objects types unused labels as None
            continue
        r, c = part
        bbox = (top + r.start, left + c.start, top + r.stop, left + c.stop)
        found.append(Component(labels[part] == label, bbox, int(areas[label])))
    return tuple(found)
