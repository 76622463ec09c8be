"""The measurements as a DICOM structured report: Comprehensive 3D SR, template TID 1500."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from suraksha.dicom.objects import codes
from suraksha.dicom.objects.codes import Code, concept
from suraksha.dicom.objects.source import Source, restore_sop_class
from suraksha.errors import InputError
from suraksha.io.dicom_guard import suppress_pydicom_warnings
from suraksha.types import Lesion

if TYPE_CHECKING:
    import highdicom as hd
    from pydicom import Dataset

# an SCOORD value has at most 65534 bytes; a point has two floats of four bytes
MAX_POINTS = 8000
MAX_LESIONS = 200


def make_sr(source: Source) -> Dataset:
    """The report of a result: complete, preliminary, unverified.

    One group describes the whole image: lesion present or absent, and how many. One group for each
    lesion (TID 1410) has its contour as a closed polyline and its measurements, in mm if the pixel
    size is known, else in pixels.

    Args:
        source: The result and its image.

    Raises:
        InputError: A result with more than 200 lesions.
    """
    if len(source.result.lesions) > MAX_LESIONS:
        raise InputError(
            f"cannot write DICOM SR for '{source.result.image.name}'",
            f"its mask has {len(source.result.lesions)} lesions; {MAX_LESIONS} are supported",
            "Check in the overlay that it is an ultrasound image of a breast",
        )
    with suppress_pydicom_warnings():
        return _report(source)


def _report(source: Source) -> Dataset:
    import highdicom as hd
    from pydicom.sr.codedict import codes as standard

    lesions = [_lesion_group(source, lesion) for lesion in source.result.lesions]
    content = hd.sr.MeasurementReport(
        observation_context=_observer(source),
        procedure_reported=concept(codes.US_BREAST),
        imaging_measurements=[_image_group(source), *lesions],
        title=standard.DCM.ImagingMeasurementReport,
    )
    report: Dataset = hd.sr.Comprehensive3DSR(
        evidence=[source.whole],
        content=content,
        series_instance_uid=source.series_uid("SR"),
        series_number=codes.SERIES_NUMBERS["SR"],
        sop_instance_uid=source.uid("SR"),
        instance_number=source.instance_number,
        manufacturer=codes.MANUFACTURER,
        manufacturer_model_name=codes.MODEL_NAME,
        software_versions=codes.software_version(),
        device_serial_number=source.result.card.model_sha256[:16],
        series_description=codes.SERIES_DESCRIPTIONS["SR"],
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    restore_sop_class(report, source)
    return report


def _observer(source: Source) -> hd.sr.ObservationContext:
    import highdicom as hd
    from pydicom.sr.codedict import codes as standard

    card = source.result.card
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            standard.DCM.Device,
            hd.sr.DeviceObserverIdentifyingAttributes(
                uid=codes.uid_of("device", card.model_sha256),
                name=f"Suraksha ({codes.NOTICE})",
                manufacturer_name=codes.MANUFACTURER,
                model_name=card.name,
                serial_number=card.model_sha256[:16],
            ),
        )
    )


def _frames(source: Source) -> list[int] | None:
    return [source.frame] if source.frame else None


def _measurement(source: Source, name: Code, *, value: float, unit: Code) -> hd.sr.Measurement:
    import highdicom as hd

    return hd.sr.Measurement(
        name=concept(name),
        value=float(value),
        unit=concept(unit),
        algorithm_id=codes.report_algorithm(source.result, corrected=source.corrected),
    )


def _image_group(source: Source) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """The findings of the whole image (TID 1501)."""
    import highdicom as hd

    count = len(source.result.lesions)
    evaluations = [(codes.LESION, codes.PRESENT if count else codes.ABSENT)]
    if not source.corrected:  # the review rule is about the prediction, not about a correction
        evaluations.append((codes.REVIEW, codes.YES if source.result.needs_review else codes.NO))
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(source.uid("image"), "Image"),
        finding_type=concept(codes.LESION),
        algorithm_id=codes.report_algorithm(source.result, corrected=source.corrected),
        finding_sites=[_site(source)],
        measurements=[
            _measurement(source, codes.LESIONS_FOUND, value=count, unit=codes.COUNT),
        ],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(concept(name), concept(value))
            for name, value in evaluations
        ],
        source_images=[
            hd.sr.SourceImageForMeasurementGroup.from_source_image(
                source.whole, referenced_frame_numbers=_frames(source)
            )
        ],
    )


def _lesion_group(
    source: Source, lesion: Lesion
) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """Contour and measurements of a lesion (TID 1410)."""
    import highdicom as hd

    region = hd.sr.ImageRegion(
        hd.sr.GraphicTypeValues.POLYLINE,
        polyline(lesion.contour),
        hd.sr.SourceImageForRegion.from_source_image(
            source.whole, referenced_frame_numbers=_frames(source)
        ),
    )
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            source.uid(f"lesion {lesion.label}"), f"{codes.SEGMENT_LABEL} {lesion.label}"
        ),
        referenced_region=region,
        finding_type=concept(codes.LESION),
        finding_category=concept(codes.ABNORMAL),
        algorithm_id=codes.report_algorithm(source.result, corrected=source.corrected),
        finding_sites=[_site(source)],
        measurements=[
            _measurement(source, name, value=value, unit=unit)
            for name, value, unit in measurements(lesion)
        ],
    )


def _site(source: Source) -> hd.sr.FindingSite:
    import highdicom as hd

    side = {"L": codes.LEFT, "R": codes.RIGHT}.get(source.laterality)
    return hd.sr.FindingSite(concept(codes.BREAST), laterality=concept(side) if side else None)


def measurements(lesion: Lesion) -> list[tuple[Code, float, Code]]:
    """The measurements of a lesion: (name, value, unit)."""
    made: list[tuple[Code, float, Code]] = []
    for name, px, mm in (
        (codes.LONG_AXIS, lesion.long_axis_px, lesion.long_axis_mm),
        (codes.PERPENDICULAR_AXIS, lesion.short_axis_px, lesion.short_axis_mm),
        (codes.PERIMETER, lesion.perimeter_px, lesion.perimeter_mm),
        (codes.DEPTH, lesion.depth_px, lesion.depth_mm),
    ):
        made.append((name, px, codes.PIXEL) if mm is None else (name, mm, codes.MILLIMETRE))
    area = lesion.area_mm2
    made.append(
        (codes.AREA, float(lesion.area_px), codes.PIXEL)
        if area is None
        else (codes.AREA, area, codes.SQUARE_MILLIMETRE)
    )
    if lesion.confidence is not None:
        made.append((codes.CERTAINTY, 100 * lesion.confidence, codes.PERCENT))
    return made


def polyline(contour: NDArray[np.float64]) -> NDArray[np.float32]:
    """A contour in DICOM's form: (column, row), closed, without points on straight lines.

    DICOM's (0, 0) is the upper left corner of the upper left pixel, as in Suraksha.

    Args:
        contour: (n, 2) (row, col), first == last.

    Returns:
        (m, 2) float32 (column, row), first == last, at most 8000 points.
    """
    points = contour[:-1]
    before, after = np.roll(points, 1, axis=0) - points, np.roll(points, -1, axis=0) - points
    is_corner = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    kept = points[is_corner] if is_corner.sum() >= 3 else points
    kept = kept[:: -(-len(kept) // (MAX_POINTS - 1))]
    closed = np.concatenate([kept, kept[:1]])
    return np.ascontiguousarray(closed[:, ::-1], dtype=np.float32)
