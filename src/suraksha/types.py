"""The values of the public API: Spacing, Region, Image, Lesion, Patch and Result.

All are frozen and validated on construction. Coordinates are ``(row, col)``. A coordinate counts
pixel edges: pixel ``(r, c)`` covers ``[r, r + 1) x [c, c + 1)`` and its centre is at
``(r + 0.5, c + 0.5)``. A *box* is ``(row_min, col_min, row_max, col_max)`` in pixel indices, the
last two exclusive. Arrays are stored read-only; the caller's arrays are not changed.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from os import PathLike
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError

PIXEL_TYPES = (np.uint8, np.uint16)
MIN_SPACING_MM, MAX_SPACING_MM = 1e-4, 10.0

Point = tuple[float, float]
Box = tuple[int, int, int, int]


def _views() -> ModuleType:
    """The module of a higher layer that displays and saves a `Result`.

    It is imported by name on first use, so that the values depend on nothing that draws or writes.
    """
    return import_module("suraksha.reporting.views")


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only copy, or the array itself if it is read-only and owns its data."""
    if not array.flags.writeable and array.flags.owndata:
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True, slots=True)
class Spacing:
    """The size of a pixel in millimetres, and where it is known from.

    Args:
        row_mm: Distance between two rows (vertical), in mm.
        col_mm: Distance between two columns (horizontal), in mm.
        source: Where the values come from, such as ``"user"`` or ``"dicom-region"``.

    Raises:
        InputError: A value is not a finite number from 0.0001 to 10 mm.
    """

    row_mm: float
    col_mm: float
    source: str = "user"

    def __post_init__(self) -> None:
        for name, value in (("row_mm", self.row_mm), ("col_mm", self.col_mm)):
            valid = isinstance(value, numbers.Real) and math.isfinite(value)
            if not valid or not MIN_SPACING_MM <= value <= MAX_SPACING_MM:
                raise InputError(
                    f"spacing {name} = {value!r} is not valid",
                    f"it must be a number from {MIN_SPACING_MM} to {MAX_SPACING_MM} mm",
                    "Give millimetres per pixel, for example 0.08, or omit the spacing",
                )

    def __repr__(self) -> str:
        return f"Spacing({self.row_mm:.4g} x {self.col_mm:.4g} mm, {self.source})"

    @classmethod
    def square(cls, mm: float, source: str = "user") -> Spacing:
        """The spacing of square pixels of ``mm`` millimetres."""
        return cls(mm, mm, source)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image that shows a scan, and the size of its pixels.

    Args:
        box: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        spacing: Size of a pixel, or None if unknown.
        unscaled: Why the spacing is unknown, if the file says.
    """

    box: Box
    spacing: Spacing | None = None
    unscaled: str = ""

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index of the region in an array of the image's size."""
        return slice(self.box[0], self.box[2]), slice(self.box[1], self.box[3])


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One ultrasound image.

    Args:
        pixels: (H, W) grey or (H, W, 3) RGB, uint8 or uint16, full range of its type.
        spacing: Size of a pixel, or None if it is unknown or differs between regions.
        name: Name of the image in reports, usually the stem of the file.
        regions: The parts that show a scan, largest first. Only these are segmented and measured,
            each with its own spacing. If empty, the whole image is one region with ``spacing``.
        unscaled: Why there is no spacing, if the file says.
        origin: Metadata of the file that a writer needs: a `suraksha.io.dicom.Origin` for DICOM
            files, else None.

    Raises:
        InputError: Not an array, an array of another shape or type or without pixels, a spacing
            that is not a `Spacing`, or a region outside the image.
    """

    pixels: NDArray[Any]
    spacing: Spacing | None = None
    name: str = "image"
    regions: tuple[Region, ...] = ()
    unscaled: str = ""
    origin: object | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray):
            raise InputError(
                f"a {type(pixels).__name__} is not an array of pixels",
                "an Image is made from a numpy array",
                "Use suraksha.as_image for files and PIL images, or numpy.asarray for lists",
            )
        shape_ok = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
        if not shape_ok or pixels.dtype.type not in PIXEL_TYPES or pixels.size == 0:
            raise InputError(
                f"an array of shape {pixels.shape} and type {pixels.dtype} is not an image",
                "an image is (H, W) or (H, W, 3), uint8 or uint16, with at least one pixel",
                _conversion_hint(pixels),
            )
        if self.spacing is not None and not isinstance(self.spacing, Spacing):
            raise InputError(
                f"spacing = {self.spacing!r} is not a suraksha.Spacing",
                f"it is a {type(self.spacing).__name__}",
                "Give suraksha.Spacing.square(0.08), or suraksha.as_image(pixels, spacing=0.08)",
            )
        object.__setattr__(self, "pixels", _frozen(pixels))
        for region in self.regions:
            top, left, bottom, right = region.box
            if not (0 <= top < bottom <= pixels.shape[0] and 0 <= left < right <= pixels.shape[1]):
                raise InputError(
                    f"the region {region.box} is invalid",
                    f"it is not inside an image of shape {pixels.shape[:2]}",
                    "Give (row_min, col_min, row_max, col_max), the last two exclusive",
                )

    def __repr__(self) -> str:
        kind = "RGB" if self.pixels.ndim == 3 else "grey"
        size = f"{self.shape[0]} x {self.shape[1]} {kind} {self.pixels.dtype}"
        scale = "unknown scale" if self.spacing is None else repr(self.spacing)
        return f"Image({self.name!r}, {size}, {scale})"

    @property
    def scans(self) -> tuple[Region, ...]:
        """The parts that show a scan: the regions, or the whole image if there are none."""
        whole = Region((0, 0, *self.shape), self.spacing, self.unscaled)
        return self.regions or (whole,)

    def cut(self, region: Region) -> Image:
        """The part of the image inside a region, as an image with the region's spacing."""
        if region.box == (0, 0, *self.shape):
            return self
        return Image(self.pixels[region.slices], region.spacing, self.name)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


def _conversion_hint(pixels: NDArray[Any]) -> str:
    """How to convert an array that is not an image."""
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2, 4):
        return "Keep the colours with pixels[..., :3], or grey with pixels[..., 0]"
    if pixels.ndim in (3, 4) and pixels.size:
        return "Give one image at a time, with the colour channels last"
    if np.issubdtype(pixels.dtype, np.floating):
        return "Use suraksha.as_image(pixels) for values from 0 to 1, or convert 0..255 to uint8"
    if pixels.dtype == np.bool_:
        return "Convert with pixels.astype(numpy.uint8) * 255"
    return "Convert it, for example with .astype(numpy.uint8), or read the file with read_image"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lesion:
    """One connected region of a mask, measured in pixels, and in mm if the spacing is known.

    ``*_px`` lengths are measured on the pixel grid, ``*_mm`` lengths in the plane scaled by the
    spacing, which is exact for pixels that are not square.

    Args:
        label: 1 for the largest lesion of the image, then 2, 3 ...
        area_px: Number of pixels.
        bbox: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        centroid: (row, col) coordinate of the centre of mass.
        contour: (n, 2) float (row, col) coordinates of the outer contour, closed (first == last).
        long_axis_px: Maximum caliper diameter.
        short_axis_px: Caliper width perpendicular to the long axis.
        long_axis_ends: The two (row, col) end points of the long axis.
        short_axis_ends: The two (row, col) end points of the short axis.
        perimeter_px: Length of the outer contour.
        depth_px: From the top edge of the image to the nearest point of the lesion. This is the
            depth below the transducer if the image starts at its face.
        circularity: 4 pi area / perimeter^2; 1 for a disc.
        solidity: Area / area of the convex hull; 1 for a convex lesion.
        taller_than_wide: Whether the height (along columns, away from the skin) exceeds the width.
        area_mm2: Area in mm^2; this and the ``*_mm`` lengths are None if the spacing is unknown.
        long_axis_mm: As ``long_axis_px``.
        short_axis_mm: As ``short_axis_px``.
        perimeter_mm: As ``perimeter_px``.
        depth_mm: As ``depth_px``.
        confidence: 0..1, or None for a mask without probabilities. In a `Result`, the calibrated
            probability that the region contains a lesion; from `measure`, the mean probability of
            its pixels.
    """

    label: int
    area_px: int
    bbox: Box
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

    @property
    def size_text(self) -> str:
        """Long x short axis, such as ``"13.7 x 11.4 mm"``; in px if the spacing is unknown."""
        if self.long_axis_mm is None or self.short_axis_mm is None:
            return f"{self.long_axis_px:.0f} x {self.short_axis_px:.0f} px"
        return f"{self.long_axis_mm:.1f} x {self.short_axis_mm:.1f} mm"

    def __repr__(self) -> str:
        sure = "" if self.confidence is None else f", confidence {self.confidence:.2f}"
        return f"Lesion({self.label}, {self.size_text}{sure})"


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of an image that was passed to the network.

    Args:
        box: (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive.
        size: (height, width) that it was resized to.
    """

    box: Box
    size: tuple[int, int]


class CardLike(Protocol):
    """The fields of a bundle's card that a result needs."""

    @property
    def name(self) -> str:
        """The bundle's name."""

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the network's file."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The segmentation of one image.

    In a notebook a result displays the image with contours, and a table of the lesions.

    Args:
        mask: (H, W) bool at the image's own size, True in lesions.
        probability: (H, W) float32 in 0..1.
        lesions: The lesions, largest first.
        image: The image that was segmented.
        card: The card of the bundle.
        latency_ms: Milliseconds per stage.
        classes: Calibrated probability of each class of the bundle for the whole image, by name,
            sum 1; for several scans, of the one most likely to contain a lesion. None if the
            bundle has no classification head. Decision support for research; no output shows it
            unless asked.
        patches: The parts that were passed to the network, in order.
        review: Reasons why a person should review this result; empty if there are none.

    Raises:
        InputError: The mask or the probability map differs in size from the image.
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

    def __post_init__(self) -> None:
        for name in ("mask", "probability"):
            array: NDArray[Any] = getattr(self, name)
            if array.shape != self.image.shape:
                raise InputError(
                    f"a {name} of shape {array.shape} does not fit the image",
                    f"the image has shape {self.image.shape}",
                    "Resize it to the image first",
                )
            object.__setattr__(self, name, _frozen(array))

    @property
    def needs_review(self) -> bool:
        """Whether a person should review this result."""
        return bool(self.review)

    def overlay(self, *, opacity: float = 0.0) -> NDArray[np.uint8]:
        """The image with contours, calipers, sizes and a scale bar.

        Args:
            opacity: How strongly the inside of a lesion is filled, 0 to 1.

        Returns:
            (H', W', 3) uint8 RGB; see `suraksha.reporting.overlay.overlay` for its size.
        """
        return cast("NDArray[np.uint8]", _views().result_overlay(self, opacity=opacity))

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-compatible values: image, spacing, lesions, review, bundle.

        Arrays (mask, probability, contours) are not included.
        """
        return cast("dict[str, Any]", _views().result_dict(self))

    def save(self, directory: str | PathLike[str]) -> None:
        """Write ``<name>_mask.png``, ``<name>_overlay.png`` and ``<name>.json`` to a directory.

        The directory is created if necessary. Existing files of these names are replaced.

        Raises:
            OSError: A file cannot be written.
        """
        _views().save_result(self, directory)

    def plot(self, ax: Any = None) -> Any:  # noqa: ANN401 - matplotlib is not a dependency
        """Draw the image and the contours with matplotlib.

        Args:
            ax: The `matplotlib.axes.Axes` to draw on, or None for a new figure.

        Returns:
            The `matplotlib.axes.Axes`.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        return _views().plot_result(self, ax)

    def __repr__(self) -> str:
        count = len(self.lesions)
        found = f"{count} lesion{'' if count == 1 else 's'}"
        sizes = "".join(f", {lesion.size_text}" for lesion in self.lesions[:3])
        more = ", ..." if count > 3 else ""
        review = ", needs review" if self.needs_review else ""
        return f"Result({self.image.name!r}, {found}{sizes}{more}{review})"

    def _repr_png_(self) -> bytes:
        """The overlay as PNG, for notebooks."""
        return cast("bytes", _views().result_png(self))

    def _repr_html_(self) -> str:
        """The overlay and a table of the lesions as HTML, for notebooks."""
        return cast("str", _views().result_html(self))
