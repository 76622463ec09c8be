"""The scripts and the notebook of examples/ run as they are documented."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = {"segment_folder.py", "segment_image.py", "stream_frames.py"}


def run(script: Path, *arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sample() -> Path:
    (path,) = EXAMPLES.glob("*/synthetic-malignant-4-0001.png")
    return path


def test_every_script_is_tested_here():
    assert {path.name for path in EXAMPLES.glob("*.py")} == SCRIPTS


def test_segment_image_prints_the_lesion_and_saves_its_mask(tmp_path, sample):
    printed = run(EXAMPLES / "segment_image.py", cwd=tmp_path)
    assert re.search(r"lesion 1: \d+\.\d x \d+\.\d mm, confidence (0\.\d\d|1\.00)", printed)
    with (
        PilImage.open(tmp_path / f"{sample.stem}_mask.png") as mask,
        PilImage.open(sample) as image,
    ):
        assert mask.size == image.size
        assert set(np.unique(np.asarray(mask))) == {0, 255}


def test_segment_image_takes_a_path_and_a_pixel_size(tmp_path, sample):
    pattern = r"lesion 1: (\d+\.\d) x"
    (small,) = re.findall(pattern, run(EXAMPLES / "segment_image.py", sample, 0.1, cwd=tmp_path))
    (large,) = re.findall(pattern, run(EXAMPLES / "segment_image.py", sample, 0.2, cwd=tmp_path))
    assert float(large) == pytest.approx(2 * float(small), abs=0.15)


def test_segment_folder_writes_one_row_per_lesion(tmp_path, sample):
    printed = run(EXAMPLES / "segment_folder.py", cwd=tmp_path)
    counts = dict(re.findall(r"^(.+\.png): (\d+) lesion", printed, flags=re.MULTILINE))
    assert set(counts) == {path.name for path in sample.parent.glob("*.png")}
    with (tmp_path / "lesions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(map(int, counts.values())) > 0
    assert all(float(row["long_axis_mm"]) >= float(row["short_axis_mm"]) > 0 for row in rows)


def test_segment_folder_continues_after_a_damaged_file(tmp_path, sample):
    (tmp_path / "a.png").write_bytes(b"not an image")
    (tmp_path / "b.png").write_bytes(sample.read_bytes())
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "segment_folder.py"), str(tmp_path), "out.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a.png" in done.stderr
    assert "b.png: 1 lesion(s)" in done.stdout
    assert "failed: 1" in done.stdout


def test_stream_frames_gives_a_result_for_every_frame_in_order(tmp_path):
    printed = run(EXAMPLES / "stream_frames.py", 5, cwd=tmp_path)
    assert re.findall(r"^frame-(\d+): .*mm$", printed, flags=re.MULTILINE) == [
        f"{index:03d}" for index in range(5)
    ]
    assert "5 frames" in printed


def test_the_code_of_the_notebook_runs(tmp_path):
    pytest.importorskip("matplotlib")
    notebook = json.loads((EXAMPLES / "first_steps.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    script = tmp_path / "notebook.py"
    source = "\n".join("".join(cell["source"]) for cell in code)
    script.write_text(f"import matplotlib\nmatplotlib.use('agg')\n{source}\n", encoding="utf-8")
    printed = run(script, cwd=EXAMPLES)
    assert "mm" in printed
