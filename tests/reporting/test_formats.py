"""Results as records, CSV, GeoJSON and NRRD."""

import csv
import gzip
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha import load_segmenter
from suraksha.datasets.phantom import sample_phantom
from suraksha.inference.card import DECISION_SUPPORT
from suraksha.reporting.formats import geojson_bytes, nrrd_bytes
from suraksha.reporting.records import (
    CSV_COLUMNS,
    MADE_BY,
    csv_text,
    png_bytes,
    result_record,
    support_record,
)


@pytest.fixture(scope="module")
def result():
    return load_segmenter(threads=1)(sample_phantom(4, 1).image)


def test_a_record_has_sizes_review_and_the_bundle(result):
    record = json.loads(json.dumps(result_record(result)))
    assert record["shape"] == list(result.image.shape)
    assert len(record["lesions"]) == len(result.lesions) >= 1
    assert record["lesions"][0]["long_axis_mm"] == round(result.lesions[0].long_axis_mm, 4)
    assert "contour" not in record["lesions"][0]
    assert record["model_sha256"] == result.card.model_sha256
    assert record["review"] == list(result.review)


def test_the_table_has_one_row_per_lesion_and_one_for_a_failure(result):
    record = {"image": "a.png", **result_record(result), **support_record(result.classes)}
    rows = list(csv.DictReader(io.StringIO(csv_text([record, {"image": "b", "error": "x"}]))))
    assert len(rows) == len(result.lesions) + 1
    assert set(CSV_COLUMNS) < set(rows[0])
    assert float(rows[0]["area_px"]) == result.lesions[0].area_px
    assert rows[0][f"{DECISION_SUPPORT}: benign"] != ""
    assert (rows[-1]["image"], rows[-1]["error"], rows[-1]["area_px"]) == ("b", "x", "")


def test_contours_as_geojson(result):
    table = json.loads(geojson_bytes(result))
    assert table["made_by"] == MADE_BY
    for feature, lesion in zip(table["features"], result.lesions, strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        np.testing.assert_allclose(np.array(ring)[:, ::-1], lesion.contour)
        assert ring[0] == ring[-1]


@pytest.mark.parametrize("spacing", [True, False])
def test_the_mask_as_nrrd(result, spacing):
    if not spacing:
        result = replace(result, image=replace(result.image, spacing=None))
    head, body = nrrd_bytes(result).split(b"\n\n", 1)
    rows, cols = result.mask.shape
    mask = np.frombuffer(gzip.decompress(body), np.uint8).reshape(rows, cols)
    np.testing.assert_array_equal(mask, result.mask)
    assert f"sizes: {cols} {rows} 1".encode() in head
    assert (b'units: "mm"' in head) == spacing


def test_a_png_names_the_software():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = PilImage.open(io.BytesIO(png_bytes(pixels, comment="case")))
    np.testing.assert_array_equal(np.asarray(image), pixels)
    assert image.info == {"Software": MADE_BY, "Comment": "case"}
