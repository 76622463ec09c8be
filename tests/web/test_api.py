"""The HTTP API with the bundled network, compared with the library."""

import base64
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image as PilImage

import suraksha
from suraksha.io.images import read_image
from suraksha.measurement.measure import measure
from suraksha.reporting.records import lesion_record
from suraksha.types import Spacing

from .serving import Served, phantom_png

NAME = "Doe^Jane 1970-01-01.png"


def pixels_of(text):
    with PilImage.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def expected(tmp_path_factory, png):
    path = tmp_path_factory.mktemp("own") / "image-1.png"
    path.write_bytes(png)
    return suraksha.load_segmenter()(read_image(path, spacing=Spacing.square(0.2)))


def segment(client, *contents, **fields):
    files = [("files", (NAME, content)) for content in contents]
    return client.post("/v1/segment", files=files, data=fields)


def test_an_image_gets_the_result_of_the_segmenter(client, png, expected):
    parts = ["image", "mask", "overlay", "attention", "classes"]
    answer = segment(client, png, spacing_mm="0.2", parts=parts).json()
    (record,) = answer["results"]
    assert record["lesions"] == [lesion_record(lesion) for lesion in expected.lesions]
    assert record["shape"] == [200, 250]
    assert record["spacing_mm"] == [0.2, 0.2]
    assert record["needs_review"] is expected.needs_review
    assert record["model_sha256"] == expected.card.model_sha256 == answer["model_sha256"]
    assert record["contours"][0] == expected.lesions[0].contour.tolist()
    assert np.array_equal(pixels_of(record["mask_png"]) > 0, expected.mask)
    assert np.array_equal(pixels_of(record["image_png"]), expected.image.pixels)
    assert pixels_of(record["overlay_png"]).shape == (600, 750, 3)
    assert record["attention"]["box"] == [0, 0, 200, 250]
    assert all(one["min"] < one["max"] for one in record["attention"]["maps"].values())
    assert len(record["attention"]["maps"]) >= 3
    assert sum(record["decision_support"]["classes"].values()) == pytest.approx(1, abs=1e-3)
    assert answer["notice"].startswith("Research use only")
    assert answer["kept"] is None


def test_optional_parts_are_absent_by_default(client, png):
    (record,) = segment(client, png).json()["results"]
    assert not {"decision_support", "image_png", "mask_png", "attention"} & record.keys()
    assert record["lesions"][0]["long_axis_mm"] is None


def test_a_batch_continues_after_a_bad_file(client, png):
    answer = segment(client, png, b"\x89PNG\r\n\x1a\nbroken", phantom_png(3))
    assert answer.status_code == 200
    first, second, third = answer.json()["results"]
    assert [r["image"] for r in (first, second, third)] == ["image-1", "image-2", "image-3"]
    assert first["lesions"]
    assert "lesions" in third
    assert set(second["error"]) == {"what", "why", "fix"}
    assert "tmp" not in json.dumps(second)


def test_dicom_is_measured_with_the_scale_of_its_region(client, dicom):
    (record,) = segment(client, dicom, parts=["mask", "attention"]).json()["results"]
    assert record["kind"] == "dicom"
    (region,) = record["scans"]
    assert record["regions"] == [region["box"]]
    assert region["spacing_mm"] == [0.2, 0.2]
    assert record["attention"]["box"] == region["box"]
    assert record["lesions"][0]["long_axis_mm"] > 5


def test_frames_of_a_dicom_clip(client, cine):
    answer = client.post(
        "/v1/frames", files={"file": cine}, data={"frame": "1", "count": "3"}
    ).json()
    assert (answer["frames"], answer["fps"], answer["ended"]) == (5, 25.0, False)
    assert len(answer["images"]) == 3
    (second, third) = segment(client, cine, frame="1", count="2", parts=["image"]).json()["results"]
    assert [second["frame_index"], third["frame_index"]] == [1, 2]
    assert [second["frame"], third["frame"]] == [2, 3], "as DICOM counts them"
    assert second["image_png"] == answer["images"][0]
    assert segment(client, cine, frame="5").status_code == 422


def test_frames_of_a_video(client, clip):
    answer = client.post("/v1/frames", files={"file": clip}, data={"count": "20"}).json()
    assert answer["kind"] == "video"
    assert answer["ended"]
    assert len(answer["images"]) == 6
    (record,) = segment(client, clip, frame="4", parts=["image"]).json()["results"]
    assert record["image_png"] == answer["images"][4]


def test_polygons_are_measured_as_by_the_library(client):
    polygon = [[10, 10], [10, 50], [40, 50], [40, 10]]
    fields = {"polygons": json.dumps([polygon]), "rows": "60", "columns": "80", "spacing_mm": "0.5"}
    parts = {name: (None, text) for name, text in fields.items()}
    answer = client.post("/v1/measure", files=parts)
    mask = np.zeros((60, 80), bool)
    mask[10:40, 10:50] = True
    expected = [lesion_record(lesion) for lesion in measure(mask, Spacing.square(0.5))]
    assert answer.json()["lesions"] == expected


def test_a_correction_is_in_every_export(client, png):
    mask = np.zeros((200, 250), np.uint8)
    mask[60:100, 80:140] = 255
    drawn = io.BytesIO()
    PilImage.fromarray(mask).save(drawn, "PNG")

    def exported(kind):
        files = {"file": (NAME, png), "mask": drawn.getvalue()}
        answer = client.post(f"/v1/export/{kind}", files=files, data={"spacing_mm": "0.1"})
        assert answer.status_code == 200, answer.text
        return answer

    measured = client.post(
        "/v1/measure", files={"file": png, "mask": drawn.getvalue()}, data={"spacing_mm": "0.1"}
    ).json()
    correction, record = exported("correction").json(), exported("json").json()
    assert correction["lesions"] == record["lesions"] == measured["lesions"]
    assert correction["format"] == "suraksha-correction/1"
    assert correction["corrected"] is True
    assert record["made_by"] == "corrected by a person"
    assert "needs_review" not in record
    assert record["lesions"][0]["area_px"] == 2400
    assert record["lesions"][0]["confidence"] is None, "it is not a prediction"
    (row,) = csv.DictReader(io.StringIO(exported("csv").text))
    assert float(row["area_mm2"]) == 24.0
    assert list(row)[:3] == ["image", "frame_index", "image_sha256"]
    assert row["frame_index"] == "0"
    assert row["image_sha256"] == record["image_sha256"] == correction["image_sha256"]
    with PilImage.open(io.BytesIO(exported("mask").content)) as image:
        assert np.array_equal(np.asarray(image), mask)
    name = exported("png").headers["content-disposition"]
    assert name == 'attachment; filename="suraksha-overlay.png"'
    refused = client.post("/v1/export/seg", files={"file": png})
    assert refused.status_code == 422
    assert set(refused.json()["error"]) == {"what", "why", "fix"}


def test_seg_and_sr_of_a_dicom_image(client, dicom):
    from pydicom import dcmread

    (record,) = segment(client, dicom, parts=["mask"]).json()["results"]
    seg, sr = (
        dcmread(io.BytesIO(client.post(f"/v1/export/{kind}", files={"file": dicom}).content))
        for kind in ("seg", "sr")
    )
    frame = np.atleast_3d(seg.pixel_array).reshape(-1, seg.Rows, seg.Columns).any(axis=0)
    assert np.array_equal(frame, pixels_of(record["mask_png"]) > 0)
    assert (seg.Modality, sr.Modality) == ("SEG", "SR")
    assert (
        seg.StudyInstanceUID == sr.StudyInstanceUID == dcmread(io.BytesIO(dicom)).StudyInstanceUID
    )


def test_health_and_metrics(client, png):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    segment(client, png)
    text = client.get("/metrics").text
    assert 'suraksha_images_total{outcome="segmented"}' in text
    assert 'suraksha_requests_total{method="POST",route="/v1/segment",status="200"}' in text
    assert "process_resident_memory_bytes" in text
    about = client.get("/v1/about").json()
    assert about["keeps"] is False
    assert about["limits"]["max_pixels"] == 4_000_000


def test_security_headers(client):
    for path in ("/", "/static/app.js", "/v1/about", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert client.get("/v1/about").headers["cache-control"] == "no-store"
    assert client.get("/docs").status_code == 404


def test_logs_and_disk_hold_no_data_of_the_client(served, client, png, dicom):
    segment(client, png, dicom, b"\x89PNG\r\n\x1a\nbroken")
    client.get("/Doe^Jane?name=Doe")
    assert "POST /v1/segment 200" in served.log
    for secret in ("Doe", "Jane", "1970", "Phantom^Synthetic", "SYN-0001"):
        assert secret not in served.log
    assert served.leftover_files() == []


def test_keep_stores_images_results_and_corrections(tmp_path, png):
    keep = tmp_path / "kept"
    server = Served(tmp_path / "server", "--keep", keep)
    with server.client() as client:
        number = segment(client, png).json()["kept"]
        polygons = json.dumps([[[10, 10], [10, 30], [30, 30]]])
        fields = {"polygons": polygons, "kept": number}
        answer = client.post("/v1/export/correction", files={"file": png}, data=fields)
        unknown = {**fields, "kept": "20200101T000000-000000000000"}
        assert (
            client.post("/v1/export/correction", files={"file": png}, data=unknown).status_code
            == 404
        )
    assert server.stop() == 0
    (place,) = keep.iterdir()
    assert place.name == number
    assert place.stat().st_mode & 0o077 == 0, "only this user can read patients' images"
    names = {"image-1.png", "result.json", "correction-0.json"}
    assert {p.name for p in place.iterdir()} == names
    assert (place / "image-1.png").read_bytes() == png
    assert (place / "correction-0.json").read_bytes() == answer.content
    assert json.loads(answer.content)["lesions"][0]["area_px"] > 150
