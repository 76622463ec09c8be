"""Decode one frame of a DICOM file to the pixels that a viewer displays."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suraksha.io.dicom_guard import NATIVE, RLE, Guarded
from suraksha.io.guards import jpeg2000_size

if TYPE_CHECKING:
    from pydicom import Dataset

# Decoders of each transfer syntax in order of preference, by the end of its UID. gdcm is last
# because the others have been fuzzed for longer.
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
# RLE stores at most 128 equal bytes in two
RLE_GAIN = 64
NEEDED = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
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
        coded: The encoded frame.
        known: The file's header.

    Returns:
        (H, W) or (H, W, 3), uint8 or uint16, full range of its type.

    Raises:
        ValueError: The size differs from the header, or the pixel format is not supported.
        Exception: Anything in `suraksha.io.guards.DECODER_ERRORS`, if the data are damaged.
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
        raise ValueError(f"the photometric interpretation '{kind}' is not supported")
    grey = _displayed(pixels, known.header, frame)
    return np.iinfo(grey.dtype).max - grey if kind == "MONOCHROME1" else grey


def _check_size(coded: bytes, known: Guarded) -> None:
    """Compare the size that the code declares with the header, before memory is allocated."""
    wanted = known.rows, known.columns
    if known.transfer_syntax == RLE:
        if len(coded) * RLE_GAIN < wanted[0] * wanted[1]:
            raise ValueError(f"{len(coded)} bytes of RLE cannot hold {wanted[0]} x {wanted[1]}")
    elif known.transfer_syntax not in NATIVE:
        declared = coded_size(coded)
        if declared != wanted:
            raise ValueError(f"its code declares {declared} pixels, its header {wanted}")


def coded_size(coded: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 code declares, or None."""
    if coded[:2] == b"\xff\xd8":
        return _jpeg_size(coded)
    return jpeg2000_size(coded)


def _jpeg_size(coded: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 < len(coded) and coded[place] == 0xFF:
        marker = coded[place + 1]
        # start of frame of every coding process, without the tables between; and that of JPEG-LS
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            return (
                int.from_bytes(coded[place + 5 : place + 7]),
                int.from_bytes(coded[place + 7 : place + 9]),
            )
        place += 1 if marker == 0xFF else 2 + int.from_bytes(coded[place + 2 : place + 4])
    return None


def _frame(coded: bytes, known: Guarded) -> Dataset:
    """A dataset with one frame and the elements needed to decode it."""
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
        except RuntimeError:  # the next decoder may support it
            continue
    return np.asarray(pixel_array(frame, decoding_plugin=plugins[-1]))


def _full_range(pixels: NDArray[Any], frame: Dataset) -> NDArray[Any]:
    """Scale the stored bits to 8 or 16; signed values are shifted to start at 0."""
    stored = int(frame.BitsStored)
    if not 1 <= stored <= int(frame.BitsAllocated):
        raise ValueError(f"{stored} bits stored, {frame.BitsAllocated} allocated")
    signed = int(frame.PixelRepresentation) == 1
    if stored == 8 * pixels.itemsize and not signed:
        return pixels
    lowest = -(1 << (stored - 1)) if signed else 0
    top, target = (1 << stored) - 1, np.uint8 if stored <= 8 else np.uint16
    moved = np.clip(pixels.astype(np.int64) - lowest, 0, top)
    spread: NDArray[Any] = np.rint(moved * (np.iinfo(target).max / top)).astype(target)
    return spread


def _displayed(pixels: NDArray[Any], header: Dataset, frame: Dataset) -> NDArray[Any]:
    """Grey values after modality LUT and VOI LUT or window; the stored range without either.

    PS3.3 C.11.1 and C.11.2, with pydicom's functions. The VOI LUT is preferred to the window, the
    first of several is used.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

    lut = _lookup_tables(header, frame)
    target = np.uint8 if int(frame.BitsStored) <= 8 else np.uint16
    modality_bits, voi_bits = (
        _use_16_bits(lut, name) for name in ("ModalityLUTSequence", "VOILUTSequence")
    )
    values = apply_modality_lut(pixels.astype(np.int32), lut)
    # The range of the window's output is then that of the stored bits, whatever its input.
    for name in ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"):
        if name in lut:
            del lut[name]
    lut.PixelRepresentation = 0
    if voi_bits:
        whole = np.rint(values).astype(np.int32)
        return _scaled(apply_voi(whole, lut), bits=voi_bits, target=target)
    if "WindowCenter" in lut:
        return _scaled(apply_windowing(values, lut), bits=int(frame.BitsStored), target=target)
    if modality_bits:
        return _scaled(values, bits=modality_bits, target=target)
    return _full_range(pixels, frame)


def _lookup_tables(header: Dataset, frame: Dataset) -> Dataset:
    """The usable elements of the Modality LUT and VOI LUT modules; invalid numbers are dropped."""
    from pydicom import Dataset

    lut = Dataset()
    lut.file_meta = frame.file_meta
    for name in ("BitsStored", "PhotometricInterpretation"):
        lut[name] = frame[name]
    for name in ("ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction"):
        if header.get(name):
            lut[name] = deepcopy(header[name])
    slope = _first(header.get("RescaleSlope"))
    if slope:
        lut.RescaleSlope = slope
        lut.RescaleIntercept = _first(header.get("RescaleIntercept")) or 0.0
    centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    minimum = 1.0 if lut.get("VOILUTFunction", "LINEAR") == "LINEAR" else 1e-6
    if centre is not None and width is not None and width >= minimum:
        lut.WindowCenter, lut.WindowWidth = centre, width
    return lut


def _use_16_bits(lut: Dataset, name: str) -> int:
    """The bits of a table's entries, 0 without a table.

    pydicom computes indices with the type of the entries, which is too small for a table with 8-bit
    entries and more than 256 of them. The values do not change.
    """
    if name not in lut:
        return 0
    item = lut[name].value[0]
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    if not 1 <= bits <= 16:
        raise ValueError(f"its {name} has entries of {bits} bits")
    item.LUTDescriptor = [entries, first, 16]
    return bits


def _scaled(values: NDArray[Any], *, bits: int, target: type[np.unsignedinteger]) -> NDArray[Any]:
    """Values from 0 to the maximum of ``bits`` as the full range of the target type."""
    factor = np.iinfo(target).max / ((1 << bits) - 1)
    scaled: NDArray[Any] = np.rint(np.clip(values * factor, 0, np.iinfo(target).max)).astype(target)
    return scaled


def _first(value: Any) -> float | None:  # noqa: ANN401 - a DS of pydicom, one or several values
    """The first number of a header's value, or None if it is absent or not finite."""
    if value is None or value == "":
        return None
    many = isinstance(value, list | tuple) or hasattr(value, "append")
    number = float(value[0] if many else value)
    return number if np.isfinite(number) else None


def _looked_up(pixels: NDArray[Any], header: Dataset) -> NDArray[Any]:
    from pydicom import Dataset
    from pydicom.pixels.processing import apply_color_lut

    palette = Dataset()
    for name in PALETTE:
        palette[name] = header[name]
    colours = np.asarray(apply_color_lut(pixels, palette))
    if colours.dtype == np.uint8:
        return colours
    # 16-bit tables repeat 8 bits, or hold them in the upper byte
    return np.asarray(colours >> 8, np.uint8)
