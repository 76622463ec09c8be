"""Read images and ground-truth masks from image files, and images from DICOM files.

Every failure is an `InputError` that names the file. Pillow's global settings are left unchanged,
and only the decoders of `FORMATS` are enabled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps, features

from suraksha.errors import InputError, UnreadableError
from suraksha.io.dicom import DicomFile
from suraksha.io.guards import (
    CODESTREAM_WITHIN,
    DECODER_ERRORS,
    HEAD_BYTES,
    JPEG2000_CODESTREAM,
    PathLike,
    check_is_file,
    has_dicom_prefix,
    jpeg2000_size,
    one_line,
    webp_size,
)
from suraksha.io.spacing import as_spacing
from suraksha.types import Image, Spacing

MAX_PIXELS = 64_000_000
# WebP and JPEG 2000 depend on how Pillow was built.
FORMATS = (
    "PNG", "JPEG", "BMP", "TIFF", "GIF",
    *(["WEBP"] if features.check("webp") else []),
    *(["JPEG2000"] if features.check("jpg_2000") else []),
)  # fmt: skip

# (offset, bytes, Pillow's name, how a person calls it)
_KNOWN = (
    (0, b"\x89PNG", "PNG", "a PNG file"),
    (0, b"\xff\xd8", "JPEG", "a JPEG file"),
    (0, b"BM", "BMP", "a BMP file"),
    *((0, magic, "TIFF", "a TIFF file") for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (0, b"GIF8", "GIF", "a GIF file"),
    (8, b"WEBP", "WEBP", "a WebP file"),
    (4, b"jP  ", "JPEG2000", "a JPEG 2000 file"),
    (0, JPEG2000_CODESTREAM, "JPEG2000", "a JPEG 2000 file"),
    (4, b"ftyp", "", "a video, AVIF or HEIC file"),
    (0, b"%PDF", "", "a PDF file"),
    (0, b"PK\x03\x04", "", "a ZIP archive"),
)

# Modes that Pillow converts without loss of meaning; the other modes are used as they are or
# refused.
_CONVERT = {
    "1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA",
    "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB",
}  # fmt: skip
_UNCHANGED = ("L", "LA", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "I;16N")


def _check_head(path: Path, head: bytes) -> str:
    """Pillow's name of the format; refuses empty files and files of other kinds."""
    if not head:
        raise UnreadableError(path, "the file is empty", "Copy or export the image again")
    for offset, magic, name, description in _KNOWN:
        if head[offset : offset + len(magic)] == magic:
            if name in FORMATS:
                return name
            raise UnreadableError(path, f"it is {description}", "Export the image as PNG")
    raise UnreadableError(
        path,
        "it is not an image of a supported format",
        "Save it as PNG; JPEG, BMP, TIFF, GIF, WebP, JPEG 2000 and DICOM are read too",
    )


def _check_size(path: object, shape: tuple[int, int]) -> None:
    """Check (rows, columns) against the limits."""
    rows, columns = shape
    if min(shape) < 1:
        raise UnreadableError(path, f"it has {columns} x {rows} pixels", "Export the image again")
    if rows * columns > MAX_PIXELS:
        raise UnreadableError(
            path,
            f"it has {columns} x {rows} pixels, more than {MAX_PIXELS} in all",
            "Crop it to the scan or scale it down",
        )


def _select_frame(path: Path, image: PilImage.Image, frame: int) -> None:
    if frame == 0:
        return
    count = int(getattr(image, "n_frames", 1))
    if not 0 <= frame < count:
        raise UnreadableError(
            path,
            f"frame {frame} does not exist, the file has {count}",
            f"Give a frame from 0 to {count - 1}",
        )
    image.seek(frame)


def _channels(name: object, image: PilImage.Image) -> NDArray[Any]:
    """(H, W) or (H, W, 2 | 3 | 4) uint8 or uint16; with 2 and 4 channels the last is alpha."""
    mode = image.mode
    if mode in _CONVERT:
        has_alpha = mode == "P" and "transparency" in image.info
        image = image.convert("RGBA" if has_alpha else _CONVERT[mode])
    elif mode not in _UNCHANGED:
        raise UnreadableError(
            name,
            f"its pixels have Pillow's mode {mode}, whose range is not known",
            "Save it as 8-bit or 16-bit grey or RGB",
        )
    pixels: NDArray[Any] = np.asarray(image)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
        raise UnreadableError(
            name,
            f"its values {pixels.min()} to {pixels.max()} do not fit in 16 bit",
            "Save it as 8-bit or 16-bit grey or RGB",
        )
    return pixels.astype(np.uint16)


def _full_range(pixels: NDArray[Any], tags: Mapping[int, Any]) -> NDArray[Any]:
    """Scale 12-bit TIFF values to 16 bit and invert white-is-zero; Pillow does neither."""
    if tags.get(258) == (12,):
        pixels = (pixels << 4) | (pixels >> 8)
    if tags.get(262) == 0:
        pixels = np.iinfo(np.uint16).max - pixels
    return pixels


def _over_black(pixels: NDArray[Any]) -> NDArray[Any]:
    """Compose an alpha channel over black, rounded; exact where alpha is opaque."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    colour = pixels[..., :-1].astype(np.uint16)
    composed: NDArray[Any] = ((colour * pixels[..., -1:] + 127) // 255).astype(np.uint8)
    if composed.shape[2] == 1:
        composed = composed[..., 0]
    return composed


def pil_pixels(name: object, image: PilImage.Image, *, alpha: bool = False) -> NDArray[Any]:
    """Pixels of an open Pillow image, checked against the size limit before they are decoded.

    Args:
        name: What an error message calls the image.
        image: The image; only the current frame is read.
        alpha: Whether to return an alpha channel rather than compose it over black.

    Returns:
        (H, W) or (H, W, 3) uint8 or uint16; with ``alpha`` also (H, W, 2) or (H, W, 4).

    Raises:
        InputError: Too many pixels, or pixels whose range is not known.
        Exception: Anything in `DECODER_ERRORS`, if the image is damaged.
    """
    _check_size(name, (image.height, image.width))
    image.load()
    pixels = _channels(name, ImageOps.exif_transpose(image))
    if pixels.dtype == np.uint16 and hasattr(image, "tag_v2"):
        pixels = _full_range(pixels, image.tag_v2)
    return pixels if alpha else _over_black(pixels)


def _check_codestream(path: Path, stream: BinaryIO, *, kind: str) -> None:
    """Check the size that the code declares, for decoders that allocate before Pillow knows it."""
    if kind not in ("WEBP", "JPEG2000"):
        return
    start = stream.read(CODESTREAM_WITHIN)
    stream.seek(0)
    size = webp_size(start) if kind == "WEBP" else jpeg2000_size(start)
    if size is None:
        raise ValueError("its header is invalid")
    _check_size(path, size)


def _decode(path: Path, frame: int, *, alpha: bool) -> NDArray[Any] | None:
    """The pixels of an image file, or None for a DICOM file, which is not decoded here."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        if has_dicom_prefix(head):
            return None
        kind = _check_head(path, head)
        stream.seek(0)
        _check_codestream(path, stream, kind=kind)
        if kind == "PNG":
            # Pillow compares the checksums of the pixel data only on request.
            with PilImage.open(stream, formats=(kind,)) as image:
                image.verify()
            stream.seek(0)
        with PilImage.open(stream, formats=(kind,)) as image:
            _select_frame(path, image, frame)
            return pil_pixels(path, image, alpha=alpha)


def _read(path: Path, frame: int, *, alpha: bool = False) -> NDArray[Any] | None:
    """`_decode`, with every failure converted to an InputError."""
    try:
        check_is_file(path)
        return _decode(path, frame, alpha=alpha)
    except PermissionError as error:
        raise UnreadableError(
            path, "there is no permission to read it", "Change its permissions"
        ) from error
    except MemoryError as error:
        raise UnreadableError(
            path, "there is not enough memory to decode it", "Scale the image down"
        ) from error
    except (PilImage.DecompressionBombError, PilImage.DecompressionBombWarning) as error:
        raise UnreadableError(
            path, f"it has too many pixels ({one_line(error)})", "Scale it down"
        ) from error
    except DECODER_ERRORS as error:
        raise UnreadableError(
            path,
            f"it is damaged, truncated or of an unsupported variant ({one_line(error)})",
            "Copy or export the image again, preferably as PNG",
        ) from error


def _as_path(path: PathLike) -> Path:
    try:
        return Path(path)
    except TypeError as error:
        raise InputError(
            f"a {type(path).__name__} is not a path",
            "images are read from files",
            "Give a path, or convert arrays and other images with suraksha.as_image",
        ) from error


def read_image(path: PathLike, *, frame: int = 0, spacing: Spacing | float | None = None) -> Image:
    """Read an image from a PNG, JPEG, BMP, TIFF, GIF, WebP, JPEG 2000 or DICOM file.

    The pixels are as a viewer displays them: the EXIF or TIFF orientation is applied, palettes,
    CMYK and YCbCr become RGB, white-is-zero is inverted, and an alpha channel is composed over
    black, the background of ultrasound (opaque pixels do not change). A transparent colour key
    of a grey or RGB PNG is ignored, and so are colour profiles.

    Grey keeps 8 or 16 bits. 12-bit TIFF is scaled to 16 bits, and 32-bit integers are read as
    16 bits if they fit. 16-bit colour, and 16-bit grey with alpha, keep the upper 8 bits, because
    Pillow does not decode more. 1-bit images become 0 and 255. The checksums of PNG files are
    verified; damage inside the coded data of other formats cannot always be detected.

    WebP and JPEG 2000 need a Pillow that was built with these codecs. DICOM needs the extra
    ``[dicom]``; see `suraksha.io.dicom.DicomFile` for the supported files and
    `suraksha.io.spacing` for the millimetres.

    Args:
        path: The file. Its stem becomes the image's name.
        frame: Index of the page or frame in a file with several, from 0.
        spacing: Size of a pixel; a number means square pixels of that many millimetres. A
            resolution (dpi) in an image file is meant for printers and is not used; the
            calibration of a DICOM file is.

    Returns:
        The image: (H, W) or (H, W, 3), uint8 or uint16, full range.

    Raises:
        InputError: The file is missing, not a regular file, not permitted, empty, truncated,
            damaged, of another format, without pixels, has more than 64 million pixels or
            floating-point pixels, or does not have that frame; or the spacing is invalid.
        MissingExtraError: A DICOM file, and the extra is not installed.
    """
    file, known = _as_path(path), as_spacing(spacing)
    pixels = _read(file, frame)
    if pixels is None:
        return DicomFile(file, spacing=known).image(frame)
    return Image(pixels, spacing=known, name=file.stem)


def read_mask(path: PathLike) -> NDArray[np.bool_]:
    """Read a ground-truth mask: True where any colour reaches half of its range.

    Masks of 1 bit, grey, palette, RGB and RGBA are supported; alpha is ignored.

    Args:
        path: An image file, not DICOM.

    Returns:
        (H, W) bool.

    Raises:
        InputError: As for `read_image`; or the mask has values above 0 but none reaches half of
            the range, so that it would be read as empty.
    """
    file = _as_path(path)
    pixels = _read(file, 0, alpha=True)
    if pixels is None:
        raise UnreadableError(file, "it is a DICOM file", "Save the mask as PNG")
    if pixels.ndim == 3:
        pixels = pixels[..., : pixels.shape[2] - 1 + pixels.shape[2] % 2].max(axis=2)
    half = (int(np.iinfo(pixels.dtype).max) + 1) // 2
    mask: NDArray[np.bool_] = pixels >= half
    if pixels.any() and not mask.any():
        raise UnreadableError(
            file,
            f"it is not a binary mask: its maximum value is {pixels.max()}",
            f"Write lesions as {np.iinfo(pixels.dtype).max} and the background as 0",
        )
    return mask
