"""Decode one frame of a DICOM file to what a person sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suraksha.io.dicom_guard import NATIVE, RLE, Guarded

if TYPE_CHECKING:
    from pydicom import Dataset

# what decodes each transfer syntax, in turn; by the end of its UID. gdcm last: the others are
# libraries that fuzzers have been at for longer.
DECODERS = {
    "50": ("pillow", "gdcm"),
    "51": ("pillow", "gdcm"),
    "57": ("gdcm",),
    "70": ("gdcm",),
    "80": ("pyjpegls", "gdcm"),
    "81": ("pyjpegls", "gdcm"),
    "90": ("pillow", "gdcm"),
    "91": ("pillow", "gdcm"),
}
# RLE stores at best 128 equal bytes as two
RLE_GAIN = 64
NEEDED = (
    *("Rows", "Columns", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
PALETTE = (
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
)


def decode(coded: bytes, known: Guarded) -> NDArray[Any]:
    """Pixels of a frame.

    Args:
        coded: The frame as it lies in the file.
        known: The file's header.

    Returns:
        (H, W) or (H, W, 3), uint8 or uint16, full range of its type.

    Raises:
        ValueError: A frame of another size than the header tells, or of a kind that is not taken.
        Exception: What decoders raise on damaged data, `suraksha.io.images.DECODER_ERRORS`.
    """
    _check_size(coded, known)
    frame = _frame(coded, known)
    pixels = _decoded(frame, known.transfer_syntax)
    kind = str(known.header.get("PhotometricInterpretation", ""))
    if pixels.shape[:2] != (known.rows, known.columns):
        raise ValueError(f"its pixels have shape {pixels.shape}")
    if kind == "PALETTE COLOR":
        return _looked_up(pixels, known.header)
    if pixels.ndim == 3:
        return _full_range(pixels, frame)
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"the photometric interpretation '{kind}' is not taken")
    grey = _windowed(pixels, known.header, frame)
    return np.iinfo(grey.dtype).max - grey if kind == "MONOCHROME1" else grey


def _check_size(coded: bytes, known: Guarded) -> None:
    """Compare what the code itself says of its size, before anything is allocated for it."""
    wanted = known.rows, known.columns
    if known.transfer_syntax == RLE:
        if len(coded) * RLE_GAIN < wanted[0] * wanted[1]:
            raise ValueError(f"{len(coded)} bytes of RLE cannot hold {wanted[0]} x {wanted[1]}")
    elif known.transfer_syntax not in NATIVE:
        told = coded_size(coded)
        if told != wanted:
            raise ValueError(f"its code tells of {told} pixels, its header of {wanted}")


def coded_size(coded: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 code tells of; None if it tells none."""
    if coded[:2] == b"\xff\xd8":
        return _jpeg_size(coded)
    start = coded.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(coded) < start + 24:
        return None
    right, bottom, left, top = (
        int.from_bytes(coded[start + at : start + at + 4]) for at in (8, 12, 16, 20)
    )
    return bottom - top, right - left


def _jpeg_size(coded: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 < len(coded) and coded[place] == 0xFF:
        marker = coded[place + 1]
        # frames of every coding process, but the tables between them; and that of JPEG-LS
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            return (
                int.from_bytes(coded[place + 5 : place + 7]),
                int.from_bytes(coded[place + 7 : place + 9]),
            )
        place += 1 if marker == 0xFF else 2 + int.from_bytes(coded[place + 2 : place + 4])
    return None


def _frame(coded: bytes, known: Guarded) -> Dataset:
    """A dataset that holds one frame and what is needed to decode it."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    frame = Dataset()
    for name in NEEDED:
        if name in known.header:
            frame[name] = known.header[name]
    frame.file_meta = FileMetaDataset()
    frame.file_meta.TransferSyntaxUID = UID(known.transfer_syntax)
    native = known.transfer_syntax in NATIVE
    frame.PixelData = coded + b"\0" * (len(coded) % 2) if native else encapsulate([coded])
    frame["PixelData"].VR = "OW" if native and frame.BitsAllocated > 8 else "OB"
    frame["PixelData"].is_undefined_length = not native
    return frame


def _decoded(frame: Dataset, syntax: str) -> NDArray[Any]:
    from pydicom.pixels.utils import pixel_array

    plugins = DECODERS.get(syntax.rpartition(".")[2], ("",)) if syntax.count(".") > 5 else ("",)
    for plugin in plugins[:-1]:
        try:
            return np.asarray(pixel_array(frame, decoding_plugin=plugin))
        except RuntimeError:  # of this decoder; the next may take it
            continue
    return np.asarray(pixel_array(frame, decoding_plugin=plugins[-1]))


def _full_range(pixels: NDArray[Any], frame: Dataset) -> NDArray[Any]:
    """Spread the bits that are stored over 8 or 16; negative values are moved up."""
    stored = int(frame.BitsStored)
    if not 1 <= stored <= int(frame.BitsAllocated):
        raise ValueError(f"{stored} bits stored of {frame.BitsAllocated}")
    signed = int(frame.PixelRepresentation) == 1
    if stored == 8 * pixels.itemsize and not signed:
        return pixels
    lowest = -(1 << (stored - 1)) if signed else 0
    top, target = (1 << stored) - 1, np.uint8 if stored <= 8 else np.uint16
    moved = np.clip(pixels.astype(np.int64) - lowest, 0, top)
    spread: NDArray[Any] = np.rint(moved * (np.iinfo(target).max / top)).astype(target)
    return spread


def _windowed(pixels: NDArray[Any], header: Dataset, frame: Dataset) -> NDArray[Any]:
    """With the file's first window, where it has one; else the full range of what is stored."""
    window = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if window[0] is None or window[1] is None or window[1] < 1:
        return _full_range(pixels, frame)
    centre, width = window[0] - 0.5, max(window[1] - 1.0, 1e-6)
    slope = _first(header.get("RescaleSlope")) or 1.0
    values = pixels * slope + (_first(header.get("RescaleIntercept")) or 0.0)
    # PS3.3 C.11.2.1.2, linear
    shown = np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    target = np.uint8 if int(frame.BitsStored) <= 8 else np.uint16
    grey: NDArray[Any] = np.rint(shown * np.iinfo(target).max).astype(target)
    return grey


def _first(value: Any) -> float | None:  # noqa: ANN401 - a DS of pydicom, one or many
    """The first finite number of a header's value."""
    if value is None or value == "":
        return None
    many = isinstance(value, list | tuple) or hasattr(value, "append")
    told = float(value[0] if many else value)
    return told if np.isfinite(told) else None


def _looked_up(pixels: NDArray[Any], header: Dataset) -> NDArray[Any]:
    from pydicom import Dataset
    from pydicom.pixels.processing import apply_color_lut

    palette = Dataset()
    for name in PALETTE:
        palette[name] = header[name]
    colours = np.asarray(apply_color_lut(pixels, palette))
    if colours.dtype == np.uint8:
        return colours
    # tables of 16 bit hold 8 bits twice, or in the upper byte
    return np.asarray(colours >> 8, np.uint8)
