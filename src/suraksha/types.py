"""The values that flow through the house: Spacing, Image, Lesion, Result.

All are frozen and checked where they are made. Coordinates are ``(row, col)``. A *coordinate*
counts pixel edges: pixel ``(r, c)`` covers ``[r, r + 1) x [c, c + 1)`` and its centre lies at
``(r + 0.5, c + 0.5)``. Arrays are kept as read-only views or copies; input is never changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError

PIXEL_TYPES = (np.uint8, np.uint16)
MIN_SPACING_MM, MAX_SPACING_MM = 1e-4, 10.0

Point = tuple[float, float]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only copy, or the array itself where it is read-only and owns its data."""
    if not array.flags.writeable and array.flags.owndata:
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True, slots=True)
class Spacing:
    """The size of a pixel in millimetres, and where that is known from.

    Args:
        row_mm: Distance between two rows (vertical), in mm.
        col_mm: Distance between two columns (horizontal), in mm.
        source: Where the numbers come from, such as ``"user"`` or ``"dicom-region"``.

    Raises:
        InputError: A value that is not finite or not between 0.0001 and 10 mm.
    """

    row_mm: float
    col_mm: float
    source: str = "user"

    def __post_init__(self) -> None:
        for name, value in (("row_mm", self.row_mm), ("col_mm", self.col_mm)):
            if not math.isfinite(value) or not MIN_SPACING_MM <= value <= MAX_SPACING_MM:
                raise InputError(
                    f"spacing {name} = {value} cannot be used",
                    f"a pixel of an ultrasound image is {MIN_SPACING_MM} to {MAX_SPACING_MM} mm",
                    "Give millimetres per pixel, for example 0.08, or leave the spacing out",
                )

    @classmethod
    def square(cls, mm: float, source: str = "user") -> Spacing:
        """The spacing of square pixels of ``mm`` millimetres."""
        return cls(mm, mm, source)


Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image that shows a scan, and the size of its pixels.

    Args:
        box: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        spacing: Size of a pixel in it, or None where it is unknown.
        unscaled: Why the spacing is unknown, where that is told.
    """

    box: Box
    spacing: Spacing | None = None
    unscaled: str = ""

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts the region out of an array of the image's size."""
        return slice(self.box[0], self.box[2]), slice(self.box[1], self.box[3])


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One image.

    Args:
        pixels: (H, W) grey or (H, W, 3) RGB, uint8 or uint16, full range of its type.
        spacing: Size of a pixel, or None where it is unknown or not the same everywhere.
        name: What to call the image in reports, usually the file's stem.
        regions: The parts that show a scan, largest first. Only these are segmented and measured,
            each with its own spacing. Empty: the whole image is one, with ``spacing``.
        unscaled: Why there is no spacing, where that is told.
        origin: What a writer needs to know of the file it came from; of DICOM files a
            `suraksha.io.dicom.Origin`, else None.

    Raises:
        InputError: An array of another shape or type, or without pixels; a region that does not lie
            in the image.
    """

    pixels: NDArray[Any]
    spacing: Spacing | None = None
    name: str = "image"
    regions: tuple[Region, ...] = ()
    unscaled: str = ""
    origin: object | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        pixels = self.pixels
        shape_ok = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
        if not shape_ok or pixels.dtype.type not in PIXEL_TYPES or pixels.size == 0:
            raise InputError(
                f"an array of shape {pixels.shape} and type {pixels.dtype} is no image",
                "an image is (H, W) or (H, W, 3), uint8 or uint16, with at least one pixel",
                "Convert the array first, or read the file with suraksha.read_image",
            )
        object.__setattr__(self, "pixels", _frozen(pixels))
        for region in self.regions:
            top, left, bottom, right = region.box
            if not (0 <= top < bottom <= pixels.shape[0] and 0 <= left < right <= pixels.shape[1]):
                raise InputError(
                    f"a region of {region.box} cannot be used",
                    f"it does not lie in an image of shape {pixels.shape[:2]}",
                    "Give (row_min, col_min, row_max, col_max), the last two exclusive",
                )

    @property
    def scans(self) -> tuple[Region, ...]:
        """The parts that show a scan: its regions, or else the whole image as one."""
        whole = Region((0, 0, *self.shape), self.spacing, self.unscaled)
        return self.regions or (whole,)

    def cut(self, region: Region) -> Image:
        """The part of the image that a region names, as an image of its own."""
        if region.box == (0, 0, *self.shape):
            return self
        return Image(self.pixels[region.slices], region.spacing, self.name)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lesion:
    """One connected region of a mask, measured. Lengths in pixels, and in mm where known.

    ``*_px`` lengths are measured on the pixel grid, ``*_mm`` lengths in the plane that the spacing
    stretches, so that pixels that are not square are handled exactly.

    Args:
        label: 1 for the largest lesion of the image, then 2, 3 ...
        area_px: Number of pixels.
        bbox: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        centroid: (row, col) coordinate of the centre of mass.
        contour: (n, 2) float (row, col) coordinates of the outer contour, closed (first == last).
        long_axis_px: Greatest caliper diameter.
        short_axis_px: Caliper width perpendicular to the long axis.
        long_axis_ends: The two (row, col) coordinates that the long axis joins.
        short_axis_ends: The same for the short axis.
        perimeter_px: Length of the outer contour.
        depth_px: From the top edge of the image to the lesion's nearest point. This is the depth
            below the transducer where the image begins at its face.
        circularity: 4 pi area / perimeter^2; 1 for a disc.
        solidity: Area / area of the convex hull; 1 for a convex lesion.
        taller_than_wide: Whether the height (along columns, away from the skin) exceeds the width.
        confidence: 0..1, or None for a mask without probabilities. In a `Result`, the chance that
            the region marks a lesion, as the bundle's card calibrates it; from `measure`, the mean
            probability of its pixels.
    """

    label: int
    area_px: int
    bbox: tuple[int, int, int, int]
    centroid: Point
    contour: NDArray[np.float64]
    long_axis_px: float
    short_axis_px: float
    long_axis_ends: tuple[Point, Point]
    short_axis_ends: tuple[Point, Point]
    perimeter_px: float
    depth_px: float
    circularity: float
    solidity: float
    taller_than_wide: bool
    area_mm2: float | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    perimeter_mm: float | None = None
    depth_mm: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "contour", _frozen(self.contour))


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of an image that a network looked at.

    Args:
        box: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        size: (height, width) that it was brought to.
    """

    box: Box
    size: tuple[int, int]


class CardLike(Protocol):
    """What a result needs to know of the bundle that made it."""

    @property
    def name(self) -> str:
        """The bundle's name."""

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the network's file."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a segmenter answers for one image.

    Args:
        mask: (H, W) bool of the image's own size, True in lesions.
        probability: (H, W) float32 in 0..1.
        lesions: The lesions, largest first.
        image: The image that was segmented.
        card: The card of the bundle that made it.
        latency_ms: Milliseconds by stage.
        classes: Calibrated probability of each class of the bundle for the whole image, by name,
            sum 1; of several scans, for the one that most likely shows a lesion; None where the
            bundle tells no classes. Decision support for research; nothing
            shows it unasked.
        patches: What the network looked at, in order.
        review: Why a person must look at this answer; empty where nothing speaks for it.

    Raises:
        InputError: A mask or a probability map of another size than the image.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    lesions: tuple[Lesion, ...]
    image: Image
    card: CardLike
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[str, float] | None = None
    patches: tuple[Patch, ...] = ()
    review: tuple[str, ...] = ()

    @property
    def needs_review(self) -> bool:
        """Whether a person must look at this answer."""
        return bool(self.review)

    def __post_init__(self) -> None:
        for name in ("mask", "probability"):
            array: NDArray[Any] = getattr(self, name)
            if array.shape != self.image.shape:
                raise InputError(
                    f"a {name} of shape {array.shape} does not fit the image",
                    f"the image has shape {self.image.shape}",
                    "Restore it to the image's own size first",
                )
            object.__setattr__(self, name, _frozen(array))
