"""Measure the lesions of a mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError
from suraksha.measurement.calipers import calipers, hull
from suraksha.measurement.components import Component, as_mask, components
from suraksha.measurement.contour import midpoints, outer_corners, perimeter
from suraksha.measurement.shape import circularity, solidity, taller_than_wide
from suraksha.types import Image, Lesion, Point, Spacing


def measure(
    mask: NDArray[Any],
    spacing: Spacing | None = None,
    *,
    probability: NDArray[Any] | None = None,
    min_area_px: int = 1,
) -> tuple[Lesion, ...]:
    """Measure the lesions of a mask.

    Lengths in mm are measured in the plane scaled by the spacing. If the pixels are not square, the
    long axis in mm may have other end points than the long axis in pixels; ``*_ends`` are those of
    the axes in pixels. Circularity and taller-than-wide refer to the scaled plane.

    Args:
        mask: (H, W) bool, or integers that are all 0 or 1, or all 0 or 255.
        spacing: Size of a pixel; if None, all values in mm are None.
        probability: (H, W) in 0..1; the confidence of a lesion is its mean over the lesion.
        min_area_px: Regions with fewer pixels are dropped; at least 1.

    Returns:
        The lesions, largest first.

    Raises:
        InputError: The array is not a mask, or the probability map has another shape or range.
        UsageError: ``min_area_px`` is below 1.
    """
    binary = as_mask(mask)
    if probability is not None:
        _check_probability(probability, binary.shape)
    found = components(binary, min_area_px=min_area_px)
    return tuple(
        _lesion(label, component, spacing, probability)
        for label, component in enumerate(found, start=1)
    )


def measure_image(
    mask: NDArray[Any], image: Image, *, probability: NDArray[Any] | None = None
) -> tuple[Lesion, ...]:
    """Measure the lesions of an image, each within its scan.

    Each of ``image.scans`` is measured separately, with its own spacing; the depth is measured from
    the top edge of the scan. Pixels outside all scans are ignored. Coordinates are those of the
    whole image.

    Args:
        mask: (H, W), as for `measure`.
        image: The image, of the same (H, W).
        probability: (H, W) in 0..1; the confidence of a lesion is its mean over the lesion.

    Returns:
        The lesions, largest number of pixels first.

    Raises:
        InputError: As for `measure`.
    """
    found = []
    for scan in image.scans:
        part = None if probability is None else probability[scan.slices]
        inside = measure(mask[scan.slices], scan.spacing, probability=part)
        found += [_moved(lesion, rows=scan.box[0], cols=scan.box[1]) for lesion in inside]
    found.sort(key=lambda lesion: -lesion.area_px)
    return tuple(replace(lesion, label=label) for label, lesion in enumerate(found, start=1))


def _moved(lesion: Lesion, *, rows: int, cols: int) -> Lesion:
    """The lesion of a part that starts at (rows, cols), in the coordinates of the whole image."""
    if not rows and not cols:
        return lesion

    def moved(point: Point) -> Point:
        return point[0] + rows, point[1] + cols

    top, left, bottom, right = lesion.bbox
    long_axis, short_axis = lesion.long_axis_ends, lesion.short_axis_ends
    return replace(
        lesion,
        bbox=(top + rows, left + cols, bottom + rows, right + cols),
        centroid=moved(lesion.centroid),
        contour=lesion.contour + np.array((rows, cols)),
        long_axis_ends=(moved(long_axis[0]), moved(long_axis[1])),
        short_axis_ends=(moved(short_axis[0]), moved(short_axis[1])),
    )


def _check_probability(probability: NDArray[Any], shape: tuple[int, ...]) -> None:
    if probability.shape != shape:
        raise InputError(
            f"a probability map of shape {probability.shape} does not fit the mask",
            f"the mask has shape {shape}",
            "Resize both to the image first",
        )
    low, high = probability.min(), probability.max()
    if not (low >= 0 and high <= 1):  # also True for NaN
        raise InputError(
            f"the probability map has values from {low} to {high}",
            "probabilities must be from 0 to 1",
            "Apply the sigmoid to logits, or divide 8-bit values by 255",
        )


def _lesion(
    label: int,
    component: Component,
    spacing: Spacing | None,
    probability: NDArray[Any] | None,
) -> Lesion:
    pixels, bbox = component.pixels, component.bbox
    corners = outer_corners(pixels) + np.array(bbox[:2], dtype=np.float64)
    contour = midpoints(corners)
    outline = hull(contour[:-1])
    size = calipers(outline)
    perimeter_px = perimeter(corners)
    rows, cols = np.nonzero(pixels)
    box = slice(bbox[0], bbox[2]), slice(bbox[1], bbox[3])
    scale = (1.0, 1.0) if spacing is None else (spacing.row_mm, spacing.col_mm)
    size_mm = None if spacing is None else calipers(outline * np.asarray(scale))
    perimeter_mm = None if spacing is None else perimeter(corners, scale)
    return Lesion(
        label=label,
        area_px=component.area_px,
        bbox=bbox,
        centroid=(float(rows.mean()) + bbox[0] + 0.5, float(cols.mean()) + bbox[1] + 0.5),
        contour=contour,
        long_axis_px=size.long_axis,
        short_axis_px=size.short_axis,
        long_axis_ends=size.long_axis_ends,
        short_axis_ends=size.short_axis_ends,
        perimeter_px=perimeter_px,
        depth_px=float(bbox[0]),
        circularity=circularity(
            component.area_px * scale[0] * scale[1], perimeter_mm or perimeter_px
        ),
        solidity=solidity(pixels),
        taller_than_wide=taller_than_wide(bbox, scale),
        area_mm2=None if spacing is None else component.area_px * scale[0] * scale[1],
        long_axis_mm=None if size_mm is None else size_mm.long_axis,
        short_axis_mm=None if size_mm is None else size_mm.short_axis,
        perimeter_mm=perimeter_mm,
        depth_mm=None if spacing is None else bbox[0] * scale[0],
        confidence=None
        if probability is None
        else float(probability[box][pixels].mean(dtype=np.float64)),
    )
