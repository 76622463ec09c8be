"""The results folder of ``suraksha segment``: names, resuming, and files of others."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image as PilImage

from suraksha.cli.app import main
from suraksha.cli.results_folder import MANIFEST, output_names
from suraksha.cli.segment_images import FoundImage, find_images
from suraksha.datasets.phantom import sample_phantom
from suraksha.inference.engines import OnnxRuntimeEngine


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for number, name in ((0, "case.png"), (1, "deep/case.png"), (2, "other.bmp")):
        pixels = sample_phantom(2, number, shape=(120, 150)).image.pixels
        PilImage.fromarray(pixels).save(folder / name)
    return folder


@pytest.fixture
def network_runs(monkeypatch):
    """Counts how often the network runs."""
    calls, run = [], OnnxRuntimeEngine.run

    def counted(self, batch):
        calls.append(1)
        return run(self, batch)

    monkeypatch.setattr(OnnxRuntimeEngine, "run", counted)
    return calls


def segment(out, *words):
    return main(["segment", *map(str, words), "--out", str(out)])


def lines(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_results_keep_the_sub_folders_of_the_images(images, tmp_path):
    out = tmp_path / "out"
    assert segment(out, images) == 0
    assert [r["mask"] for r in lines(out)] == [
        "case_mask.png",
        "deep/case_mask.png",
        "other_mask.png",
    ]
    assert all((out / r["overlay"]).is_file() for r in lines(out))


def test_names_never_collide(tmp_path):
    stems = ["a", "a", "a-2", "A", "b", "a-2", "a-3"]
    images = [FoundImage(tmp_path / str(n) / f"{s}.png", s) for n, s in enumerate(stems)]
    names = output_names(images, {})
    assert len({name.casefold() for name in names}) == len(stems)
    assert (names[0], names[2], names[4]) == ("a", "a-2", "b")


def test_a_second_run_skips_what_is_up_to_date(images, tmp_path, capsys, network_runs):
    out = tmp_path / "out"
    assert segment(out, images) == 0
    before = (out / "results.jsonl").read_bytes()
    first = len(network_runs)
    assert first == 3
    capsys.readouterr()
    assert segment(out, images) == 0
    err = capsys.readouterr().err
    assert "3 earlier results" in err
    assert "3 unchanged since an earlier run" in err
    assert len(network_runs) == first
    assert (out / "results.jsonl").read_bytes() == before
    assert segment(out, images, "--again") == 0
    assert len(network_runs) == 2 * first
    assert len(lines(out)) == 3


def test_a_changed_image_option_or_missing_file_is_segmented_again(images, tmp_path, network_runs):
    out = tmp_path / "out"
    segment(out, images)
    network_runs.clear()
    PilImage.fromarray(sample_phantom(2, 7).image.pixels).save(images / "case.png")
    assert segment(out, images) == 0
    assert len(network_runs) == 1
    (out / "other_mask.png").unlink()
    assert segment(out, images) == 0
    assert len(network_runs) == 2
    assert segment(out, images, "--spacing", "0.2") == 0
    assert len(network_runs) == 5
    assert {tuple(r["spacing_mm"]) for r in lines(out)} == {(0.2, 0.2)}
    assert segment(out, images, "--spacing", "0.2", "--formats", "geojson,nrrd") == 0
    assert (out / "case.geojson").is_file()
    assert (out / "deep" / "case.nrrd").is_file()
    assert len(network_runs) == 8


def test_another_image_into_the_same_folder_keeps_the_earlier_results(images, tmp_path, capsys):
    out = tmp_path / "out"
    for path in ("case.png", "deep/case.png", "case.png"):
        segment(out, images / path)
    assert "1 earlier result of other images kept" in capsys.readouterr().err
    records = lines(out)
    assert sorted(r["mask"] for r in records) == ["case-2_mask.png", "case_mask.png"]
    with (out / "results.csv").open() as file:
        assert {row["image"] for row in csv.DictReader(file)} == {r["image"] for r in records}
    assert (out / "report.html").read_text().count("<tr data-state") == 2


def test_no_result_of_an_earlier_image_stays_when_the_file_becomes_unusable(images, tmp_path):
    out, path = tmp_path / "out", images / "case.png"
    good = path.read_bytes()
    for content, code in ((good, 0), (b"", 1), (good, 0)):
        path.write_bytes(content)
        assert segment(out, path) == code
        (record,) = lines(out)
        assert (out / "case_mask.png").exists() == (code == 0)
        assert ("error" in record) == (code == 1)


@pytest.mark.parametrize("damage", ["first line only", "half a line", "twice"])
def test_a_killed_run_can_be_repeated(images, tmp_path, damage):
    out = tmp_path / "out"
    segment(out, images)
    text = (out / "results.jsonl").read_text()
    changed = {
        "first line only": text.splitlines(keepends=True)[0],
        "half a line": text[: len(text) - 40],
        "twice": text + text,
    }
    (out / "results.jsonl").write_text(changed[damage])
    assert segment(out, images) == 0
    assert sorted(r["mask"] for r in lines(out)) == [
        "case_mask.png",
        "deep/case_mask.png",
        "other_mask.png",
    ]


def test_one_relative_path_from_two_folders_is_two_images(images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for place in (images, images / "deep"):
        monkeypatch.chdir(place)
        assert segment(out, "case.png", "case.png") == 0
    records = lines(out)
    assert sorted(r["mask"] for r in records) == ["case-2_mask.png", "case_mask.png"]
    assert [r["image"] for r in records] == ["case.png", "case.png"]


@pytest.mark.parametrize("name", ["results.jsonl", "results.csv", "report.html", "case_mask.png"])
def test_files_of_others_are_never_replaced(images, tmp_path, capsys, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("theirs")
    assert segment(out, images / "case.png") == 1
    err = capsys.readouterr().err
    assert name in err
    assert "Choose another --out" in err
    assert (out / name).read_text() == "theirs"
    assert {p.name for p in out.iterdir()} <= {name, ".results.jsonl.lock"}


def test_masks_of_a_data_set_are_never_replaced(tmp_path, capsys):
    phantom = sample_phantom(2, 0, shape=(60, 80))
    PilImage.fromarray(phantom.image.pixels).save(tmp_path / "benign (1).png")
    PilImage.fromarray(phantom.mask).save(tmp_path / "benign (1)_mask.png")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert segment(tmp_path, tmp_path / "benign (1).png") == 1
    assert "benign (1)_mask.png" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix == ".png"} == before


@pytest.mark.parametrize("text", ["not json\n", "[1]\n", '{"a": 1}\n'])
@pytest.mark.parametrize("name", [MANIFEST, "results.jsonl"])
def test_a_damaged_folder_is_refused(images, tmp_path, capsys, name, text):
    out = tmp_path / "out"
    segment(out, images / "case.png")
    (out / name).write_text(text)
    assert segment(out, images / "case.png") == 1
    assert "Choose another --out" in capsys.readouterr().err
    assert (out / name).read_text() == text


def test_the_output_folder_inside_the_input_is_left_out(images):
    out = images / "results"
    segment(out, images)
    found = find_images([images], out=out)
    assert [image.label for image in found.images] == ["case", "deep/case", "other"]
    assert (found.masks, found.others) == (0, {})


def test_ctrl_c_writes_the_tables_and_the_same_command_resumes(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in range(60):
        pixels = sample_phantom(5, number % 4, shape=(400, 500)).image.pixels
        PilImage.fromarray(pixels).save(folder / f"{number:02}.png")
    words = [sys.executable, "-m", "suraksha.cli.app", "segment", folder, "--out", out]
    command = [*map(str, words), "--threads", "1", "-v"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command resumes" in err
    done = lines(out)
    assert 3 <= len(done) < 60
    with (out / "results.csv").open() as file:
        assert {row["image"] for row in csv.DictReader(file)} == {r["image"] for r in done}
    assert (out / "report.html").read_text().count("<tr data-state") == len(done)
    start = time.time()
    resumed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{len(done)} unchanged since an earlier run" in resumed.stderr
    assert len(lines(out)) == 60
    for record in done:  # their files were not written again
        assert (out / record["mask"]).stat().st_mtime < start
