"""Contours that a person drew: as polygons or a mask, and what they measure."""

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
from suraksha.web.schemas import Drawing
from suraksha.web.sources import HEAD_BYTES, IMAGE, kind_of, open_source

MAX_POLYGONS, MAX_POINTS = 64, 20_000
MAX_LESIONS = 64
FORM = "[[[row, col], [row, col], [row, col], ...], ...]"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """What a person drew, as it was sent.

    Args:
        mask: A PNG, or None.
        polygons: JSON, or None.
    """

    mask: UploadFile | None
    polygons: str | None

    @classmethod
    def of(cls, form: Drawing) -> Annotations | None:
        """The drawing of a form, None where there is none.

        Raises:
            Refused: There are two.
        """
        if form.mask is not None and form.polygons is not None:
            raise HttpError(
                422, "two drawings were sent", "a mask and polygons may differ", "Send one of them"
            )
        there = form.mask is not None or form.polygons is not None
        return cls(form.mask, form.polygons) if there else None

    def pixels(self, shape: tuple[int, int], folder: Path) -> Mask:
        """The drawing as a mask of that shape.

        Raises:
            Refused: No PNG, or one of another size.
            InputError: A mask or polygons that cannot be used.
        """
        if self.mask is None:
            return filled(polygons_of(self.polygons or "", shape), shape)
        self.mask.file.seek(0)
        content = self.mask.file.read()
        kind = kind_of(content[:HEAD_BYTES], "mask")
        if kind.name != IMAGE or kind.suffix != ".png":
            raise HttpError(415, "the mask is not taken", "it is no PNG", "Send it as PNG")
        path = folder / "mask.png"
        path.write_bytes(content)
        open_source(path, kind, spacing=None, pixels=shape[0] * shape[1])
        mask = read_mask(path)
        if mask.shape != shape:
            raise InputError(
                "the mask does not fit the image",
                f"it has {mask.shape[1]} x {mask.shape[0]} pixels, not {shape[1]} x {shape[0]}",
                "Draw it on the image's own pixels",
            )
        return mask


def polygons_of(text: str, shape: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Polygons from their JSON, each (n, 2) of finite coordinates in or near the image.

    Raises:
        InputError: Anything else.
    """
    try:
        told = json.loads(text)
        polygons = [np.array(polygon, dtype=np.float64) for polygon in told]
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise _no_polygons("they are not JSON of that form") from error
    if not isinstance(told, list) or any(p.ndim != 2 or p.shape[1] != 2 for p in polygons):
        raise _no_polygons("they are not lists of pairs of numbers")
    if len(polygons) > MAX_POLYGONS or sum(map(len, polygons)) > MAX_POINTS:
        raise _no_polygons(f"there are more than {MAX_POLYGONS} or more than {MAX_POINTS} points")
    reach = 2 * max(shape)
    for polygon in polygons:
        if len(polygon) < 3:
            raise _no_polygons("one has fewer than three points")
        if not (np.isfinite(polygon).all() and np.abs(polygon).max() <= reach):
            raise _no_polygons("a coordinate is not finite or lies far outside the image")
    return polygons


def _no_polygons(why: str) -> InputError:
    return InputError("the polygons cannot be used", why, f"Send {FORM}")


def filled(polygons: list[NDArray[np.float64]], shape: tuple[int, int]) -> Mask:
    """The pixels whose centre lies inside one of the polygons, each by the even-odd rule.

    Args:
        polygons: (n, 2) of (row, col) coordinates; the last point is joined with the first.
        shape: (rows, columns).
    """
    mask = np.zeros(shape, bool)
    for polygon in polygons:
        mask |= _filled(polygon, shape)
    return mask


def _filled(polygon: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """One polygon: each edge flips all pixels right of where it crosses their row."""
    flips = np.zeros((shape[0], shape[1] + 1), np.uint8)
    following = np.roll(polygon, -1, axis=0)
    for (row, col), (next_row, next_col) in zip(polygon, following, strict=True):
        low, high = sorted((row, next_row))
        first, last = max(math.ceil(low - 0.5), 0), min(math.ceil(high - 0.5), shape[0])
        if first >= last:
            continue
        centres = np.arange(first, last) + 0.5
        crossed = col + (centres - row) * (next_col - col) / (next_row - row)
        columns = np.clip(np.ceil(crossed - 0.5), 0, shape[1]).astype(int)
        flips[np.arange(first, last), columns] ^= 1
    inside: Mask = np.bitwise_xor.accumulate(flips, axis=1)[:, :-1].astype(bool)
    return inside


def lesions_of(mask: Mask, image: Image) -> tuple[Lesion, ...]:
    """The lesions of a drawing, measured.

    Raises:
        InputError: There are more than `MAX_LESIONS`.
    """
    parts = int(ndimage.label(mask, np.ones((3, 3)))[1])
    if parts > MAX_LESIONS:
        raise InputError(
            "the drawing cannot be measured",
            f"it has {parts} parts, more than {MAX_LESIONS}",
            "Erase the specks",
        )
    return measure_image(mask, image)


def corrected(result: Result, mask: Mask) -> Result:
    """The result with a person's mask in the place of the network's; no confidence is left."""
    image = result.image
    return replace(
        result,
        mask=mask,
        probability=mask.astype(np.float32),
        lesions=lesions_of(mask, image),
        patches=(),
    )


def measured(lesions: tuple[Lesion, ...]) -> dict[str, Any]:
    """Lesions and their contours as JSON takes them."""
    return {
        "lesions": [lesion_record(lesion) for lesion in lesions],
        "contours": [np.round(lesion.contour, DIGITS).tolist() for lesion in lesions],
    }
