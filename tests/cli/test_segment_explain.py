"""``suraksha segment --explain``: attention maps from the bundle alone."""

import json

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.cli.app import main
from suraksha.datasets.phantom import sample_phantom
from suraksha.inference.segmenter import Segmenter


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "case.png"
    PilImage.fromarray(sample_phantom(2, 0, shape=(60, 80)).image.pixels).save(path)
    return path


@pytest.fixture
def segment(image, tiny_bundle, tmp_path):
    def run(*words):
        out = tmp_path / "out"
        given = ["segment", str(image), "--out", str(out), "--bundle", str(tiny_bundle)]
        code = main([*given, *words])
        lines = out / "results.jsonl"
        return code, json.loads(lines.read_text()) if lines.is_file() else None, out

    return run


def test_attention_maps_are_written_and_named_in_the_record(segment):
    code, record, out = segment("--explain")
    assert code == 0
    assert record["attention"] == "case_attention.png"
    with PilImage.open(out / "case_attention.png") as drawn:
        assert drawn.size == (6 * 80, 60 + 44), "the image and five maps"
        assert "Suraksha" in drawn.text["Software"]
        assert np.ptp(np.asarray(drawn)) > 100
    code, record, _ = segment()
    assert "attention" not in record
    again, _, _ = segment("--explain")
    assert again == 0, "its own file is replaced"


def test_attention_maps_are_not_segmented(segment, tmp_path):
    segment("--explain")
    code = main(["segment", str(tmp_path), "--out", str(tmp_path / "out"), "--json"])
    assert code == 0
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["mask"] for line in lines] == ["case_mask.png"]


def test_a_bundle_without_attention_outputs_is_refused(segment, monkeypatch, capsys):
    monkeypatch.setattr(Segmenter, "explain", lambda self, image: {})
    code, record, _ = segment("--explain")
    assert (code, record) == (2, None)
    assert "--explain cannot be used" in capsys.readouterr().err
