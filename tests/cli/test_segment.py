"""``suraksha segment`` and ``info``, as users and other programs call them."""

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
from suraksha.cli.output_folder import output_names
from suraksha.cli.report import html_page, image_line
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
        assert {"image", "shape", "lesions", "bundle", "latency_ms"} <= record.keys()
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


def test_images_side_by_side_keep_their_order_and_answers(tmp_path):
    for number in range(12):
        PilImage.fromarray(sample_phantom(3, number, shape=(100, 120)).image.pixels).save(
            tmp_path / f"{number:02}.png"
        )
    assert main(["segment", str(tmp_path), "--out", str(tmp_path / "o"), "--threads", "4"]) == 0
    records = lines(tmp_path / "o")
    assert [record["image"][-6:] for record in records] == [f"{n:02}.png" for n in range(12)]
    for record in records[::5]:
        one = tmp_path / record["mask"]
        assert main(["segment", record["image"], "--out", str(one), "--threads", "1"]) == 0
        alone = lines(one)[0]
        assert alone["lesions"] == record["lesions"]
        assert (one / alone["mask"]).read_bytes() == (tmp_path / "o" / record["mask"]).read_bytes()


def test_two_inputs_of_one_name_do_not_overwrite_each_other(images, tmp_path):
    out = tmp_path / "out"
    main(["segment", str(images), "--out", str(out)])
    records = lines(out)
    assert {r["mask"] for r in records} == {"case_mask.png", "case-2_mask.png", "other_mask.png"}
    assert len({r["image"] for r in records}) == 3


def test_names_never_collide(tmp_path):
    stems = ["a", "a", "a-2", "A", "b", "a-2", "a-3"]
    names = output_names([tmp_path / str(n) / f"{stem}.png" for n, stem in enumerate(stems)])
    assert len({name.casefold() for name in names}) == len(stems)
    assert (names[0], names[2], names[4]) == ("a", "a-2", "b")


def test_a_bad_file_is_named_and_the_rest_goes_on(images, tmp_path, capsys):
    (images / "bad.png").write_bytes(b"not an image")
    out = tmp_path / "out"
    assert main(["segment", str(images), "--out", str(out)]) == 1
    err = capsys.readouterr().err
    assert "bad.png" in err
    assert "3 of 4 images segmented" in err
    by_name = {r["image"].rsplit("/", 1)[1]: r for r in lines(out)}
    assert set(by_name["bad.png"]) == {"image", "source", "error"}
    assert not (out / "bad_mask.png").exists()
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] != "" for row in rows if row["image"].endswith("bad.png")] == [True]


def test_without_spacing_no_millimetres_are_invented(images, tmp_path):
    out = tmp_path / "out"
    main(["segment", str(images / "case.png"), "--out", str(out)])
    (record,) = lines(out)
    assert record["spacing_mm"] is None
    for lesion in record["lesions"]:
        assert [lesion[k] for k in lesion if k.endswith(("_mm", "_mm2"))] == [None] * 5


def test_masks_and_overlays_in_a_folder_are_left_out(images, tmp_path):
    out = images / "results"
    main(["segment", str(images), "--out", str(out)])
    main(["segment", str(images), "--out", str(out)])
    assert len(lines(out)) == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--bundle", "surksha-lite"], 2, "Did you mean 'suraksha-lite'"),
        (["--bundle", "absent.busi"], 1, "is not there"),
        (["--threads", "0"], 2, "at least one"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    images, tmp_path, capsys, words, code, message
):
    out = tmp_path / "out"
    assert main(["segment", str(images), "--out", str(out), *words]) == code
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("spacing", ["-1", "nan", "wide", "0"])
def test_a_spacing_that_cannot_be_is_wrong_usage(images, tmp_path, capsys, spacing):
    with pytest.raises(SystemExit) as stop:
        main(["segment", str(images), "--out", str(tmp_path / "o"), "--spacing", spacing])
    assert stop.value.code == 2
    assert "--spacing" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_data_set_s_masks_are_never_replaced(tmp_path, capsys):
    phantom = sample_phantom(2, 0, shape=(60, 80))
    PilImage.fromarray(phantom.image.pixels).save(tmp_path / "benign (1).png")
    PilImage.fromarray(phantom.mask).save(tmp_path / "benign (1)_mask.png")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert main(["segment", str(tmp_path / "benign (1).png"), "--out", str(tmp_path)]) == 1
    assert "benign (1)_mask.png" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_second_call_into_the_same_folder_loses_nothing(images, tmp_path):
    out = tmp_path / "out"
    for path in ("case.png", "deep/case.png", "case.png"):
        main(["segment", str(images / path), "--out", str(out)])
    records = lines(out)
    assert sorted(r["mask"] for r in records) == ["case-2_mask.png", "case_mask.png"]
    assert len({r["image"] for r in records}) == 2
    with (out / "results.csv").open() as file:
        assert {row["image"] for row in csv.DictReader(file)} == {r["image"] for r in records}


def test_a_image_that_goes_bad_and_is_mended_again(images, tmp_path):
    out, path = tmp_path / "out", images / "case.png"
    good = path.read_bytes()
    for content, code in ((good, 0), (b"", 1), (good, 0)):
        path.write_bytes(content)
        assert main(["segment", str(path), "--out", str(out)]) == code
        (record,) = lines(out)
        assert (out / "case_mask.png").exists() == (code == 0), "no mask of another image stays"
        assert ("error" in record) == (code == 1)


def test_a_killed_call_can_be_given_again(images, tmp_path):
    """Its masks may be there without a record, or records twice; neither locks the folder."""
    out = tmp_path / "out"
    main(["segment", str(images), "--out", str(out)])
    text = (out / "results.jsonl").read_text()
    (out / "results.jsonl").write_text(text.splitlines(keepends=True)[0])
    assert main(["segment", str(images), "--out", str(out)]) == 0
    assert len(lines(out)) == 3
    (out / "results.jsonl").write_text(text + text)
    assert main(["segment", str(images / "case.png"), "--out", str(out)]) == 0
    assert len(lines(out)) == 3


def test_the_same_relative_path_from_two_folders_is_two_images(images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for place in (images, images / "deep"):
        monkeypatch.chdir(place)
        assert main(["segment", "case.png", "case.png", "--out", str(out)]) == 0
    records = lines(out)
    assert sorted(r["mask"] for r in records) == ["case-2_mask.png", "case_mask.png"]
    assert [r["image"] for r in records] == ["case.png", "case.png"]


@pytest.mark.parametrize("text", ["not json\n", "[1]\n", '{"a": 1}\n'])
def test_a_results_file_of_others_is_kept(images, tmp_path, capsys, text):
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl").write_text(text)
    assert main(["segment", str(images), "--out", str(out)]) == 1
    assert "Choose another --out" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["results.jsonl"]
    assert (out / "results.jsonl").read_text() == text


def test_odd_file_names_work(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = sample_phantom(2, 0, shape=(60, 80)).image.pixels
    for name in (b"caf\xe9.png", "größe#1 50%.png".encode(), b"patient_masked.png"):
        PilImage.fromarray(pixels).save(folder / os.fsdecode(name), "PNG")
    out = tmp_path / "out"
    assert main(["segment", str(folder), "--out", str(out)]) == 0
    assert len(lines(out)) == 3
    page = (out / "report.html").read_text()
    for source in re.findall(r'src="([^"]+)"', page):
        assert (out / unquote(source)).is_file()
    assert "patient_masked_mask.png" in {r["mask"] for r in lines(out)}


def test_left_out_masks_and_empty_folders_are_told(images, tmp_path, capsys):
    PilImage.new("1", (5, 5)).save(images / "case_mask_1.png")
    (tmp_path / "empty").mkdir()
    words = ["segment", str(images), str(tmp_path / "empty"), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "1 masks and overlays left out" in err
    assert "3 of 4 images segmented" in err
    assert "empty" in err


def test_an_engine_that_fails_on_one_image_does_not_end_the_batch(images, tmp_path, monkeypatch):
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
    assert main(["segment", str(images / "case.png"), "--out", out]) == 1
    assert "Check the path" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_info(capsys):
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert {"version", "bundles", "engines", "extras"} <= info.keys()
    assert [b["name"] for b in info["bundles"]] == list(BUNDLES)
    assert main(["info"]) == 0
    assert "Research use only" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["segmnt"], ["segment"], ["segment", "x", "--nothing"]])
def test_wrong_usage_exits_with_2(words):
    done = subprocess.run(
        [sys.executable, "-m", "suraksha.cli.app", *words], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"usage: suraksha" in done.stderr


def test_a_folder_takes_one_call_at_a_time(tmp_path, capsys):
    PilImage.fromarray(sample_phantom(2, 0).image.pixels).save(tmp_path / "a.png")
    with lock(tmp_path / "out" / "results.jsonl"):
        assert main(["segment", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 1
    assert "is in use" in capsys.readouterr().err
    assert main(["segment", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 0


def test_people_are_told_what_needs_a_look():
    record = {
        "image": "clip.dcm",
        "lesions": [],
        "review": ["nothing is marked, but <why>"],
        "frame": 7,
        "why_no_spacing": "the file does not contain the pixel size",
        "not_written": {"rtstruct": "no place in the patient"},
        "overlay": "clip_overlay.png",
        "bundle": "b",
        "model_sha256": "0" * 64,
    }
    page = html_page([record], "use")
    for told in (
        "Look at it</b>: nothing is marked, but &lt;why&gt;",
        "frame 7 of the clip",
        "no millimetres: the file does not contain the pixel size",
        "no rtstruct file: no place in the patient",
    ):
        assert told in page
    assert image_line(record) == (
        "clip.dcm: no lesion found | look at it: nothing is marked, but <why>"
    )
