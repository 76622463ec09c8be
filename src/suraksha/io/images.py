"""Read images and truth masks from PNG, JPEG, BMP and TIFF files.

Whatever a file holds, the answer is a value or an `InputError` that names the file. Pillow's global
settings are left as they are; its decoders are given only the four formats above.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps

from suraksha.errors import UnreadableError
from suraksha.types import Image, Spacing

MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "BMP", "TIFF")

PathLike = str | os.PathLike[str]

# Bytes at an offset by which files of other kinds are known, and what those are.
_OTHERS = (
    (0, b"GIF8", "a GIF file"),
    (8, b"WEBP", "a WebP file"),
    (4, b"jP  ", "a JPEG 2000 file"),
    (4, b"ftyp", "a video, AVIF or HEIC file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
)
_OURS = (b"\x89PNG", b"\xff\xd8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Modes that Pillow converts without a choice to make; the others are taken as they are or refused.
_CONVERT = {
    "1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA",
    "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB",
}  # fmt: skip
_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "I;16N")

# All that Pillow's decoders are known to raise on hostile bytes. A warning is among them because
# the caller may have turned warnings into errors.
DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, AttributeError, LookupError,
    ArithmeticError, RuntimeError, AssertionError, MemoryError, struct.error, zlib.error,
    PilImage.DecompressionBombError, Warning,
)  # fmt: skip


def one_line(error: BaseException) -> str:
    """What an error says, in one line of at most 160 characters."""
    return " ".join(str(error).split()).rstrip(".")[:160] or type(error).__name__


def check_is_file(path: Path) -> None:
    """Refuse what is no regular file.

    Raises:
        InputError: Nothing there, a folder, a pipe, a device.
    """
    if path.is_file():
        return
    if not path.exists():
        raise UnreadableError(path, "there is no such file", "Check the name and the folder")
    kind = "a folder" if path.is_dir() else "not a regular file"
    raise UnreadableError(path, f"it is {kind}", "Give the image file itself")


def _check_head(path: Path, head: bytes) -> None:
    """Refuse what is empty or plainly something else."""
    if not head:
        raise UnreadableError(path, "the file is empty", "Copy or export the image again")
    if head.startswith(_OURS):
        return
    for offset, magic, what in _OTHERS:
        if head[offset : offset + len(magic)] == magic:
            raise UnreadableError(path, f"it is {what}", "Export the image as PNG")
    raise UnreadableError(
        path, f"it is not an image of a known kind ({', '.join(FORMATS)})", "Save it as PNG"
    )


def _check_size(path: Path, size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise UnreadableError(
            path, f"it has {size[0]} x {size[1]} pixels", "Export the image again"
        )
    if size[0] * size[1] > MAX_PIXELS:
        raise UnreadableError(
            path,
            f"it has {size[0]} x {size[1]} pixels, more than {MAX_PIXELS} in all",
            "Crop it to the scan or scale it down",
        )


def _select_frame(path: Path, image: PilImage.Image, frame: int) -> None:
    if frame == 0:
        return
    count = int(getattr(image, "n_frames", 1))
    if not 0 <= frame < count:
        raise UnreadableError(
            path, f"frame {frame} was asked for and it has {count}", f"Give 0 to {count - 1}"
        )
    image.seek(frame)


def _channels(path: Path, image: PilImage.Image) -> NDArray[Any]:
    """(H, W) or (H, W, 2 | 3 | 4) uint8 or uint16; 2 and 4 have alpha last."""
    mode = image.mode
    if mode in _CONVERT:
        has_alpha = mode == "P" and "transparency" in image.info
        image = image.convert("RGBA" if has_alpha else _CONVERT[mode])
    elif mode not in _AS_THEY_ARE:
        raise UnreadableError(
            path,
            f"its pixels are of Pillow's mode {mode}, of which the range is not known",
            "Save it as 8 or 16 bit grey or RGB",
        )
    pixels: NDArray[Any] = np.asarray(image)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
        raise UnreadableError(
            path,
            f"its values {pixels.min()} to {pixels.max()} do not fit in 16 bit",
            "Save it as 8 or 16 bit grey or RGB",
        )
    return pixels.astype(np.uint16)


def _full_range(pixels: NDArray[Any], tags: Mapping[int, Any]) -> NDArray[Any]:
    """What Pillow leaves undone for TIFF: 12 bit spread over 16, and white as 0 inverted."""
    if tags.get(258) == (12,):
        pixels = (pixels << 4) | (pixels >> 8)
    if tags.get(262) == 0:
        pixels = np.iinfo(np.uint16).max - pixels
    return pixels


def _decode(path: Path, frame: int) -> NDArray[Any]:
    with path.open("rb") as stream:
        head = stream.read(132)
        _check_head(path, head)
        stream.seek(0)
        if head.startswith(b"\x89PNG"):
            # Pillow does not compare the checksums of the pixel data unless asked to.
            with PilImage.open(stream, formats=FORMATS) as image:
                image.verify()
            stream.seek(0)
        with PilImage.open(stream, formats=FORMATS) as image:
            _select_frame(path, image, frame)
            _check_size(path, image.size)
            image.load()
            pixels = _channels(path, ImageOps.exif_transpose(image))
            if pixels.dtype == np.uint16 and hasattr(image, "tag_v2"):
                pixels = _full_range(pixels, image.tag_v2)
    return pixels


def _read(path: Path, frame: int) -> NDArray[Any]:
    """`_decode`, with every failure told as an InputError."""
    try:
        check_is_file(path)
        return _decode(path, frame)
    except PermissionError as error:
        raise UnreadableError(
            path, "there is no permission to read it", "Change its rights"
        ) from error
    except MemoryError as error:
        raise UnreadableError(path, "there is not enough memory", "Scale the image down") from error
    except PilImage.DecompressionBombError as error:
        raise UnreadableError(
            path, f"it has more than {MAX_PIXELS} pixels ({one_line(error)})", "Scale it down"
        ) from error
    except DECODER_ERRORS as error:
        raise UnreadableError(
            path,
            f"it is damaged, truncated or of an unusual kind ({one_line(error)})",
            "Copy or export the image again, best as PNG",
        ) from error


def _over_black(pixels: NDArray[Any]) -> NDArray[Any]:
    """Compose an alpha channel away, rounded; exact where alpha is opaque."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    colour = pixels[..., :-1].astype(np.uint16)
    composed: NDArray[Any] = ((colour * pixels[..., -1:] + 127) // 255).astype(np.uint8)
    if composed.shape[2] == 1:
        composed = composed[..., 0]
    return composed


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do; False for what cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except (OSError, ValueError):
        return False


def read_image(path: PathLike, *, frame: int = 0, spacing: Spacing | float | None = None) -> Image:
    """Read an image from a PNG, JPEG, BMP, TIFF or DICOM file.

    The pixels are those that a person sees: the EXIF or TIFF orientation is applied, palettes,
    CMYK and YCbCr become RGB, white-is-zero is inverted, and an alpha channel is composed over
    black, the background of ultrasound (opaque pixels stay as they are). A transparent colour key
    of a grey or RGB PNG is ignored, and so are colour profiles.

    Grey keeps 8 or 16 bits; 12-bit TIFF is spread over 16, and integers of 32 bit are taken as 16
    bit where they fit. 16-bit colour, and 16-bit grey with alpha, keep the upper 8 bits, for Pillow
    has no more. 1-bit images become 0 and 255. The checksums of PNG files are compared; damage
    inside the coded data of other formats cannot always be seen.

    DICOM needs the extra ``[dicom]``; see `suraksha.io.dicom.DicomFile` for what is taken, and
    `suraksha.io.dicom_spacing` for the millimetres.

    Args:
        path: The file. Its stem becomes the image's name.
        frame: Which page or frame of a file of several, from 0.
        spacing: Size of a pixel; a number means square pixels of that many millimetres. A
            resolution in the file is of the printer's kind and is not used; that of DICOM is.

    Returns:
        The image: (H, W) or (H, W, 3), uint8 or uint16, full range.

    Raises:
        InputError: A file that is missing, no regular file, not permitted, empty, truncated,
            damaged, of another format, without pixels, of more than 64 million pixels, of floating
            point pixels, or without that frame; or a spacing that cannot be.
        MissingExtraError: DICOM without its extra.
    """
    file = Path(path)
    if spacing is not None and not isinstance(spacing, Spacing):
        spacing = Spacing.square(float(spacing))
    if is_dicom(file):
        from suraksha.io.dicom import DicomFile

        return DicomFile(file, spacing=spacing).image(frame)
    return Image(_over_black(_read(file, frame)), spacing=spacing, name=file.stem)


def read_mask(path: PathLike) -> NDArray[np.bool_]:
    """Read a truth mask: True where any colour reaches half of its range.

    Masks of 1 bit, grey, palette, RGB and RGBA are read; alpha is ignored.

    Args:
        path: The file.

    Returns:
        (H, W) bool.

    Raises:
        InputError: As for `read_image`; and a mask with values above 0 of which none reaches half
            of the range, which would be taken for an empty one.
    """
    file = Path(path)
    pixels = _read(file, 0)
    if pixels.ndim == 3:
        pixels = pixels[..., : pixels.shape[2] - 1 + pixels.shape[2] % 2].max(axis=2)
    half = (int(np.iinfo(pixels.dtype).max) + 1) // 2
    mask: NDArray[np.bool_] = pixels >= half
    if pixels.any() and not mask.any():
        raise UnreadableError(
            file,
            f"as a mask it is neither empty nor marked: its greatest value is {pixels.max()}",
            f"Write lesions as {np.iinfo(pixels.dtype).max} and the rest as 0",
        )
    return mask
