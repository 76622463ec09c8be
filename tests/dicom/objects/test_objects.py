"""SEG, SR, overlay and RTSTRUCT of real results, read back and validated by dciodvfy."""

import io
import shutil
import subprocess
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.pixels import pixel_array

from suraksha import load_segmenter, read_image
from suraksha.datasets.phantom import sample_phantom
from suraksha.dicom.objects.results import MAKERS, object_bytes, result_objects, write_seg, write_sr
from suraksha.dicom.objects.rtstruct import in_patient
from suraksha.dicom.objects.seg import label_map
from suraksha.dicom.objects.source import source_of
from suraksha.dicom.objects.sr import polyline
from suraksha.errors import InputError
from suraksha.io.dicom import DicomFile
from suraksha.measurement.measure import measure_image
from suraksha.types import Spacing

PLACE = {
    "FrameOfReferenceUID": "1.2.3.4",
    "ImagePositionPatient": [10.0, -20.0, 30.0],
    "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
    "PixelSpacing": [0.2, 0.2],
}


@pytest.fixture(scope="module")
def segment():
    return load_segmenter(threads=1)


@pytest.fixture(scope="module")
def dciodvfy(debian_tools):
    """David Clunie's validator."""
    return shutil.which("dciodvfy")


@pytest.fixture
def us(make_dicom, tmp_path):
    """Writes an image with a lesion: (path, dataset)."""

    def write(name="us.dcm", **options):
        path = tmp_path / name
        regions = options.pop("regions", [make_dicom.region(0, 0, 199, 249, spacing_mm=0.2)])
        return path, make_dicom.us_image(path, regions=regions, **options)

    return write


@pytest.fixture
def result_of(segment):
    """A result whose mask is the phantom's ground truth, so that it has a lesion."""

    def make(path, number=0, frame=0):
        image = read_image(path, frame=frame)
        mask = sample_phantom(4, number, shape=(200, 250)).mask
        found = segment(image)
        return replace(found, mask=mask, lesions=measure_image(mask, image, probability=None))

    return make


def conforms(content, tmp_path, dciodvfy):
    path = tmp_path / "object.dcm"
    path.write_bytes(content)
    done = subprocess.run([dciodvfy, "-new", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
    return dcmread(path)


@pytest.mark.parametrize("kind", ["SEG", "SR", "SC"])
@pytest.mark.parametrize("source", ["grey", "rgb", "cine", "plain", "sided"])
def test_objects_conform_and_belong_to_the_study(
    us, result_of, make_dicom, tmp_path, dciodvfy, kind, source
):
    options = {
        "grey": {},
        "rgb": {"pixels": make_dicom.image(rgb=True)},
        "cine": {"pixels": np.stack([make_dicom.image(n) for n in range(3)])},
        "plain": {"regions": ()},
        "sided": {"Laterality": "R", "StudyID": "", "InstanceNumber": None},
    }[source]
    path, given = us(**options)
    before = path.read_bytes()
    frame = 2 if source == "cine" else 0
    made = conforms(object_bytes(result_of(path, frame, frame), kind), tmp_path, dciodvfy)
    assert path.read_bytes() == before
    for name in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber"):
        assert made[name].value == given[name].value
    assert made.SeriesInstanceUID != given.SeriesInstanceUID
    referred = {str(e.value) for e in made.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
    classes = {str(e.value) for e in made.iterall() if e.keyword == "ReferencedSOPClassUID"}
    assert str(given.SOPInstanceUID) in referred
    assert str(given.SOPClassUID) in classes
    frames = {int(e.value) for e in made.iterall() if e.keyword == "ReferencedFrameNumber"}
    assert frames == ({3} if source == "cine" else set())
    assert "esearch use only" in str(made)


def test_seg_pixels_equal_the_mask(us, result_of, tmp_path, dciodvfy):
    path, _ = us(number=1)
    result = result_of(path, 1)
    seg = conforms(object_bytes(result, "SEG"), tmp_path, dciodvfy)
    pixels = np.atleast_3d(pixel_array(seg))
    planes = pixels if pixels.shape[1:] == result.mask.shape else pixels[None, ..., 0]
    assert np.array_equal(planes.any(axis=0), result.mask)
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(v) for v in spacing] == pytest.approx([0.2, 0.2])


def test_each_lesion_is_a_segment(us, segment, tmp_path, dciodvfy):
    path, _ = us()
    image = read_image(path)
    mask = np.zeros(image.shape, bool)
    mask[20:60, 30:70] = mask[100:130, 150:220] = True
    result = replace(segment(image), mask=mask, lesions=measure_image(mask, image))
    seg = hd.seg.Segmentation.from_dataset(
        conforms(object_bytes(result, "SEG"), tmp_path, dciodvfy)
    )
    pixels = np.atleast_3d(seg.pixel_array)
    assert seg.number_of_segments == 2
    assert [int(plane.sum()) for plane in pixels] == [30 * 70, 40 * 40]
    assert pixels[0][100, 150] == 1
    assert np.array_equal(np.unique(label_map(result)), [0, 1, 2])
    report = hd.sr.srread(io.BytesIO(object_bytes(result, "SR")))
    groups = report.content.get_planar_roi_measurement_groups()
    assert [str(g.tracking_uid) for g in groups] == [
        str(item.TrackingUID) for item in seg.SegmentSequence
    ]


def test_sr_measurements_equal_those_of_the_result(us, result_of, segment):
    path, _ = us(number=1)
    image = read_image(path)
    found = segment(image)
    mask = sample_phantom(4, 1, shape=(200, 250)).mask
    lesions = measure_image(mask, image, probability=found.probability)
    result = replace(found, mask=mask, lesions=lesions)
    report = hd.sr.srread(io.BytesIO(object_bytes(result, "SR")))
    group = report.content.get_planar_roi_measurement_groups()[0]
    measured = {m.name.meaning: (m.value, m.unit.value) for m in group.get_measurements()}
    lesion = lesions[0]
    assert measured == {
        "Long Axis": (pytest.approx(lesion.long_axis_mm), "mm"),
        "Perpendicular Axis": (pytest.approx(lesion.short_axis_mm), "mm"),
        "Perimeter": (pytest.approx(lesion.perimeter_mm), "mm"),
        "Depth": (pytest.approx(lesion.depth_mm), "mm"),
        "Area": (pytest.approx(lesion.area_mm2), "mm2"),
        "Certainty of Finding": (pytest.approx(100 * lesion.confidence), "%"),
    }
    assert group.roi.value.shape[1] == 2
    corners = group.roi.value
    assert np.array_equal(corners[0], corners[-1])
    x, y = corners[:-1].T.astype(float)
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert area == pytest.approx(lesion.area_px, rel=0.02)
    assert report.CompletionFlag == "COMPLETE"
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert report.VerificationFlag == "UNVERIFIED"


def test_without_a_pixel_size_measurements_are_in_pixels(us, result_of):
    path, _ = us(regions=())
    result = result_of(path)
    report = hd.sr.srread(io.BytesIO(object_bytes(result, "SR")))
    group = report.content.get_planar_roi_measurement_groups()[0]
    assert {m.unit.value for m in group.get_measurements()} == {"{pixels}"}
    seg = dcmread(io.BytesIO(object_bytes(result, "SEG")))
    assert "PixelMeasuresSequence" not in seg.SharedFunctionalGroupsSequence[0]


def test_without_a_lesion_the_report_states_absent_and_there_is_no_seg(
    us, segment, tmp_path, dciodvfy
):
    path, _ = us()
    found = segment(read_image(path))
    result = replace(found, mask=np.zeros_like(found.mask), lesions=())
    text = str(conforms(object_bytes(result, "SR"), tmp_path, dciodvfy))
    assert "Absent" in text
    assert "'Present'" not in text
    with pytest.raises(InputError, match=r"0 lesions"):
        object_bytes(result, "SEG")


def test_uids_depend_on_the_result_and_on_the_correction(us, result_of):
    path, _ = us()
    result = result_of(path)
    uids = [
        dcmread(io.BytesIO(object_bytes(result, "SEG", corrected=corrected))).SOPInstanceUID
        for corrected in (False, False, True, True)
    ]
    assert uids[0] == uids[1] != uids[2] == uids[3]
    moved = replace(result, mask=np.roll(result.mask, 3))
    moved = replace(moved, lesions=measure_image(moved.mask, moved.image))
    other = dcmread(io.BytesIO(object_bytes(moved, "SEG", corrected=True)))
    assert other.SOPInstanceUID not in uids
    assert other.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert all(len(uid) <= 64 for uid in uids)


def test_another_result_of_the_image_is_another_object(us, result_of, segment):
    path, _ = us()
    uids = []
    for mm in (None, 0.1, 0.3):
        spacing = None if mm is None else Spacing.square(mm)
        image = DicomFile(path, spacing=spacing).image()
        found = segment(image)
        mask = sample_phantom(4, 0, shape=image.shape).mask
        result = replace(found, mask=mask, lesions=measure_image(mask, image))
        uids.append(dcmread(io.BytesIO(object_bytes(result, "SR"))).SOPInstanceUID)
    assert len(set(uids)) == 3


ODD_HEADERS = {
    "a number of frames in a single-frame class": {"NumberOfFrames": 1},
    "a retired class": {"sop_class": "1.2.840.10008.5.1.4.1.1.6"},
    "a year for a birth date": {"PatientBirthDate": "1970"},
    "an impossible birth date": {"PatientBirthDate": "19700000"},
    "a date with dots": {"StudyDate": "2026.01.02"},
    "a time with colons": {"StudyTime": "10:15:30"},
    "an invalid sex": {"PatientSex": "W"},
    "an unnamed default character set": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce",
    },
}


@pytest.mark.parametrize("kind", ["SEG", "SR", "SC"])
@pytest.mark.parametrize("odd", ODD_HEADERS)
@pytest.mark.filterwarnings("ignore:Invalid value")
def test_invalid_headers_of_scanners_are_sanitized(us, result_of, tmp_path, dciodvfy, odd, kind):
    with disable_value_validation():
        path, given = us(**ODD_HEADERS[odd])
    made = conforms(object_bytes(result_of(path), kind), tmp_path, dciodvfy)
    assert made.PatientName == given.PatientName
    assert made.PatientID == given.PatientID
    classes = {str(e.value) for e in made.iterall() if e.keyword == "ReferencedSOPClassUID"}
    assert str(given.SOPClassUID) in classes
    expected = {"StudyDate": "20260102", "StudyTime": "101530"}
    for name in ("PatientBirthDate", "StudyDate", "StudyTime", "PatientSex"):
        if name in ODD_HEADERS[odd]:
            assert str(made[name].value or "") == expected.get(name, "")


def test_an_error_of_a_writer_does_not_quote_the_header(us, result_of, monkeypatch):
    path, given = us()

    def fail(source):
        raise ValueError(f"odd: {source.header.PatientName}")

    monkeypatch.setitem(MAKERS, "SR", fail)
    with pytest.raises(InputError, match="invalid header element") as caught:
        object_bytes(result_of(path), "SR")
    assert str(given.PatientName) not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_corrected_report_states_the_correction_and_no_review(us, result_of, tmp_path, dciodvfy):
    path, _ = us()
    result = result_of(path)
    bare, drawn = (
        conforms(object_bytes(result, "SR", corrected=corrected), tmp_path, dciodvfy)
        for corrected in (False, True)
    )
    automatic, changed = ({str(e.value) for e in d.iterall()} for d in (bare, drawn))
    assert "Needs review" in automatic
    assert "Mask corrected by a person" not in automatic
    assert "Needs review" not in changed
    assert "Mask corrected by a person" in changed


def test_a_cine_is_reported_by_the_frame_with_the_largest_lesion(make_dicom, tmp_path, segment):
    path = tmp_path / "clip.dcm"
    make_dicom.us_cine(path, frames=4)
    areas = [max((x.area_px for x in segment(i).lesions), default=0) for i in DicomFile(path)]
    assert max(areas) > 0
    report, seg = result_objects(path, segment)
    frames = {
        int(e.value)
        for d in (report, seg)
        for e in d.iterall()
        if e.keyword == "ReferencedFrameNumber"
    }
    assert frames == {int(np.argmax(areas)) + 1}
    assert int(pixel_array(seg).sum()) >= max(areas)


def test_contours_are_in_patient_coordinates(us, result_of, tmp_path, dciodvfy):
    path, _ = us(regions=(), **PLACE)
    result = result_of(path)
    made = conforms(object_bytes(result, "RTSTRUCT"), tmp_path, dciodvfy)
    assert made.FrameOfReferenceUID == "1.2.3.4"
    data = made.ROIContourSequence[0].ContourSequence[0]
    points = np.array(data.ContourData, float).reshape(-1, 3)
    assert len(points) == data.NumberOfContourPoints
    lesion = result.lesions[0]
    # rows run along -z, columns along +y; x is constant
    assert np.allclose(points[:, 0], 10.0)
    top, left, bottom, right = lesion.bbox
    assert points[:, 1].min() == pytest.approx(-20 + 0.2 * (left - 0.5), abs=0.11)
    assert points[:, 1].max() == pytest.approx(-20 + 0.2 * (right - 0.5), abs=0.11)
    assert points[:, 2].max() == pytest.approx(30 - 0.2 * (top - 0.5), abs=0.11)
    assert points[:, 2].min() == pytest.approx(30 - 0.2 * (bottom - 0.5), abs=0.11)
    source = source_of(result)
    assert np.allclose(in_patient(source, np.array([[0.5, 0.5]] * 4)), [10, -20, 30])


def test_without_a_frame_of_reference_rtstruct_is_refused(us, result_of):
    path, _ = us()
    with pytest.raises(InputError, match=r"position in the patient is unknown"):
        object_bytes(result_of(path), "RTSTRUCT")


def test_an_image_that_was_not_read_from_dicom_is_refused(segment):
    with pytest.raises(InputError, match=r"not read from a DICOM file"):
        object_bytes(segment(sample_phantom(1, 1).image), "SEG")


def test_seg_and_sr_files_are_written(us, result_of, tmp_path):
    path, _ = us()
    result = result_of(path)
    write_seg(result, tmp_path / "out" / "seg.dcm")
    write_sr(result, tmp_path / "out" / "sr.dcm")
    assert {dcmread(p).Modality for p in (tmp_path / "out").iterdir()} == {"SEG", "SR"}


def test_a_long_contour_is_thinned_to_the_maximum_length_of_a_value():
    angles = np.linspace(0, 2 * np.pi, 30_001)
    contour = np.stack([np.sin(angles), np.cos(angles)], axis=1) * 1000
    contour[-1] = contour[0]
    points = polyline(contour)
    assert len(points) <= 8000
    assert np.array_equal(points[0], points[-1])
    square = np.array([[0, 0], [0, 1], [0, 2], [2, 2], [2, 0], [0, 0]], float)
    assert polyline(square).tolist() == [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]
