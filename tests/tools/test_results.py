"""Runs and per-image scores are packed without loss, and the committed archive is complete."""

import importlib.util
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("results", REPO / "tools" / "results.py")
results = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(results)
FILES = {
    "benchmark-cpu/strong-unet-64-clean-0-abc/config.toml": "name = 'x'",
    "benchmark-cpu/strong-unet-64-clean-0-abc/split.json": "{}",
    "lite-0/evaluation-native-images.jsonl": '{"dice": 0.5}\n',
}
KEPT = {"lite-0/evaluation-native.json": "{}", "benchmark-cpu/tables/table.md": "| |"}


@pytest.fixture
def folder(tmp_path):
    for name, text in {**FILES, **KEPT}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_is_packed_comes_back(folder):
    archive = results.pack(folder)
    assert results.names(folder) == sorted(FILES)
    for name in FILES:
        (folder / name).unlink()
    assert results.unpack(folder) == len(FILES)
    assert {name: (folder / name).read_text() for name in FILES} == FILES
    assert archive == folder / "runs.tar.xz"


def test_the_same_files_give_the_same_archive(folder):
    first = results.pack(folder).read_bytes()
    (folder / "lite-0" / "evaluation-native-images.jsonl").touch()
    assert results.pack(folder).read_bytes() == first


def test_packing_loses_nothing_that_is_not_unpacked(folder):
    before = results.pack(folder).read_bytes()
    (folder / "lite-0" / "evaluation-native-images.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="lite-0/evaluation-native-images"):
        results.pack(folder)
    assert (folder / "runs.tar.xz").read_bytes() == before


def test_the_committed_archive_holds_the_runs_and_is_small():
    folder = REPO / "docs" / "results"
    names = results.names(folder)
    runs = {name.split("/")[1] for name in names if name.startswith("benchmark-cpu/")}
    assert len(runs) == 30
    for run in runs:
        assert {f"benchmark-cpu/{run}/config.toml", f"benchmark-cpu/{run}/split.json"} <= set(names)
    assert (folder / "runs.tar.xz").stat().st_size < 2 * 2**20
