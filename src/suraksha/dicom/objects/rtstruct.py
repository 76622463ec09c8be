"""Contours as a DICOM RT Structure Set, for images with a position in the patient."""

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

REQUIRED = (
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
)
PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SpecificCharacterSet",
    "FrameOfReferenceUID",
)
DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"


def make_rtstruct(source: Source) -> Dataset:
    """The contours of a result in patient coordinates (mm), one ROI for each lesion.

    Args:
        source: The result and its image.

    Raises:
        InputError: An image without a frame of reference, as from a hand-held probe; or a result
            without a lesion.
    """
    missing = [name for name in REQUIRED if not source.header.get(name)]
    if missing:
        raise InputError(
            f"cannot write DICOM RTSTRUCT for '{source.result.image.name}'",
            f"its file lacks {', '.join(missing)}, so its position in the patient is unknown",
            "Export SEG, SR, GeoJSON or NRRD, or acquire the image with a tracked probe",
        )
    if not source.result.lesions:
        raise InputError(
            f"cannot write DICOM RTSTRUCT for '{source.result.image.name}'",
            "no lesion was found",
            "Write the SR, which reports this",
        )
    with suppress_pydicom_warnings():
        made = _new_object(source)
        _add_description(made, source)
        _add_contours(made, source)
    return made


def in_patient(source: Source, contour: NDArray[np.float64]) -> NDArray[np.float64]:
    """A contour in patient coordinates (PS3.3 C.7.6.2.1.1).

    Args:
        source: The image, with a position in the patient.
        contour: (n, 2) (row, col) coordinates of pixel edges.

    Returns:
        (m, 3) x, y, z in mm.
    """
    header = source.header
    along_row, along_col = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    row_mm, col_mm = (float(v) for v in header.PixelSpacing)
    cols, rows = polyline(contour)[:-1].T.astype(float) - 0.5  # positions are of pixel centres
    start = np.array(header.ImagePositionPatient, float)
    return start + np.outer(cols * col_mm, along_row) + np.outer(rows * row_mm, along_col)


def _new_object(source: Source) -> FileDataset:
    """A new object in the image's study."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, RTStructureSetStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = UID(source.uid("RTSTRUCT"))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID = RTStructureSetStorage
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    for name in PATIENT_AND_STUDY:
        if name in source.header:
            made[name] = source.header[name]
    made.PositionReferenceIndicator = ""
    return made


def _add_description(made: Dataset, source: Source) -> None:
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


def _add_contours(made: Dataset, source: Source) -> None:
    from pydicom import Dataset

    frame_of_reference = str(source.header.FrameOfReferenceUID)
    image = _reference(source)
    series = Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = source.header.SeriesInstanceUID, [image]
    study = Dataset()
    study.ReferencedSOPClassUID = DETACHED_STUDY
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
    roi.ROIDisplayColor, roi.ContourSequence = list(codes.DISPLAY_COLOUR), [contour]
    roi.ReferencedROINumber = lesion.label
    return roi


def _observation(lesion: Lesion) -> Dataset:
    from pydicom import Dataset

    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = lesion.label
    observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
    return observation
