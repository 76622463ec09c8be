"""``suraksha segment`` on DICOM images, and what ``--formats`` writes."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image as PilImage
from pydicom import dcmread
from pydicom.pixels import pixel_array

from suraksha.cli.app import main


def records(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def image(make_dicom, tmp_path):
    """Lesion in a scan below a banner of marks."""
    path = tmp_path / "in" / "us"
    path.parent.mkdir()
    region = make_dicom.region(40, 0, 239, 249, spacing_mm=0.2)
    make_dicom.us_image(path, pixels=make_dicom.image(1, banner=40), regions=[region])
    return path


def mask_of(out, record):
    with PilImage.open(out / record["mask"]) as mask:
        return np.asarray(mask) > 0


def test_a_file_without_a_suffix_is_measured_in_its_region(image, tmp_path):
    out = tmp_path / "out"
    assert main(["segment", str(image.parent), "--out", str(out)]) == 0
    (record,) = records(out)
    assert record["spacing_mm"] == [0.2, 0.2]
    assert record["spacing_source"] == "dicom-region"
    assert record["regions"] == [[40, 0, 240, 250]]
    assert record["lesions"]
    lesion = record["lesions"][0]
    assert lesion["area_mm2"] == pytest.approx(0.04 * lesion["area_px"], rel=1e-4)
    assert lesion["depth_px"] == lesion["bbox"][0] - 40
    assert not mask_of(out, record)[:40].any()
    assert record["patches"][0]["box"] == [40, 0, 240, 250]


def test_text_outside_the_region_changes_nothing(make_dicom, image, tmp_path):
    pixels = make_dicom.image(1, banner=40)
    pixels[:40] = np.random.default_rng(0).integers(0, 256, (40, 250))
    region = make_dicom.region(40, 0, 239, 249, spacing_mm=0.2)
    make_dicom.us_image(image.with_name("noisy.dcm"), pixels=pixels, regions=[region])
    out = tmp_path / "out"
    main(["segment", str(image.parent), "--out", str(out)])
    first, second = records(out)
    assert np.array_equal(mask_of(out, first), mask_of(out, second))
    assert first["lesions"] == second["lesions"]


def test_without_calibration_the_reason_for_pixels_is_recorded(make_dicom, tmp_path):
    make_dicom.us_image(tmp_path / "us.dcm")
    out = tmp_path / "out"
    main(["segment", str(tmp_path / "us.dcm"), "--out", str(out)])
    (record,) = records(out)
    assert record["spacing_mm"] is None
    assert record["why_no_spacing"] == "the file does not contain the pixel size"
    assert all(lesion["long_axis_mm"] is None for lesion in record["lesions"])


def test_formats_that_other_systems_read(image, tmp_path):
    out = tmp_path / "out"
    kinds = "seg, sr,sc,geojson,nrrd"
    assert main(["segment", str(image), "--out", str(out), "--formats", kinds]) == 0
    (record,) = records(out)
    mask = mask_of(out, record)
    assert np.array_equal(np.squeeze(pixel_array(dcmread(out / record["seg"]))) > 0, mask)
    assert dcmread(out / record["sr"]).Modality == "SR"
    assert dcmread(out / record["sc"]).BurnedInAnnotation == "YES"
    found = json.loads((out / record["geojson"]).read_text())
    assert found["type"] == "FeatureCollection"
    ring = np.array(found["features"][0]["geometry"]["coordinates"][0])
    assert ring[0].tolist() == ring[-1].tolist()
    assert ring[:, 1].min() >= 40
    head, _, body = (out / record["nrrd"]).read_bytes().partition(b"\n\n")
    assert b"sizes: 250 240 1" in head
    assert b"(0.2,0,0) (0,0.2,0)" in head
    assert np.array_equal(np.frombuffer(gzip.decompress(body), np.uint8).reshape(mask.shape), mask)
    # a second run replaces its own files
    assert main(["segment", str(image), "--out", str(out), "--formats", kinds]) == 0
    # and a folder of results holds no image but the overlay's source
    assert main(["segment", str(out), "--out", str(tmp_path / "again")]) == 1


def test_the_frame_of_a_clip_with_the_largest_lesion_is_reported(make_dicom, tmp_path, capsys):
    make_dicom.us_cine(tmp_path / "clip.dcm", frames=3)
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path / "clip.dcm"), "--out", str(out), "--formats", "sr"]) == 0
    (record,) = records(out)
    assert record["frame"] in (1, 2, 3)
    frames = {
        int(e.value)
        for e in dcmread(out / record["sr"]).iterall()
        if e.keyword == "ReferencedFrameNumber"
    }
    assert frames == {record["frame"]}


def test_an_image_that_is_not_dicom_gets_a_mask_and_no_sr(make_dicom, tmp_path, capsys):
    PilImage.fromarray(make_dicom.image()).save(tmp_path / "a.png")
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path / "a.png"), "--out", str(out), "--formats", "sr"]) == 1
    (record,) = records(out)
    assert "not read from a DICOM file" in record["not_written"]["sr"]
    assert "no sr file: cannot write a DICOM object" in capsys.readouterr().err
    assert {"a_mask.png", "a_overlay.png"} < {p.name for p in out.iterdir()}
    assert "sr" not in record


def test_formats_of_lesions_are_left_out_where_there_is_none(make_dicom, tmp_path):
    region = make_dicom.region(0, 0, 199, 249)
    make_dicom.us_image(tmp_path / "us.dcm", number=3, regions=[region])  # a phantom without one
    out = tmp_path / "out"
    words = ["segment", str(tmp_path / "us.dcm"), "--out", str(out), "--formats"]
    stale = out / "us_seg.dcm"
    assert main([*words, "sr"]) == 0
    stale.write_bytes(b"of an earlier run")
    assert main([*words, "seg,sr,rtstruct"]) == 0
    (record,) = records(out)
    assert record["lesions"] == []
    assert (out / record["sr"]).exists()
    assert not {"seg", "rtstruct", "not_written"} & record.keys()
    assert not stale.exists(), "it described an earlier result"


def test_dicom_files_named_by_uid_are_found_in_folders(make_dicom, tmp_path):
    region = make_dicom.region(0, 0, 199, 249)
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("1.2.840.113619.2.5.1", "1.2.840.113619.2.5.2", "US.1.2")):
        make_dicom.us_image(tmp_path / "in" / name, number=number, regions=[region])
    (tmp_path / "in" / "notes.5").write_text("no image")
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path / "in"), "--out", str(out)]) == 0
    assert [record["mask"] for record in records(out)] == [
        "1.2.840.113619.2.5.1_mask.png",
        "1.2.840.113619.2.5.2_mask.png",
        "US.1.2_mask.png",
    ]


def test_black_frames_of_a_clip_are_skipped(make_dicom, tmp_path, capsys):
    pixels = np.stack([make_dicom.image(n) for n in range(3)])
    pixels[0] = 0
    region = make_dicom.region(0, 0, 199, 249)
    make_dicom.us_image(tmp_path / "clip.dcm", pixels=pixels, regions=[region])
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path / "clip.dcm"), "--out", str(out)]) == 0
    assert records(out)[0]["frame"] in (2, 3)
    make_dicom.us_image(tmp_path / "black.dcm", pixels=0 * pixels, regions=[region])
    assert main(["segment", str(tmp_path / "black.dcm"), "--out", str(out)]) == 1
    assert "does not look like" in capsys.readouterr().err


def test_an_unknown_format_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["segment", "a.png", "--out", str(tmp_path / "out"), "--formats", "segg"])
    assert stopped.value.code == 2
    assert "Did you mean 'seg'?" in capsys.readouterr().err


def test_a_live_source_may_be_a_dicom_clip(make_dicom, tmp_path):
    make_dicom.us_cine(tmp_path / "clip.dcm", frames=3)
    out = tmp_path / "out"
    assert main(["live", str(tmp_path / "clip.dcm"), "--out", str(out), "--no-video"]) == 0
