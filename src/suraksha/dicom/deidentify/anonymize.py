"""Copies of ultrasound files that name no patient: metadata by profile, pixels by region."""

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
# how stored values become what is seen; the copy holds what is seen
OF_DISPLAY = (
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    *("VOILUTSequence", "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("PaletteColorLookupTableUID", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "ICCProfile", "ColorSpace"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelAspectRatio"),
)
PALETTE = "PaletteColorLookupTable"


@dataclass(frozen=True, slots=True)
class Anonymized:
    """What became of a file.

    Args:
        path: The copy.
        blanked: Whether its ultrasound regions leave something out, and that was made black.
        frames: How many frames it has.
    """

    path: Path
    blanked: bool
    frames: int


def anonymize(
    source: Path, out: Path, *, names: Pseudonyms, whole_images: bool = False
) -> Anonymized:
    """Write a copy of an ultrasound file that names no patient.

    UIDs and the patient's ID are replaced by others that follow from the secret, so that files of a
    study still belong together. Pixels outside the two-dimensional ultrasound regions become black,
    bounds inclusive; marks inside a region stay and must be looked for. Pixel data are decoded to
    what a person sees and written native.

    Args:
        source: The file.
        out: Folder of the copy, which is named by its new SOP Instance UID.
        names: What stands for UIDs and for the patient.
        whole_images: Copy an image without usable regions, or whose regions leave nothing out,
            as a whole; BurnedInAnnotation is then YES, as nobody has looked.

    Raises:
        InputError: A file that cannot be used, one without regions, or one whose regions leave
            nothing out.
        OSError: A place that cannot be written.
    """
    file = DicomFile(source)
    pixels, blanked = _pixels(file, whole_images)
    header, content = Dataset(), BytesIO()
    try:
        # pydicom's warnings quote values
        with warnings.catch_warnings(action="ignore"):
            for element in file.header:
                header.add(copy.deepcopy(element))
            apply_profile(header, names)
            _tell(header, blanked)
            _put(header, pixels)
            header.save_as(content, enforce_file_format=True)
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise InputError(
            f"{source} cannot be anonymized",
            f"its header is damaged ({type(error).__name__})",
            "Export the image again",
        ) from error
    path = out / f"{header.SOPInstanceUID}.dcm"
    write_bytes(path, content.getvalue())
    return Anonymized(path, blanked, file.frames)


def _pixels(file: DicomFile, whole_images: bool) -> tuple[list[NDArray[Any]], bool]:
    """All frames, black outside their regions; and whether there was an outside in all of them."""
    frames, size, blanked = [], 0, True
    for image in file:
        if not _has_outside(image):
            blanked = False
            if not whole_images:
                known = "regions cover all of it" if image.regions else "region is not told"
                raise InputError(
                    f"{file.path} is not anonymized",
                    f"its ultrasound {known}, so text in its pixels cannot be cut away",
                    "Look at it, and give --whole-images if nothing in it names a patient",
                )
        frames.append(_inside(image))
        size += frames[-1].nbytes
        if size > MAX_PIXEL_BYTES:
            raise InputError(
                f"{file.path} is not anonymized",
                f"its pixels need more than {MAX_PIXEL_BYTES >> 30} GiB",
                "Cut the clip into shorter ones",
            )
    return frames, blanked


def _has_outside(image: Image) -> bool:
    """Whether there are regions, and pixels outside of them."""
    inside = np.zeros(image.shape, bool)
    for region in image.regions:
        inside[region.slices] = True
    return bool(image.regions) and not bool(inside.all())


def _inside(image: Image) -> NDArray[Any]:
    """The pixels, black outside of the regions where there are any."""
    if not image.regions:
        return image.pixels
    kept = np.zeros_like(image.pixels)
    for region in image.regions:
        kept[region.slices] = image.pixels[region.slices]
    return kept


def _tell(header: Dataset, blanked: bool) -> None:
    """Say in the header what was done."""
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


def _put(header: Dataset, frames: list[NDArray[Any]]) -> None:
    """Put native pixels, and what describes them, into a header."""
    for element in list(header):
        if element.keyword in OF_DISPLAY or PALETTE in element.keyword:
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
