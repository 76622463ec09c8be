"""A result's measurements as a DICOM structured report: TID 1500, Comprehensive 3D SR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suraksha.dicom.objects import codes
from suraksha.dicom.objects.algorithm import algorithm_item, code
from suraksha.dicom.objects.codes import Code
from suraksha.dicom.objects.source import Source, name_own_class
from suraksha.errors import InputError
from suraksha.io.dicom_guard import suppress_pydicom_warnings
from suraksha.types import Lesion

if TYPE_CHECKING:
    from pydicom import Dataset

# a value of SCOORD has at most 65534 bytes, two floats of four to a point
MAX_POINTS = 8000
MAX_LESIONS = 200


def make_sr(source: Source) -> Dataset:
    """The report of a result: complete, preliminary, unverified.

    One group is about the whole image: whether there is a lesion, and how many. One group for
    each lesion (TID 1410) holds its contour as a closed polyline and its measurements, in mm where
    the size of a pixel is known and else in pixels.

    Args:
        source: The result and its image.

    Raises:
        InputError: A result of more than 200 lesions.
    """
    if len(source.result.lesions) > MAX_LESIONS:
        raise InputError(
            f"no DICOM SR can be written about '{source.result.image.name}'",
            f"its mask holds {len(source.result.lesions)} regions, more than {MAX_LESIONS}",
            "An image with so many is hardly one of a breast; look at the overlay",
        )
    with suppress_pydicom_warnings():
        return _report(source)


def _report(source: Source) -> Dataset:
    import highdicom as hd
    from pydicom.sr.codedict import codes as standard

    groups = [_whole(source), *(_lesion(source, lesion) for lesion in source.result.lesions)]
    content = hd.sr.MeasurementReport(
        observation_context=_observer(source),
        procedure_reported=code(codes.US_BREAST),
        imaging_measurements=groups,
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
    name_own_class(report, source)
    return report


def _observer(source: Source) -> Any:  # noqa: ANN401 - of highdicom
    import highdicom as hd
    from pydicom.sr.codedict import codes as standard

    card = source.result.card
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            standard.DCM.Device,
            hd.sr.DeviceObserverIdentifyingAttributes(
                uid=codes.uid_of("device", card.model_sha256),
                name="Suraksha (research use only)",
                manufacturer_name=codes.MANUFACTURER,
                model_name=card.name,
                serial_number=card.model_sha256[:16],
            ),
        )
    )


def _frames(source: Source) -> list[int] | None:
    return [source.frame] if source.frame else None


def _measurement(source: Source, name: Code, *, value: float, unit: Code) -> Any:  # noqa: ANN401
    import highdicom as hd

    return hd.sr.Measurement(
        name=code(name),
        value=float(value),
        unit=code(unit),
        algorithm_id=algorithm_item(source.result, corrected=source.corrected),
    )


def _whole(source: Source) -> Any:  # noqa: ANN401 - of highdicom
    """What is said of the image as a whole (TID 1501)."""
    import highdicom as hd

    found = len(source.result.lesions)
    told = [(codes.LESION, codes.PRESENT if found else codes.ABSENT)]
    if not source.corrected:  # the rule asks about the network's answer, of which nothing is left
        told.append((codes.REVIEW, codes.YES if source.result.needs_review else codes.NO))
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(source.uid("image"), "Image"),
        finding_type=code(codes.LESION),
        algorithm_id=algorithm_item(source.result, corrected=source.corrected),
        finding_sites=[_site(source)],
        measurements=[
            _measurement(source, codes.LESIONS_FOUND, value=found, unit=codes.COUNT),
        ],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(code(name), code(value)) for name, value in told
        ],
        source_images=[
            hd.sr.SourceImageForMeasurementGroup.from_source_image(
                source.whole, referenced_frame_numbers=_frames(source)
            )
        ],
    )


def _lesion(source: Source, lesion: Lesion) -> Any:  # noqa: ANN401 - of highdicom
    """One lesion's contour and figures (TID 1410)."""
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
        finding_type=code(codes.LESION),
        finding_category=code(codes.ABNORMAL),
        algorithm_id=algorithm_item(source.result, corrected=source.corrected),
        finding_sites=[_site(source)],
        measurements=[
            _measurement(source, name, value=value, unit=unit)
            for name, value, unit in figures(lesion)
        ],
    )


def _site(source: Source) -> Any:  # noqa: ANN401 - of highdicom
    import highdicom as hd

    side = {"L": codes.LEFT, "R": codes.RIGHT}.get(source.laterality)
    return hd.sr.FindingSite(code(codes.BREAST), laterality=code(side) if side else None)


def figures(lesion: Lesion) -> list[tuple[Code, float, Code]]:
    """Name, value and unit of each measurement of a lesion."""
    told: list[tuple[Code, float, Code]] = []
    for name, px, mm in (
        (codes.LONG_AXIS, lesion.long_axis_px, lesion.long_axis_mm),
        (codes.PERPENDICULAR_AXIS, lesion.short_axis_px, lesion.short_axis_mm),
        (codes.PERIMETER, lesion.perimeter_px, lesion.perimeter_mm),
        (codes.DEPTH, lesion.depth_px, lesion.depth_mm),
    ):
        told.append((name, px, codes.PIXEL) if mm is None else (name, mm, codes.MILLIMETRE))
    area = lesion.area_mm2
    told.append(
        (codes.AREA, float(lesion.area_px), codes.PIXEL)
        if area is None
        else (codes.AREA, area, codes.SQUARE_MILLIMETRE)
    )
    if lesion.confidence is not None:
        told.append((codes.CERTAINTY, 100 * lesion.confidence, codes.PERCENT))
    return told


def polyline(contour: NDArray[np.float64]) -> NDArray[np.float32]:
    """A contour as DICOM wants it: (column, row), closed, no point on a straight run.

    DICOM's (0, 0) is the upper left corner of the upper left pixel, as ours.

    Args:
        contour: (n, 2) (row, col), first == last.

    Returns:
        (m, 2) float32 (column, row), first == last, at most 8000 points.
    """
    points = contour[:-1]
    before, after = np.roll(points, 1, axis=0) - points, np.roll(points, -1, axis=0) - points
    bends = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    kept = points[bends] if bends.sum() >= 3 else points
    kept = kept[:: -(-len(kept) // (MAX_POINTS - 1))]
    closed = np.concatenate([kept, kept[:1]])
    return np.ascontiguousarray(closed[:, ::-1], dtype=np.float32)
