"""Annotations: lesions drawn by a person, as a mask or polygons, and their measurements."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import UploadFile
from numpy.typing import NDArray
from scipy import ndimage

from suraksha.errors import InputError
from suraksha.io.images import read_mask
from suraksha.measurement.measure import measure_image
from suraksha.reporting.records import DIGITS, lesion_record
from suraksha.types import Image, Lesion, Result
from suraksha.web.errors import HttpError
from suraksha.web.schemas import AnnotationForm
from suraksha.web.uploads import IMAGE, SIGNATURE_BYTES, file_type_of, open_frames

MAX_POLYGONS, MAX_POINTS = 64, 20_000
MAX_LESIONS = 64
POLYGON_FORMAT = "[[[row, col], [row, col], [row, col], ...], ...]"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """An annotation as it was sent. Exactly one of the two is given.

    Args:
        mask: A PNG file, or None.
        polygons: JSON text, or None.
    """

    mask: UploadFile | None
    polygons: str | None

    @classmethod
    def from_form(cls, form: AnnotationForm) -> Annotation | None:
        """The annotation of a form, or None if it has none.

        Raises:
            HttpError: 422, both a mask and polygons were sent.
        """
        if form.mask is not None and form.polygons is not None:
            raise HttpError(
                422,
                "both a mask and polygons were sent",
                why="they could contradict each other",
                fix="Send only one of them",
            )
        if form.mask is None and form.polygons is None:
            return None
        return cls(form.mask, form.polygons)

    def to_mask(self, shape: tuple[int, int], folder: Path) -> Mask:
        """The annotation as a mask.

        Args:
            shape: (rows, columns) of the image.
            folder: The request's temporary folder.

        Returns:
            (rows, columns) bool.

        Raises:
            HttpError: 413 or 415, the mask is not a PNG file or has too many pixels.
            InputError: The mask or the polygons are invalid.
        """
        if self.mask is None:
            return rasterize(parse_polygons(self.polygons or "", shape), shape)
        self.mask.file.seek(0)
        content = self.mask.file.read()
        file_type = file_type_of(content[:SIGNATURE_BYTES], "mask")
        if file_type.kind != IMAGE or file_type.suffix != ".png":
            raise HttpError(
                415,
                "unsupported file type of the mask",
                why="it is not a PNG file",
                fix="Send the mask as PNG",
            )
        path = folder / "mask.png"
        path.write_bytes(content)
        open_frames(path, file_type, spacing=None, max_pixels=shape[0] * shape[1])
        mask = read_mask(path)
        if mask.shape != shape:
            raise InputError(
                "the size of the mask does not match the image",
                f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels and the image "
                f"{shape[1]} x {shape[0]}",
                "Send a mask with the size of the image",
            )
        return mask


def parse_polygons(text: str, shape: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Parse polygons from JSON.

    Args:
        text: JSON, a list of lists of [row, col] pairs.
        shape: (rows, columns) of the image; coordinates may be outside it, within limits.

    Returns:
        One (n, 2) array of (row, col) coordinates per polygon.

    Raises:
        InputError: The text is not of this format, or is over a limit.
    """
    try:
        decoded = json.loads(text)
        polygons = [np.array(polygon, dtype=np.float64) for polygon in decoded]
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise _invalid_polygons("they are not JSON of the expected format") from error
    if not isinstance(decoded, list) or any(p.ndim != 2 or p.shape[1] != 2 for p in polygons):
        raise _invalid_polygons("they are not lists of pairs of numbers")
    if len(polygons) > MAX_POLYGONS or sum(map(len, polygons)) > MAX_POINTS:
        raise _invalid_polygons(
            f"the limits are {MAX_POLYGONS} polygons and {MAX_POINTS} points in total"
        )
    reach = 2 * max(shape)
    for polygon in polygons:
        if len(polygon) < 3:
            raise _invalid_polygons("a polygon has fewer than three points")
        if not (np.isfinite(polygon).all() and np.abs(polygon).max() <= reach):
            raise _invalid_polygons("a coordinate is not finite or is far outside the image")
    return polygons


def _invalid_polygons(why: str) -> InputError:
    return InputError("invalid polygons", why, f"Send {POLYGON_FORMAT}")


def rasterize(polygons: list[NDArray[np.float64]], shape: tuple[int, int]) -> Mask:
    """The pixels whose centre is inside at least one polygon, each by the even-odd rule.

    Args:
        polygons: (n, 2) arrays of (row, col) coordinates; the last point connects to the first.
        shape: (rows, columns) of the mask.

    Returns:
        (rows, columns) bool.
    """
    mask = np.zeros(shape, bool)
    for polygon in polygons:
        mask |= _rasterize_polygon(polygon, shape)
    return mask


def _rasterize_polygon(polygon: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """One polygon: each edge flips all pixels to the right of its crossing with their row."""
    flips = np.zeros((shape[0], shape[1] + 1), np.uint8)
    following = np.roll(polygon, -1, axis=0)
    for (row, col), (next_row, next_col) in zip(polygon, following, strict=True):
        low, high = sorted((row, next_row))
        first, last = max(math.ceil(low - 0.5), 0), min(math.ceil(high - 0.5), shape[0])
        if first >= last:
            continue
        centres = np.arange(first, last) + 0.5
        crossings = col + (centres - row) * (next_col - col) / (next_row - row)
        columns = np.clip(np.ceil(crossings - 0.5), 0, shape[1]).astype(int)
        flips[np.arange(first, last), columns] ^= 1
    inside: Mask = np.bitwise_xor.accumulate(flips, axis=1)[:, :-1].astype(bool)
    return inside


def measure_annotation(mask: Mask, image: Image) -> tuple[Lesion, ...]:
    """Measure the lesions of an annotation.

    Raises:
        InputError: There are more than `MAX_LESIONS`.
    """
    count = int(ndimage.label(mask, np.ones((3, 3)))[1])
    if count > MAX_LESIONS:
        raise InputError(
            "the annotation has too many lesions",
            f"it has {count} separate parts; the limit is {MAX_LESIONS}",
            "Erase small specks",
        )
    return measure_image(mask, image)


def corrected_result(result: Result, mask: Mask) -> Result:
    """A result with the annotated mask; the lesions are measured again and have no confidence."""
    return replace(
        result,
        mask=mask,
        probability=mask.astype(np.float32),
        lesions=measure_annotation(mask, result.image),
        patches=(),
    )


def lesion_records(lesions: tuple[Lesion, ...]) -> dict[str, Any]:
    """The records of lesions and their contours, for JSON."""
    return {
        "lesions": [lesion_record(lesion) for lesion in lesions],
        "contours": [np.round(lesion.contour, DIGITS).tolist() for lesion in lesions],
    }
