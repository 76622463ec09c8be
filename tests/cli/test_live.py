"""``suraksha live``: its files, and errors for unusable sources."""

import csv
import json

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.cli.app import main
from suraksha.datasets.phantom import sample_phantom
from suraksha.inference.segmenter import load_segmenter
from suraksha.io.video import FrameSource
from suraksha.io.video_writer import VideoWriter

SHAPE = (60, 80)


def pixels(number, shape=SHAPE):
    return sample_phantom(3, number, shape=shape).image.pixels


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    with VideoWriter(path, 20.0) as writer:
        for number in range(8):
            writer.write(np.repeat(pixels(number)[..., None], 3, axis=2))
    return path


@pytest.fixture
def live(tiny_bundle, tmp_path, capsys):
    def run(source, *words):
        out = tmp_path / "out"
        given = ["live", str(source), "--out", str(out), "--bundle", str(tiny_bundle)]
        code = main([*given, *map(str, words)])
        printed = capsys.readouterr()
        report = json.loads((out / "report.json").read_bytes())
        rows = list(csv.DictReader((out / "measurements.csv").read_text().splitlines()))
        return code, report, rows, printed, out

    return run


def test_every_frame_is_segmented_measured_and_drawn(live, clip, tiny_bundle):
    code, report, rows, printed, out = live(clip, "--every-frame", "--spacing", "0.1")
    assert code == 0
    assert (report["read"], report["answered"], report["dropped"]) == (8, 8, 0)
    assert sorted({int(row["frame"]) for row in rows}) == list(range(8))
    assert {row["made_by"] for row in rows} == {"Suraksha, research use only"}
    assert "Research use only" in printed.err
    assert "8 segmented, 0 dropped" in printed.out
    segment = load_segmenter(tiny_bundle)
    with FrameSource(clip) as source:
        areas = [
            max((lesion.area_px for lesion in segment(frame.image).lesions), default=0)
            for frame in source
        ]
    found = [max(int(r["area_px"] or 0) for r in rows if r["frame"] == str(n)) for n in range(8)]
    assert found == areas
    with PilImage.open(out / "key-frame.png") as key:
        # small images are enlarged, in proportion
        assert key.width * SHAPE[0] == key.height * SHAPE[1]
        assert key.text["Comment"].startswith(f"frame {int(np.argmax(areas))},")
    with FrameSource(out / "annotated.mp4") as video:
        assert video.fps == pytest.approx(20.0)
        assert sum(frame.image is not None for frame in video) == 8


def test_frames_keep_their_times(live, clip):
    code, report, rows, _, out = live(clip, "--json", "--smoothing", "0.5", "--deadline", "1000")
    assert code == 0
    assert report["read"] == report["answered"] + report["dropped"] == 8
    assert report["seconds"] > 7 / 20 * 0.9
    assert report["lag_frames"] == 1.0
    with FrameSource(out / "annotated.mp4") as video:
        shown = sum(frame.image is not None for frame in video)
    assert shown == 1 + max(int(row["frame"]) for row in rows), "dropped frames keep their time"


def test_corrupt_frames_and_changing_sizes(live, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        shape = SHAPE if number < 4 else (90, 70)
        PilImage.fromarray(pixels(number, shape)).save(folder / f"f{number}.png")
    (folder / "f2.png").write_bytes(b"\x89PNG nothing")
    code, report, rows, printed, _ = live(folder, "--every-frame", "--smoothing", "0.5")
    assert code == 0
    assert (report["answered"], report["unreadable"]) == (5, 1)
    assert "f2.png" in report["last_error"]
    assert "1 frame without a result; the last error: cannot read" in printed.err
    assert sorted({int(row["frame"]) for row in rows}) == [0, 1, 3, 4, 5]


def test_the_results_of_a_truncated_source_are_kept(live, clip, tmp_path):
    whole = clip.read_bytes()
    half = tmp_path / "half.avi"
    half.write_bytes(whole[: len(whole) * 6 // 10])
    code, report, rows, _, out = live(half, "--every-frame", "--no-video")
    assert code == 0
    assert 0 < report["answered"] < 8
    assert report["answered"] == len({row["frame"] for row in rows})
    assert not (out / "annotated.mp4").exists()


def test_a_loop_stops_when_its_time_is_over(live, clip):
    code, report, _, _, _ = live(clip, "--loop", "--seconds", "0.9", "--no-video")
    assert code == 0
    assert 8 < report["read"] <= 19


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.mp4"], "cannot be used as a source of frames"),
        (["CLIP", "--loop"], "Give --seconds too"),
        (["IMAGE"], "suraksha segment"),
        (["CLIP", "--smoothing", "1"], "smoothing = 1.0 is not valid"),
    ],
)
def test_wrong_usage_is_explained(clip, tiny_bundle, tmp_path, capsys, words, message):
    image = tmp_path / "case.png"
    PilImage.fromarray(pixels(0)).save(image)
    paths = {"CLIP": str(clip), "IMAGE": str(image)}
    given = [paths.get(word, word) for word in words]
    out = tmp_path / "out"
    code = main(["live", *given, "--out", str(out), "--bundle", str(tiny_bundle)])
    assert code != 0
    assert message in capsys.readouterr().err
    assert not (out / "measurements.csv").exists()


def test_no_segmented_frame_is_a_failure(live, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "f0.png").write_bytes(b"")
    code, report, _, printed, _ = live(folder)
    assert (code, report["answered"], report["unreadable"]) == (1, 0, 1)
    assert "the file is empty" in printed.err
