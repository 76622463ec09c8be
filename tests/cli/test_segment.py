"""``suraksha segment``: what it writes, and which errors it reports."""

import csv
import json
import os
import re
import subprocess
import sys
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.cli.app import main
from suraksha.cli.segment_run import image_line
from suraksha.datasets.phantom import sample_phantom
from suraksha.files import lock
from suraksha.inference.bundle import BUNDLES

LESION_KEYS = {
    "area_px",
    "long_axis_px",
    "short_axis_px",
    "area_mm2",
    "long_axis_mm",
    "bbox",
    "confidence",
}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for number, name in ((0, "case.png"), (1, "deep/case.png"), (2, "other.bmp")):
        pixels = sample_phantom(2, number, shape=(120, 150)).image.pixels
        PilImage.fromarray(pixels).save(folder / name)
    return folder


def lines(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_a_folder_gives_masks_overlays_and_records(images, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["segment", str(images), "--out", str(out), "--spacing", "0.1", "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == lines(out)
    assert len(printed) == 3
    for record in printed:
        assert {"image", "shape", "lesions", "bundle", "latency_ms", "sha256"} <= record.keys()
        assert record["shape"] == [120, 150]
        assert record["bundle"] in BUNDLES
        for lesion in record["lesions"]:
            assert lesion.keys() >= LESION_KEYS
            assert lesion["area_mm2"] == pytest.approx(0.01 * lesion["area_px"], rel=1e-3)
        with PilImage.open(out / record["mask"]) as mask:
            assert (mask.mode, mask.size) == ("L", (150, 120))
            values = np.asarray(mask)
        assert set(np.unique(values)) <= {0, 255}
        assert (values > 0).sum() == sum(x["area_px"] for x in record["lesions"])
        with PilImage.open(out / record["overlay"]) as drawn:
            assert drawn.mode == "RGB"
    page = (out / "report.html").read_text()
    assert page.count("Research use only") == 1
    assert all(record["overlay"] in page for record in printed)
    assert "http" not in page


def test_images_in_parallel_keep_their_order_and_results(tmp_path):
    for number in range(12):
        PilImage.fromarray(sample_phantom(3, number, shape=(100, 120)).image.pixels).save(
            tmp_path / f"{number:02}.png"
        )
    assert main(["segment", str(tmp_path), "--out", str(tmp_path / "o"), "--threads", "4"]) == 0
    records = lines(tmp_path / "o")
    assert [record["image"][-6:] for record in records] == [f"{n:02}.png" for n in range(12)]
    for record in records[::5]:
        one = tmp_path / f"alone-{record['mask']}"
        assert main(["segment", record["image"], "--out", str(one), "--threads", "1"]) == 0
        alone = lines(one)[0]
        assert alone["lesions"] == record["lesions"]
        assert (one / alone["mask"]).read_bytes() == (tmp_path / "o" / record["mask"]).read_bytes()


def test_the_default_folder_for_results(images, monkeypatch):
    monkeypatch.chdir(images)
    assert main(["segment", "case.png"]) == 0
    assert (images / "suraksha-results" / "case_mask.png").is_file()
    # the results of the default folder are not segmented again
    assert main(["segment", "."]) == 0
    assert len(lines(images / "suraksha-results")) == 3


def test_a_line_for_a_single_image_and_for_each_with_verbose(images, tmp_path, capsys):
    words = ["segment", str(images / "case.png"), "--out", str(tmp_path / "o")]
    assert main([*words, "--spacing", "0.1 mm"]) == 0
    assert re.fullmatch(
        r"case: 1 lesion, [\d.]+ x [\d.]+ mm, confidence [01]\.\d\d\n", capsys.readouterr().out
    )
    words = ["segment", str(images), "--out", str(tmp_path / "o")]
    assert main(words) == 0
    assert capsys.readouterr().out == ""
    assert main([*words, "-v"]) == 0
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["case", "deep/case", "other"]


def test_an_unusable_file_is_reported_and_the_others_are_segmented(images, tmp_path, capsys):
    (images / "bad.png").write_bytes(b"not an image")
    out = tmp_path / "out"
    assert main(["segment", str(images), "--out", str(out)]) == 1
    err = capsys.readouterr().err
    assert "bad.png" in err
    assert "3 of 4 images segmented" in err
    assert "1 failed" in err
    by_name = {r["image"].rsplit("/", 1)[1]: r for r in lines(out)}
    assert set(by_name["bad.png"]) == {"image", "source", "error"}
    assert not (out / "bad_mask.png").exists()
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] != "" for row in rows if row["image"].endswith("bad.png")] == [True]


def test_without_spacing_lengths_are_in_pixels_only(images, tmp_path):
    out = tmp_path / "out"
    main(["segment", str(images / "case.png"), "--out", str(out)])
    (record,) = lines(out)
    assert record["spacing_mm"] is None
    for lesion in record["lesions"]:
        assert [lesion[k] for k in lesion if k.endswith(("_mm", "_mm2"))] == [None] * 5


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--bundle", "surksha-lite"], 2, "Did you mean 'suraksha-lite'"),
        (["--bundle", "absent.busi"], 1, "absent.busi"),
        (["--spacing", "99"], 2, "--spacing"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    images, tmp_path, capsys, words, code, message
):
    out = tmp_path / "out"
    assert main(["segment", str(images), "--out", str(out), *words]) == code
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("spacing", ["-1", "nan", "wide", "0", "8um"])
def test_an_invalid_spacing_is_wrong_usage(images, tmp_path, capsys, spacing):
    with pytest.raises(SystemExit) as stop:
        main(["segment", str(images), "--out", str(tmp_path / "o"), "--spacing", spacing])
    assert stop.value.code == 2
    assert f"'{spacing}' is not a length in millimetres" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_unusual_file_names(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = sample_phantom(2, 0, shape=(60, 80)).image.pixels
    names = (b"caf\xe9.png", "größe#1 50%.png".encode(), b"patient_masked.png", b"a\nb\x1b[31m.png")
    for name in names:
        PilImage.fromarray(pixels).save(folder / os.fsdecode(name), "PNG")
    out = tmp_path / "out"
    assert main(["segment", str(folder), "--out", str(out), "-v"]) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert len(printed.out.splitlines()) == 4
    page = (out / "report.html").read_text()
    sources = re.findall(r'<img loading="lazy"[^>]* src="([^"]+)"', page)
    assert len(sources) == 4
    for source in sources:
        assert (out / unquote(source)).is_file()
    assert {"patient_masked_mask.png", "a_b_[31m_mask.png"} < {r["mask"] for r in lines(out)}


def test_left_out_files_are_counted_by_kind(images, tmp_path, capsys):
    PilImage.new("1", (5, 5)).save(images / "case_mask_1.png")
    (images / "notes.txt").write_text("x")
    (images / "README").write_text("x")
    (images / ".hidden").write_text("x")
    (tmp_path / "empty").mkdir()
    words = ["segment", str(images), str(tmp_path / "empty"), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "1 mask or overlay file and 2 files of other kinds" in err
    assert "1 .txt" in err
    assert "1 without suffix" in err
    assert "3 of 4 images segmented" in err
    assert "empty" in err


def test_a_pattern_that_the_shell_did_not_expand(images, tmp_path):
    assert main(["segment", str(images / "*.png"), "--out", str(tmp_path / "out")]) == 0
    assert [r["mask"] for r in lines(tmp_path / "out")] == ["case_mask.png"]


def test_an_engine_that_fails_on_one_image_does_not_stop_the_others(images, tmp_path, monkeypatch):
    from suraksha.errors import BundleError
    from suraksha.inference.engines import OnnxRuntimeEngine

    calls = []
    run = OnnxRuntimeEngine.run

    def sometimes(self, batch):
        calls.append(1)
        if len(calls) == 1:
            raise BundleError("a", "b", "c")
        if len(calls) == 2:
            raise MemoryError
        return run(self, batch)

    monkeypatch.setattr(OnnxRuntimeEngine, "run", sometimes)
    one_by_one = ["--threads", "1"]
    assert main(["segment", str(images), "--out", str(tmp_path / "out"), *one_by_one]) == 1
    assert ["error" in r for r in lines(tmp_path / "out")] == [True, True, False]


def test_an_empty_folder_is_an_error(tmp_path, capsys):
    assert main(["segment", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "nothing to segment" in capsys.readouterr().err


def test_an_out_that_is_a_file_is_an_error(images, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    out = str(tmp_path / "file")
    assert main(["segment", str(images / "case.png"), "--out", out]) == 2
    assert "it is a file, not a folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_info(capsys):
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert {"version", "bundles", "engines", "extras"} <= info.keys()
    assert [b["name"] for b in info["bundles"]] == list(BUNDLES)
    assert main(["info"]) == 0
    assert "Research use only" in capsys.readouterr().out


def test_an_engine_that_is_not_installed_is_not_listed(capsys, monkeypatch):
    from importlib.util import find_spec

    monkeypatch.setattr(
        "suraksha.cli.info.find_spec", lambda name: None if name == "openvino" else find_spec(name)
    )
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engines"] == ["onnxruntime"]


def test_a_folder_takes_one_run_at_a_time(tmp_path, capsys):
    PilImage.fromarray(sample_phantom(2, 0).image.pixels).save(tmp_path / "a.png")
    with lock(tmp_path / "out" / "results.jsonl"):
        assert main(["segment", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 1
    assert "is in use" in capsys.readouterr().err
    assert main(["segment", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 0


def test_the_line_of_an_image():
    lesion = {"long_axis_mm": None, "long_axis_px": 134.2, "short_axis_px": 90.1, "confidence": 0.5}
    second = {**lesion, "long_axis_mm": 12.34, "short_axis_mm": 8.0, "confidence": 0.991}
    record = {"lesions": [lesion, second]}
    assert image_line(record, "a") == (
        "a: 2 lesions, 134 x 90 px, confidence 0.50; 12.3 x 8.0 mm, confidence 0.99"
    )
    record = {"lesions": [], "review": ["no lesion was found, but ..."]}
    assert image_line(record, "b") == (
        "b: no lesion found | needs review: no lesion was found, but ..."
    )
    assert image_line({"error": "..."}, "c\n") == "c\\n: failed"


def test_a_closed_pipe_is_not_an_error():
    command = f"{sys.executable} -m suraksha.cli.app info --card | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("# Model card")
    assert done.stderr == ""
