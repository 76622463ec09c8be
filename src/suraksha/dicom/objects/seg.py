"""The mask as a DICOM Segmentation (PS3.3 A.51), with one segment for each lesion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from suraksha.dicom.objects import codes
from suraksha.dicom.objects.source import Source, restore_sop_class
from suraksha.errors import InputError
from suraksha.io.dicom_guard import suppress_pydicom_warnings
from suraksha.measurement.components import components
from suraksha.types import Result

if TYPE_CHECKING:
    import highdicom as hd
    from pydicom import Dataset

MAX_SEGMENTS = 200


def make_seg(source: Source) -> Dataset:
    """The SEG of a result: BINARY, with the image's rows and columns.

    Viewers require a plane orientation, even without a frame of reference. It is the identity and
    has no meaning for the patient.

    Args:
        source: The result and its image.

    Raises:
        InputError: A result without a lesion, or with more than 200.
    """
    result = source.result
    if not 0 < len(result.lesions) <= MAX_SEGMENTS:
        raise InputError(
            f"cannot write DICOM SEG for '{result.image.name}'",
            f"its mask has {len(result.lesions)} lesions; 1 to {MAX_SEGMENTS} are supported",
            "Write the SR, which also reports that no lesion was found",
        )
    with suppress_pydicom_warnings():
        return _segmentation(source)


def _segmentation(source: Source) -> Dataset:
    import highdicom as hd
    from pydicom import Dataset

    result = source.result
    seg: Dataset = hd.seg.Segmentation(
        source_images=[source.header],
        pixel_array=label_map(result),
        segmentation_type="BINARY",
        segment_descriptions=[_description(source, lesion.label) for lesion in result.lesions],
        series_instance_uid=source.series_uid("SEG"),
        series_number=codes.SERIES_NUMBERS["SEG"],
        sop_instance_uid=source.uid("SEG"),
        instance_number=source.instance_number,
        manufacturer=codes.MANUFACTURER,
        manufacturer_model_name=codes.MODEL_NAME,
        software_versions=codes.software_version(),
        device_serial_number=result.card.model_sha256[:16],
        content_label="LESION",
        content_description=f"Lesion segmentation. {codes.NOTICE}",
        pixel_measures=_pixel_measures(result),
        omit_empty_frames=False,
    )
    seg.SeriesDescription = codes.SERIES_DESCRIPTIONS["SEG"]
    seg.PatientOrientation = ""
    plane = Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    common = seg.SharedFunctionalGroupsSequence[0]
    if "PlaneOrientationSequence" not in common:
        common.PlaneOrientationSequence = [plane]
    if source.frame:
        for group in seg.PerFrameFunctionalGroupsSequence:
            reference = group.DerivationImageSequence[0].SourceImageSequence[0]
            reference.ReferencedFrameNumber = source.frame
    restore_sop_class(seg, source)
    return seg


def _description(source: Source, number: int) -> hd.seg.SegmentDescription:
    import highdicom as hd

    return hd.seg.SegmentDescription(
        number,
        f"{codes.SEGMENT_LABEL} {number}",
        segmented_property_category=codes.concept(codes.ABNORMAL),
        segmented_property_type=codes.concept(codes.LESION),
        algorithm_type="SEMIAUTOMATIC" if source.corrected else "AUTOMATIC",
        algorithm_identification=codes.segment_algorithm(source.result),
        tracking_uid=source.uid(f"lesion {number}"),
        tracking_id=f"{codes.SEGMENT_LABEL} {number}",
        anatomic_regions=[codes.concept(codes.BREAST)],
        display_color=hd.color.CIELabColor.from_rgb(*codes.DISPLAY_COLOUR),
    )


def _pixel_measures(result: Result) -> hd.PixelMeasuresSequence | None:
    import highdicom as hd

    spacing = result.image.spacing
    if spacing is None:
        return None
    return hd.PixelMeasuresSequence(
        pixel_spacing=[spacing.row_mm, spacing.col_mm], slice_thickness=1.0
    )


def label_map(result: Result) -> NDArray[np.uint8]:
    """The label of the lesion that each pixel belongs to, or 0.

    Returns:
        (H, W) uint8.
    """
    made = np.zeros(result.image.shape, np.uint8)
    numbers = {(lesion.bbox, lesion.area_px): lesion.label for lesion in result.lesions}
    for scan in result.image.scans:
        top, left = scan.box[:2]
        part = made[scan.slices]
        for component in components(result.mask[scan.slices]):
            rows, cols, last_row, last_col = component.bbox
            bbox = (rows + top, cols + left, last_row + top, last_col + left)
            number = numbers.get((bbox, component.area_px))
            if number:
                part[rows:last_row, cols:last_col][component.pixels] = number
    return made
