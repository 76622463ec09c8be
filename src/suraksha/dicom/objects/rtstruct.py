"""Contours as a DICOM RT Structure Set, where the image has a place in the patient."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from suraksha.dicom.objects import codes
from suraksha.dicom.objects.source import Source
from suraksha.dicom.objects.sr import polyline
from suraksha.errors import InputError
from suraksha.io.dicom_guard import suppress_pydicom_warnings
from suraksha.types import Lesion

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataset import FileDataset

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
NEEDED = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
COLOUR = [230, 159, 0]


def make_rtstruct(source: Source) -> Dataset:
    """The contours of a result in the patient's coordinates (mm), one ROI for each lesion.

    Args:
        source: The result and its image.

    Raises:
        InputError: An image without a frame of reference, as those of a hand-held probe are; or a
            result without a lesion.
    """
    missing = [name for name in NEEDED if not source.header.get(name)]
    if missing:
        raise InputError(
            f"no RT Structure Set can be written about '{source.result.image.name}'",
            f"its file has no {', '.join(missing)}, so where it lies in the patient is not known",
            "Export SEG, SR, GeoJSON or NRRD, or track the probe when the image is taken",
        )
    if not source.result.lesions:
        raise InputError(
            f"no RT Structure Set can be written about '{source.result.image.name}'",
            "no lesion was found in it",
            "Write the SR, which says so",
        )
    with suppress_pydicom_warnings():
        made = _with_patient(source)
        _describe(made, source)
        _contours(made, source)
    return made


def in_patient(source: Source, contour: NDArray[np.float64]) -> NDArray[np.float64]:
    """A contour in the patient's coordinates, PS3.3 C.7.6.2.1.1.

    Args:
        source: The image, with a place in the patient.
        contour: (n, 2) (row, col), counted from pixel edges.

    Returns:
        (m, 3) x, y, z in mm.
    """
    header = source.header
    along_row, along_col = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    row_mm, col_mm = (float(v) for v in header.PixelSpacing)
    cols, rows = polyline(contour)[:-1].T.astype(float) - 0.5  # the position is of a pixel's centre
    start = np.array(header.ImagePositionPatient, float)
    return start + np.outer(cols * col_mm, along_row) + np.outer(rows * row_mm, along_col)


def _with_patient(source: Source) -> FileDataset:
    """A new object of the image's patient and study."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTSTRUCT
    meta.MediaStorageSOPInstanceUID = source.uid("RTSTRUCT")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = RTSTRUCT, source.uid("RTSTRUCT")
    for name in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
        *("SpecificCharacterSet", "FrameOfReferenceUID"),
    ):
        if name in source.header:
            made[name] = source.header[name]
    made.PositionReferenceIndicator = ""
    return made


def _describe(made: Dataset, source: Source) -> None:
    now = datetime.now()
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", source.series_uid("RTSTRUCT")
    made.SeriesNumber = codes.SERIES_NUMBERS["RTSTRUCT"]
    made.SeriesDescription = codes.SERIES_DESCRIPTIONS["RTSTRUCT"]
    made.InstanceNumber, made.OperatorsName = source.instance_number, ""
    made.Manufacturer, made.ManufacturerModelName = codes.MANUFACTURER, codes.MODEL_NAME
    made.SoftwareVersions = codes.software_version()
    made.StructureSetLabel = "SURAKSHA RUO"
    made.StructureSetDescription = f"{codes.NOTICE}. {source.result.card.name}"
    made.StructureSetDate, made.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.ApprovalStatus = "UNAPPROVED"


def _contours(made: Dataset, source: Source) -> None:
    from pydicom import Dataset

    frame_of_reference = str(source.header.FrameOfReferenceUID)
    image = _reference(source)
    series = Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = source.header.SeriesInstanceUID, [image]
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = source.header.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = frame_of_reference, [study]
    made.ReferencedFrameOfReferenceSequence = [frame]
    lesions = source.result.lesions
    made.StructureSetROISequence = [_roi(lesion, frame_of_reference) for lesion in lesions]
    made.ROIContourSequence = [_contour(source, lesion) for lesion in lesions]
    made.RTROIObservationsSequence = [_observation(lesion) for lesion in lesions]


def _reference(source: Source) -> Dataset:
    from pydicom import Dataset

    image = Dataset()
    image.ReferencedSOPClassUID = source.sop_class
    image.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    if source.frame:
        image.ReferencedFrameNumber = source.frame
    return image


def _roi(lesion: Lesion, frame_of_reference: str) -> Dataset:
    from pydicom import Dataset

    roi = Dataset()
    roi.ROINumber, roi.ROIName = lesion.label, f"{codes.SEGMENT_LABEL} {lesion.label} (RUO)"
    roi.ReferencedFrameOfReferenceUID = frame_of_reference
    roi.ROIGenerationAlgorithm = "AUTOMATIC"
    return roi


def _contour(source: Source, lesion: Lesion) -> Dataset:
    from pydicom import Dataset

    points = in_patient(source, lesion.contour)
    contour = Dataset()
    contour.ContourImageSequence = [_reference(source)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.4f}" for value in points.ravel()]
    roi = Dataset()
    roi.ROIDisplayColor, roi.ContourSequence = COLOUR, [contour]
    roi.ReferencedROINumber = lesion.label
    return roi


def _observation(lesion: Lesion) -> Dataset:
    from pydicom import Dataset

    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = lesion.label
    observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
    return observation
