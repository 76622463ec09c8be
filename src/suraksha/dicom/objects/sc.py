"""The overlay as a DICOM Secondary Capture, for viewers that show neither SEG nor SR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from suraksha.dicom.objects import codes
from suraksha.dicom.objects.source import Source, restore_sop_class
from suraksha.io.dicom_guard import suppress_pydicom_warnings
from suraksha.reporting.overlay import overlay

if TYPE_CHECKING:
    from pydicom import Dataset


def make_capture(source: Source) -> Dataset:
    """The image with mask, calipers and sizes, and "Research use only" burned in.

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
    # Any: highdicom declares integers, though Pixel Spacing is decimal
    pixel_spacing: Any = None if spacing is None else (spacing.row_mm, spacing.col_mm)
    capture: Dataset = hd.sc.SCImage.from_ref_dataset(
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
        pixel_spacing=pixel_spacing,
        patient_orientation=("L", "F"),  # required by highdicom, replaced below
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    capture.PatientOrientation = ""  # the orientation of the probe is unknown
    capture.Laterality = source.laterality
    capture.SeriesDescription = codes.SERIES_DESCRIPTIONS["SC"]
    capture.ManufacturerModelName = codes.MODEL_NAME
    capture.SoftwareVersions = codes.software_version()
    capture.DerivationDescription = f"Overlay by {result.card.name}. {codes.NOTICE}"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "YES"
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.header.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    if source.frame:
        reference.ReferencedFrameNumber = source.frame
    capture.SourceImageSequence = [reference]
    restore_sop_class(capture, source)
    return capture
