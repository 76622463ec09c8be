"""Convert whatever a caller has to an `Image`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from suraksha.errors import InputError, UnreadableError
from suraksha.io.dicom import DicomFile
from suraksha.io.dicom_guard import EXPORT, suppress_pydicom_warnings
from suraksha.io.guards import DECODER_ERRORS, one_line
from suraksha.io.images import pil_pixels, read_image
from suraksha.io.spacing import as_spacing
from suraksha.types import Image, Spacing

ACCEPTED = (
    "a path, a numpy array (H, W) or (H, W, 3) of uint8, uint16 or floats from 0 to 1, a PIL "
    "image, a pydicom Dataset, or a suraksha.Image"
)


def as_image(value: object, *, spacing: Spacing | float | None = None) -> Image:
    """Convert a path, an array, a PIL image or a DICOM data set to an `Image`.

    Args:
        value: One of

            * a path (str or ``os.PathLike``), read with `read_image`;
            * a numpy array, (H, W) grey or (H, W, 3) RGB: uint8, uint16, or floats from 0 to 1,
              which are rounded to 8 bits;
            * a ``PIL.Image.Image``; alpha is composed over black;
            * a ``pydicom.Dataset`` with pixel data, of which the first frame is used;
            * an `Image`, which is returned as it is if no spacing is given.
        spacing: Size of a pixel; a number means square pixels of that many millimetres. It
            overrides the calibration of a DICOM file.

    Returns:
        The image.

    Raises:
        InputError: Any other type, or a value that cannot be used; the message says what is
            accepted.
    """
    known = as_spacing(spacing)
    if isinstance(value, Image):
        return value if known is None else _respaced(value, known)
    if isinstance(value, str | os.PathLike):
        return read_image(value, spacing=known)
    if isinstance(value, np.ndarray):
        return Image(_array_pixels(value), known)
    if isinstance(value, PilImage.Image):
        return _from_pil(value, known)
    if _is_dataset(value):
        return _from_dataset(value, known)
    raise InputError(
        f"a {type(value).__name__} cannot be converted to an image",
        f"accepted are {ACCEPTED}",
        "Convert it to one of these",
    )


def _respaced(image: Image, spacing: Spacing) -> Image:
    regions = tuple(replace(region, spacing=spacing, unscaled="") for region in image.regions)
    return replace(image, spacing=spacing, regions=regions, unscaled="")


def _array_pixels(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or float values from 0 to 1 as uint8."""
    if not np.issubdtype(array.dtype, np.floating) or array.size == 0:
        return array
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also False for NaN
        raise InputError(
            f"the array has values from {low:.4g} to {high:.4g}",
            "floats must be from 0 to 1",
            "Divide by the maximum of the range, for example by 255, or convert 0..255 with "
            ".astype(numpy.uint8)",
        )
    return np.rint(array.astype(np.float64) * 255).astype(np.uint8)


def _from_pil(image: PilImage.Image, spacing: Spacing | None) -> Image:
    name = Path(str(getattr(image, "filename", "") or "image")).stem
    try:
        return Image(pil_pixels(name, image), spacing, name)
    except DECODER_ERRORS as error:
        raise UnreadableError(
            name, f"the PIL image cannot be decoded ({one_line(error)})", "Open the file again"
        ) from error


def _is_dataset(value: object) -> bool:
    """Whether a value is a pydicom Dataset; without importing pydicom, which may be missing."""
    pydicom = sys.modules.get("pydicom")
    return pydicom is not None and isinstance(value, pydicom.Dataset)


def _from_dataset(dataset: Any, spacing: Spacing | None) -> Image:  # noqa: ANN401 - a Dataset
    """The first frame; the data set passes the same checks as a file, in memory."""
    name = Path(str(getattr(dataset, "filename", None) or "image"))
    if not hasattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID"):
        raise UnreadableError(
            name,
            "the Dataset has no file_meta.TransferSyntaxUID",
            "Set it, or read the file with pydicom.dcmread",
        )
    buffer = BytesIO()
    try:
        with suppress_pydicom_warnings():
            dataset.save_as(buffer, enforce_file_format=True)
    except DECODER_ERRORS as error:
        raise UnreadableError(
            name, f"the Dataset cannot be encoded ({one_line(error)})", EXPORT
        ) from error
    return DicomFile(name, spacing=spacing, content=buffer.getvalue()).image()
