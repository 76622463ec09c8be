"""Synthetic ultrasound DICOM files made from phantoms, without any patient data."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from suraksha.datasets.phantom import sample_phantom

SHAPE = (200, 250)
NAME, PATIENT_ID = "Phantom^Synthetic", "SYN-0001"
PILLOW = {JPEGBaseline8Bit: ("JPEG", {"quality": 95}), JPEG2000Lossless: ("JPEG2000", {})}


def image(number=0, *, seed=4, shape=SHAPE, banner=0, rgb=False):
    """Pixels of a phantom below a banner of ``banner`` rows with white marks like text."""
    phantom = sample_phantom(seed, number, shape=shape)
    pixels = np.zeros((shape[0] + banner, shape[1]), np.uint8)
    pixels[banner:] = phantom.image.pixels
    pixels[banner // 4 : banner // 2, ::3] = 255
    return np.repeat(pixels[..., None], 3, axis=2) if rgb else pixels


def region(top, left, bottom, right, *, spacing_mm=0.2):
    """An item of the Sequence of Ultrasound Regions; bounds are inclusive."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3  # cm
    item.PhysicalDeltaX = item.PhysicalDeltaY = spacing_mm / 10
    return item


def us_image(path, *, pixels=None, number=0, regions=(), sop_class=None, study="1", **elements):
    """Write a US Image, or a US Multi-frame for (frames, rows, cols[, 3]) pixels; the dataset.

    ``syntax`` selects the transfer syntax; the other elements are set in the dataset.
    """
    pixels = image(number) if pixels is None else pixels
    rgb = pixels.ndim > 2 and pixels.shape[-1] == 3
    frames = pixels.shape[0] if pixels.ndim - rgb == 3 else None
    syntax = elements.pop("syntax", ExplicitVRLittleEndian)
    data = FileDataset(str(path), {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    data.SOPClassUID = sop_class or (
        UltrasoundMultiFrameImageStorage if frames else UltrasoundImageStorage
    )
    key = ["suraksha tests", study, str(number), str(pixels.shape), str(data.SOPClassUID)]
    _describe(data, key, study)
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if rgb else (1, "MONOCHROME2")
    if rgb:
        data.PlanarConfiguration = 0
    if frames:
        data.NumberOfFrames, data.FrameTime, data.FrameIncrementPointer = frames, 40.0, 0x00181063
    data.Rows, data.Columns = pixels.shape[1:3] if frames else pixels.shape[:2]
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    if regions:
        data.SequenceOfUltrasoundRegions = Sequence(regions)
    for name, value in elements.items():
        setattr(data, name, value)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    _pixels(data, np.ascontiguousarray(pixels), syntax)
    data.save_as(path, enforce_file_format=True)
    return data


def _describe(data, key, study):
    data.SOPInstanceUID = generate_uid(entropy_srcs=key)
    data.StudyInstanceUID = generate_uid(entropy_srcs=["suraksha study", study])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["suraksha series", study])
    data.Modality, data.Manufacturer, data.ConversionType = "US", "Suraksha tests", "WSD"
    if data.SOPClassUID != SecondaryCaptureImageStorage:
        del data.ConversionType
    data.ImageType = ["ORIGINAL", "PRIMARY", "BREAST", "0001"]
    data.PatientName, data.PatientID = NAME, PATIENT_ID
    data.PatientBirthDate, data.PatientSex = "19700101", "F"
    data.StudyDate = data.ContentDate = "20260102"
    data.StudyTime = data.ContentTime = "101500"
    data.StudyID, data.SeriesNumber, data.InstanceNumber = "1", 1, 1
    data.AccessionNumber = data.ReferringPhysicianName = data.PatientOrientation = ""
    data.Laterality, data.LossyImageCompression = "L", "00"


def _pixels(data, pixels, syntax):
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    if syntax in PILLOW:
        _encapsulate(data, pixels, syntax)
    elif syntax == RLELossless:
        data.compress(RLELossless, generate_instance_uid=False)
    elif syntax != ExplicitVRLittleEndian:
        data.file_meta.TransferSyntaxUID = syntax


def _encapsulate(data, pixels, syntax):
    from io import BytesIO

    from PIL import Image as PilImage

    frames = pixels if "NumberOfFrames" in data else [pixels]
    kind, options = PILLOW[syntax]
    coded = []
    for frame in frames:
        buffer = BytesIO()
        PilImage.fromarray(frame).save(buffer, kind, **options)
        coded.append(buffer.getvalue())
    data.PixelData = encapsulate(coded)
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = syntax
    if data.SamplesPerPixel == 3:
        lossy = syntax == JPEGBaseline8Bit
        data.PhotometricInterpretation = "YBR_FULL_422" if lossy else "YBR_RCT"
    if syntax == JPEGBaseline8Bit:
        data.LossyImageCompression = "01"
        data.LossyImageCompressionRatio, data.LossyImageCompressionMethod = 10.0, "ISO_10918_1"


def us_cine(path, *, frames=5, first=0, rgb=False, shape=SHAPE, **elements):
    """Write a US Multi-frame of ``frames`` phantoms; one of six has no lesion."""
    numbers = range(first, first + frames)
    pixels = np.stack([image(number, rgb=rgb, shape=shape) for number in numbers])
    return us_image(path, pixels=pixels, number=first, **elements)


def us_files(folder: Path, count: int, *, shape=SHAPE) -> list[Path]:
    """``count`` single images of one study; one of six has no lesion."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"us-{number:04d}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        us_image(path, pixels=image(number, shape=shape), number=number, InstanceNumber=number)
    return paths
