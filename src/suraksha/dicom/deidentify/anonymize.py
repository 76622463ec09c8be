"""De-identified copies of ultrasound files: metadata by PS3.15, pixels by ultrasound region."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from suraksha.dicom.deidentify.profile import Pseudonyms, apply_profile
from suraksha.errors import InputError
from suraksha.files import write_bytes
from suraksha.io.dicom import DicomFile
from suraksha.types import Image

MAX_PIXEL_BYTES = 1 << 30
METHOD = "Suraksha: PS3.15 Basic Application Level Confidentiality Profile"
BASIC_PROFILE = ("113100", "Basic Application Confidentiality Profile")
CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")
# elements that describe how stored values are displayed; the copy contains displayed values
DISPLAY_ELEMENTS = (
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "VOILUTSequence",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "PaletteColorLookupTableUID",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "ICCProfile",
    "ColorSpace",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelAspectRatio",
)
PALETTE = "PaletteColorLookupTable"


@dataclass(frozen=True, slots=True)
class Anonymized:
    """A de-identified copy.

    Args:
        path: The copy.
        blanked: Whether there are pixels outside the ultrasound regions, which were set to black.
        frames: Number of frames.
    """

    path: Path
    blanked: bool
    frames: int


def anonymize(
    source: Path, out: Path, *, pseudonyms: Pseudonyms, whole_images: bool = False
) -> Anonymized:
    """Write a de-identified copy of an ultrasound file.

    UIDs and the patient ID are replaced by pseudonyms that depend on the secret, so that files of a
    study still belong together. Pixels outside the two-dimensional ultrasound regions (bounds
    inclusive) are set to black. Text inside a region is not detected and must be checked by a
    person. Pixel data are decoded to displayed values and written uncompressed.

    Args:
        source: The file.
        out: Folder of the copy, whose name is its new SOP Instance UID.
        pseudonyms: The replacements of UIDs and patient IDs.
        whole_images: Copy an image completely that has no usable regions, or whose regions cover
            all of it. BurnedInAnnotation is then YES, as its pixels were not checked.

    Raises:
        InputError: The file cannot be used, it has no regions, or its regions cover all of it.
        OSError: The copy cannot be written.
    """
    file = DicomFile(source)
    pixels, blanked = _pixels(file, whole_images)
    header, content = Dataset(), BytesIO()
    try:
        # pydicom's warnings quote values of the header
        with warnings.catch_warnings(action="ignore"):
            for element in file.header:
                header.add(copy.deepcopy(element))
            apply_profile(header, pseudonyms)
            _add_method(header, blanked)
            _set_pixels(header, pixels)
            header.save_as(content, enforce_file_format=True)
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise InputError(
            f"cannot anonymize {source}",
            f"invalid header element ({type(error).__name__})",
            "Export the image again from the scanner or archive",
        ) from error
    path = out / f"{header.SOPInstanceUID}.dcm"
    write_bytes(path, content.getvalue())
    return Anonymized(path, blanked, file.frames)


def _pixels(file: DicomFile, whole_images: bool) -> tuple[list[NDArray[Any]], bool]:
    """All frames, black outside their regions; and whether each has pixels outside."""
    frames, size, blanked = [], 0, True
    for image in file:
        if not _has_outside(image):
            blanked = False
            if not whole_images:
                why = "regions cover all of it" if image.regions else "regions are unknown"
                raise InputError(
                    f"cannot anonymize {file.path}",
                    f"its ultrasound {why}, so text burned into its pixels cannot be removed",
                    "Check the image, and give --whole-images if it shows no patient data",
                )
        frames.append(_blanked(image))
        size += frames[-1].nbytes
        if size > MAX_PIXEL_BYTES:
            raise InputError(
                f"cannot anonymize {file.path}",
                f"its decoded pixels need more than {MAX_PIXEL_BYTES >> 30} GiB",
                "Split the clip into shorter ones",
            )
    return frames, blanked


def _has_outside(image: Image) -> bool:
    """Whether there are regions, and pixels outside them."""
    inside = np.zeros(image.shape, bool)
    for region in image.regions:
        inside[region.slices] = True
    return bool(image.regions) and not bool(inside.all())


def _blanked(image: Image) -> NDArray[Any]:
    """The pixels, black outside the regions if there are any."""
    if not image.regions:
        return image.pixels
    kept = np.zeros_like(image.pixels)
    for region in image.regions:
        kept[region.slices] = image.pixels[region.slices]
    return kept


def _add_method(header: Dataset, blanked: bool) -> None:
    """Describe the de-identification in the header."""
    header.PatientIdentityRemoved = "YES"
    header.BurnedInAnnotation = "NO" if blanked else "YES"
    header.LongitudinalTemporalInformationModified = "REMOVED"
    header.DeidentificationMethod = METHOD
    codes = (BASIC_PROFILE, CLEAN_PIXELS) if blanked else (BASIC_PROFILE,)
    header.DeidentificationMethodCodeSequence = list(_coded(codes))


def _coded(codes: tuple[tuple[str, str], ...]) -> Iterator[Dataset]:
    for value, meaning in codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        yield item


def _set_pixels(header: Dataset, frames: list[NDArray[Any]]) -> None:
    """Set uncompressed pixels, and the elements that describe them."""
    for element in list(header):
        if element.keyword in DISPLAY_ELEMENTS or PALETTE in element.keyword:
            del header[element.tag]
    first = frames[0]
    colour = first.ndim == 3
    header.SamplesPerPixel = 3 if colour else 1
    header.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        header.PlanarConfiguration = 0
    header.Rows, header.Columns = first.shape[:2]
    header.BitsAllocated = header.BitsStored = 8 * first.itemsize
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, 0
    data = b"".join(frame.astype(f"<u{frame.itemsize}").tobytes() for frame in frames)
    header.PixelData = data + b"\0" * (len(data) % 2)
    header["PixelData"].VR = "OW" if first.itemsize > 1 else "OB"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta, header.preamble = meta, b"\0" * 128
