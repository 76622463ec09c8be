"""Millimetres per pixel of a DICOM image, and which parts of it are scans; or why not.

A scanner tells both in the Sequence of Ultrasound Regions (PS3.3 C.8.5.5). What it tells is used
only where it can be true; there is never an invented millimetre.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from suraksha.types import Box, Region, Spacing

if TYPE_CHECKING:
    from pydicom import Dataset

TWO_DIMENSIONAL, CENTIMETRES = 1, 3
# tissue, and colour flow over it
SHOWN = (1, 2)
# mm per pixel that an ultrasound scanner can show, and how far its two may be apart
LEAST_MM, MOST_MM, MOST_UNEQUAL = 0.002, 2.0, 5.0
# greatest fraction of a region that may lie in a larger one; beyond it they are one scan
MAX_SHARED = 0.1
# fraction of a side by which a region may reach beyond it: some scanners round up
OVERSHOOT = 0.005
NOT_INSIDE = "its ultrasound region does not lie in the image"
NO_CALIBRATION = "the file tells no size of its pixels"


@dataclass(frozen=True, slots=True)
class SpacingInfo:
    """What a header tells of its image.

    Args:
        regions: The scans, largest first; empty where it tells of none.
        spacing: Of the whole image, where all scans have the same.
        unscaled: Why there is no spacing; empty where there is.
    """

    regions: tuple[Region, ...]
    spacing: Spacing | None
    unscaled: str = ""


def read_spacing(
    header: Dataset, shape: tuple[int, ...], *, frame: int = 0, given: Spacing | None = None
) -> SpacingInfo:
    """The scans of an image and the size of their pixels.

    Of each ultrasound region that is two-dimensional and shows tissue or colour flow, mm per pixel
    are 10 times the magnitude of its physical deltas, where both are in centimetres, finite,
    between 0.002 and 2 mm and not more than five-fold apart. Without any region, PixelSpacing is
    taken. Where one such region does not lie in the image, none is trusted: the whole image is
    looked at, without millimetres.

    Args:
        header: The file's elements.
        shape: (rows, columns) of the image.
        frame: Index of the frame; its own functional groups come before what is shared.
        given: The user's own spacing, which replaces what the file tells.
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
    """Where calibration may stand, the most special first."""
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
    """Finite numbers of these names, or None where one is missing or is not."""
    try:
        found = [float(item[name].value) for name in names]
    except (KeyError, TypeError, ValueError):
        return None
    return found if all(map(math.isfinite, found)) else None


def _region(item: Dataset, shape: tuple[int, ...]) -> Region | str:
    """A scan, or why this region is none."""
    kind = _numbers(item, "RegionSpatialFormat", "RegionDataType")
    if kind is None or kind[0] != TWO_DIMENSIONAL or kind[1] not in SHOWN:
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
    told = _numbers(item, *(f"RegionLocation{name}" for name in names))
    if told is None:
        return None
    top, left, bottom, right = map(int, told)  # inclusive
    sides = [_within(top, bottom, shape[0]), _within(left, right, shape[1])]
    if None in sides:
        return None
    (top, bottom), (left, right) = (side for side in sides if side is not None)
    return top, left, bottom, right


def _within(first: int, last: int, side: int) -> tuple[int, int] | None:
    """First and one past the last index, cut to the image; None where too much is cut."""
    room = max(1, int(OVERSHOOT * side))
    if first < -room or last > side - 1 + room:
        return None
    first, last = max(first, 0), min(last, side - 1)
    return (first, last + 1) if first < last else None


def _from_deltas(item: Dataset) -> Spacing | str:
    units = _numbers(item, "PhysicalUnitsYDirection", "PhysicalUnitsXDirection")
    if units != [CENTIMETRES, CENTIMETRES]:
        return "its ultrasound region is not told in centimetres"
    deltas = _numbers(item, "PhysicalDeltaY", "PhysicalDeltaX")
    if deltas is None:
        return "the pixel size of its ultrasound region is missing or no number"
    return _plausible(10 * abs(deltas[0]), 10 * abs(deltas[1]), "dicom-region")


def _plausible(row_mm: float, col_mm: float, source: str) -> Spacing | str:
    low, high = min(row_mm, col_mm), max(row_mm, col_mm)
    if low >= LEAST_MM and high <= MOST_MM and high <= MOST_UNEQUAL * low:
        return Spacing(row_mm, col_mm, source)
    return f"its pixels of {row_mm:.3g} x {col_mm:.3g} mm are not plausible"


def _from_pixel_spacing(groups: list[Dataset], refused: str) -> SpacingInfo:
    told = _first_of(groups, "PixelSpacing")
    if refused or not told:
        return SpacingInfo((), None, refused or NO_CALIBRATION)
    try:
        row_mm, col_mm = (float(value) for value in told)
    except (TypeError, ValueError):
        return SpacingInfo((), None, "its pixel spacing is no pair of numbers")
    if not (math.isfinite(row_mm) and math.isfinite(col_mm)):
        return SpacingInfo((), None, "its pixel spacing is no pair of numbers")
    spacing = _plausible(row_mm, col_mm, "dicom-pixel-spacing")
    if isinstance(spacing, str):
        return SpacingInfo((), None, spacing)
    return SpacingInfo((), spacing)


def _separate(regions: list[Region]) -> tuple[Region, ...]:
    """Largest first, without those that lie in a larger one, such as a box of colour flow."""
    kept: list[Region] = []
    for region in sorted(regions, key=lambda region: -_area(region.box)):
        if all(_shared(region.box, other.box) <= MAX_SHARED for other in kept):
            kept.append(region)
    return tuple(kept)


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _shared(box: Box, other: Box) -> float:
    inner = (
        *(max(box[0], other[0]), max(box[1], other[1])),
        *(min(box[2], other[2]), min(box[3], other[3])),
    )
    return _area(inner) / _area(box)
