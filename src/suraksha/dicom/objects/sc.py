"""The overlay as a DICOM Secondary Capture, for archives that show neither SEG nor SR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from suraksha.dicom.objects import codes
from suraksha.dicom.objects.source import Source, name_own_class
from suraksha.io.dicom_guard import suppress_pydicom_warnings
from suraksha.reporting.overlay import overlay

if TYPE_CHECKING:
    from pydicom import Dataset


def make_capture(source: Source) -> Dataset:
    """The image with mask, axes and sizes drawn in, and "research use only" burned in.

    Args:
        source: The result and its image.
    """
    with suppress_pydicom_warnings():
        return _capture(source)


def _capture(source: Source) -> Dataset:
    import highdicom as hd
    from pydicom import Dataset
    from pydicom.uid import ExplicitVRLittleEndian

    result, spacing = source.result, source.result.image.spacing
    capture = hd.sc.SCImage.from_ref_dataset(
        source.header,
        pixel_array=overlay(result.image, result.mask, lesions=result.lesions, enlarge=False),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=source.series_uid("SC"),
        series_number=codes.SERIES_NUMBERS["SC"],
        sop_instance_uid=source.uid("SC"),
        instance_number=source.instance_number,
        manufacturer=codes.MANUFACTURER,
        pixel_spacing=None if spacing is None else (spacing.row_mm, spacing.col_mm),
        patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    # how the probe was held is not known
    capture.PatientOrientation = ""
    capture.Laterality = source.laterality
    capture.SeriesDescription = codes.SERIES_DESCRIPTIONS["SC"]
    capture.ManufacturerModelName = codes.MODEL_NAME
    capture.SoftwareVersions = codes.software_version()
    capture.DerivationDescription = f"Overlay by {result.card.name}. {codes.NOTICE}"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "YES"
    of = Dataset()
    of.ReferencedSOPClassUID = source.header.SOPClassUID
    of.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    if source.frame:
        of.ReferencedFrameNumber = source.frame
    capture.SourceImageSequence = [of]
    name_own_class(capture, source)
    return capture
