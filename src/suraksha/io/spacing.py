"""Millimetres per pixel, given by the user or read from a DICOM header.

A scanner writes the pixel size and the parts of the image that are scans to the Sequence of
Ultrasound Regions (PS3.3 C.8.5.5). The values are used only if they are plausible; a missing
calibration is never replaced by a guess.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from suraksha.errors import InputError
from suraksha.types import Box, Region, Spacing

if TYPE_CHECKING:
    from pydicom import Dataset

TWO_DIMENSIONAL, CENTIMETRES = 1, 3
# tissue, and colour flow over tissue
DATA_TYPES = (1, 2)
# plausible mm per pixel of an ultrasound scanner, and the maximum ratio of the two directions
MIN_MM, MAX_MM, MAX_RATIO = 0.002, 2.0, 5.0
# maximum fraction of a region inside a larger one; beyond it they are one scan
MAX_SHARED = 0.1
# fraction of a side by which a region may exceed the image: some scanners round up
OVERSHOOT = 0.005
NOT_INSIDE = "its ultrasound region is not inside the image"
NO_CALIBRATION = "the file does not contain the pixel size"


def as_spacing(value: object) -> Spacing | None:
    """A spacing from a `Spacing`, a number (square pixels, in mm) or None (unknown).

    Raises:
        InputError: Anything else, or a number that is out of range.
    """
    if value is None or isinstance(value, Spacing):
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return Spacing.square(float(value))
    raise InputError(
        f"spacing = {value!r} is not supported",
        f"a spacing is a number or a suraksha.Spacing, not a {type(value).__name__}",
        "Give millimetres per pixel, for example 0.08, or "
        "suraksha.Spacing(row_mm=0.08, col_mm=0.09) if the pixels are not square",
    )


@dataclass(frozen=True, slots=True)
class SpacingInfo:
    """The calibration of an image.

    Args:
        regions: The scans, largest first; empty if the header defines none.
        spacing: Spacing of the whole image; None if unknown or different between scans.
        unscaled: Why there is no spacing; empty if there is one.
    """

    regions: tuple[Region, ...]
    spacing: Spacing | None
    unscaled: str = ""


def read_spacing(
    header: Dataset, shape: tuple[int, ...], *, frame: int = 0, given: Spacing | None = None
) -> SpacingInfo:
    """The scans of an image and the size of their pixels.

    Used are the ultrasound regions that are two-dimensional and show tissue or colour flow. Their
    mm per pixel are 10 times the magnitude of the physical deltas, if both are in centimetres,
    finite, from 0.002 to 2 mm and differ at most by a factor of five. Without any region,
    PixelSpacing is used. If one such region is not inside the image, all are ignored: the whole
    image is used, without millimetres.

    Args:
        header: The header of the file.
        shape: (rows, columns) of the image.
        frame: Index of the frame; its own functional groups precede the shared ones.
        given: The spacing given by the user, which overrides the file.
    """
    groups = list(_groups(header, frame))
    found = [_region(item, shape) for item in _first_of(groups, "SequenceOfUltrasoundRegions")]
    if NOT_INSIDE in found:
        found = [NOT_INSIDE]
    regions = _separate([region for region in found if isinstance(region, Region)])
    if given is not None:
        return SpacingInfo(tuple(replace(r, spacing=given, unscaled="") for r in regions), given)
    if not regions:
        refused = next((why for why in found if isinstance(why, str)), "")
        return _from_pixel_spacing(groups, refused)
    spacing, why = regions[0].spacing, regions[0].unscaled
    if spacing is not None and any(region.spacing != spacing for region in regions):
        return SpacingInfo(regions, None, "its scans have pixels of different sizes")
    return SpacingInfo(regions, spacing, why)


def _groups(header: Dataset, frame: int) -> Iterable[Dataset]:
    """Data sets that can contain the calibration, the most specific first."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    if frame < len(per_frame):
        yield from _with_measures(per_frame[frame])
    for shared in header.get("SharedFunctionalGroupsSequence") or []:
        yield from _with_measures(shared)
    yield header


def _with_measures(group: Dataset) -> Iterable[Dataset]:
    yield group
    yield from group.get("PixelMeasuresSequence") or []


def _first_of(groups: Iterable[Dataset], name: str) -> Any:  # noqa: ANN401 - an element's value
    return next((group.get(name) for group in groups if group.get(name)), [])


def _numbers(item: Dataset, *names: str) -> list[float] | None:
    """The values of these elements, or None if one is missing or not a finite number."""
    try:
        found = [float(item[name].value) for name in names]
    except (KeyError, TypeError, ValueError):
        return None
    return found if all(map(math.isfinite, found)) else None


def _region(item: Dataset, shape: tuple[int, ...]) -> Region | str:
    """A scan, or why this region is not one."""
    kind = _numbers(item, "RegionSpatialFormat", "RegionDataType")
    if kind is None or kind[0] != TWO_DIMENSIONAL or kind[1] not in DATA_TYPES:
        return "none of its ultrasound regions is a two-dimensional scan"
    box = _box(item, shape)
    if box is None:
        return NOT_INSIDE
    spacing = _from_deltas(item)
    if isinstance(spacing, str):
        return Region(box, None, spacing)
    return Region(box, spacing)


def _box(item: Dataset, shape: tuple[int, ...]) -> Box | None:
    names = ("MinY0", "MinX0", "MaxY1", "MaxX1")
    values = _numbers(item, *(f"RegionLocation{name}" for name in names))
    if values is None:
        return None
    top, left, bottom, right = map(int, values)  # inclusive
    sides = [_within(top, bottom, shape[0]), _within(left, right, shape[1])]
    if None in sides:
        return None
    (top, bottom), (left, right) = (side for side in sides if side is not None)
    return top, left, bottom, right


def _within(first: int, last: int, side: int) -> tuple[int, int] | None:
    """First and one past the last index, clipped to the image; None if too much is clipped."""
    margin = max(1, int(OVERSHOOT * side))
    if first < -margin or last > side - 1 + margin:
        return None
    first, last = max(first, 0), min(last, side - 1)
    return (first, last + 1) if first < last else None


def _from_deltas(item: Dataset) -> Spacing | str:
    units = _numbers(item, "PhysicalUnitsYDirection", "PhysicalUnitsXDirection")
    if units != [CENTIMETRES, CENTIMETRES]:
        return "its ultrasound region is not calibrated in centimetres"
    deltas = _numbers(item, "PhysicalDeltaY", "PhysicalDeltaX")
    if deltas is None:
        return "the pixel size of its ultrasound region is missing or not a number"
    return _plausible(10 * abs(deltas[0]), 10 * abs(deltas[1]), "dicom-region")


def _plausible(row_mm: float, col_mm: float, source: str) -> Spacing | str:
    low, high = min(row_mm, col_mm), max(row_mm, col_mm)
    if low >= MIN_MM and high <= MAX_MM and high <= MAX_RATIO * low:
        return Spacing(row_mm, col_mm, source)
    return f"its pixels of {row_mm:.3g} x {col_mm:.3g} mm are not plausible"


def _from_pixel_spacing(groups: list[Dataset], refused: str) -> SpacingInfo:
    values = _first_of(groups, "PixelSpacing")
    if refused or not values:
        return SpacingInfo((), None, refused or NO_CALIBRATION)
    try:
        row_mm, col_mm = (float(value) for value in values)
    except (TypeError, ValueError):
        return SpacingInfo((), None, "its pixel spacing is not a pair of numbers")
    if not (math.isfinite(row_mm) and math.isfinite(col_mm)):
        return SpacingInfo((), None, "its pixel spacing is not a pair of numbers")
    spacing = _plausible(row_mm, col_mm, "dicom-pixel-spacing")
    if isinstance(spacing, str):
        return SpacingInfo((), None, spacing)
    return SpacingInfo((), spacing)


def _separate(regions: list[Region]) -> tuple[Region, ...]:
    """Largest first, without those inside a larger one, such as a box of colour flow."""
    kept: list[Region] = []
    for region in sorted(regions, key=lambda region: -_area(region.box)):
        if all(_shared(region.box, other.box) <= MAX_SHARED for other in kept):
            kept.append(region)
    return tuple(kept)


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _shared(box: Box, other: Box) -> float:
    inner = (
        max(box[0], other[0]),
        max(box[1], other[1]),
        min(box[2], other[2]),
        min(box[3], other[3]),
    )
    return _area(inner) / _area(box)
