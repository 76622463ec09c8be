"""Run folders of version 0.1.0: converted completely, strictly, and without overwriting."""

import json
import shutil

import pytest
import tomli_w

from suraksha.datasets.hashes import canonical_json, record_sha256
from suraksha.datasets.split_file import load_split
from suraksha.errors import DataError, TrainError
from suraksha.experiments.convert import convert_run
from suraksha.experiments.plan import Plan, PlannedRun
from suraksha.experiments.results import read_results
from suraksha.runs.folder import open_run

FIGURE = {"value": 0.5, "low": 0.25, "high": 0.75}
SUMMARY = {
    "pictures": 1,
    "groups": 1,
    "left_out": 0,
    "mean": {"dice": FIGURE},
    "median": {"dice": FIGURE},
    "pooled": {"dice": FIGURE},
    "normals": {
        "pictures": 0,
        "with_prediction": 0,
        "share": None,
        "false_area_px": None,
        "false_area_share": None,
    },
    "lesions": {"found": 1, "missed": 0, "false": 0},
    "seed": 0,
    "resamples": 10,
}
DATA = {"number": 3, "validation_share": 0.25, "twins": 0.0, "teachers": [], "teacher_share": 0.5}


def write_split(path, **changes):
    record = {
        "format": 1,
        "protocol": "clean",
        "parameter": "fold=3",
        "train": ["t"],
        "validation": [],
        "test": ["a"],
        "pictures": {"t": "0" * 64, "a": "1" * 64},
    }
    sha256 = record_sha256(record)
    path.write_bytes(canonical_json({**record, "sha256": sha256, **changes}))
    return sha256


def write_evaluation(folder, grid, score, *, split_sha256):
    record = {
        "run": folder.name,
        "recipe": "tiny",
        "config_sha256": "f" * 64,
        "protocol": "clean",
        "parameter": "fold=3",
        "split_sha256": split_sha256,
        "pictures": 1,
        "seconds": 60.0,
        "epochs": 6,
        "device": "a machine",
        "parameters": 10,
        "macs": 100,
        "presence": {"peak": 0.5, "least_area": 0.25, "lesion": 0.0},
        "seen_in_training": 0,
        "scored_with": "torch",
        "scored_dataset": "synthetic",
        "grid": grid,
        "pictures_scored": 1,
        "scored_part": "test",
        "models": {
            "suraksha": {"lesion": SUMMARY},
            "suraksha, no presence rule": {"lesion": SUMMARY},
        },
        "community_batches_of_8": {"f1": 0.5, "iou": 0.5},
        "calibration": {"pixels": 64, "lesion_share": 0.5, "bins": [{"low": 0.0, "share": 1.0}]},
    }
    (folder / f"evaluation-{grid}.json").write_text(json.dumps(record))
    line = json.dumps(score.to_dict())
    (folder / f"evaluation-{grid}-pictures.jsonl").write_text(line + "\n")


@pytest.fixture
def old(tmp_path, tiny_config, make_image):
    """A made-up run folder as version 0.1.0 wrote it."""
    folder = tmp_path / "old" / "tiny-suraksha-32-clean-3-ffffffff"
    folder.mkdir(parents=True)
    tables = tiny_config.to_dict()
    data = {k: v for k, v in tables["data"].items() if k not in ("split", "validation_fraction")}
    tables["data"] = {**data, "protocol": "clean", **DATA}
    (folder / "config.toml").write_text(tomli_w.dumps(tables))
    sha256 = write_split(folder / "split.json")
    (folder / "metrics.csv").write_text("epoch,train_accuracy\n1,0.5\n")
    finished = {"seconds": 60.0, "epochs": 6, "device": "a machine"}
    (folder / "finished.json").write_text(json.dumps(finished))
    environment = {"device": "a machine", "platform": "Linux", "python": "3.11", "threads": 1}
    environment |= {"allocator": "default", "packages": {"suraksha": "0.1.0"}}
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "last.ckpt").write_bytes(b"weights")
    for grid in ("native", "32x32"):
        write_evaluation(folder, grid, make_image("a", 16, 16), split_sha256=sha256)
    return folder


def keys(value):
    if isinstance(value, list):
        return set().union(*(keys(item) for item in value))
    if not isinstance(value, dict):
        return set()
    return {*value, *(key for item in value.values() for key in keys(item))}


def test_a_converted_run_is_a_finished_run_of_a_plan(old, tmp_path, tiny_config):
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    new = convert_run(old, tmp_path / "new")
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before
    run = open_run(new)
    assert new.name == run.config.run_name != old.name
    assert (run.config.data.split, run.config.data.validation_fraction) == (3, 0.25)
    assert run.config.optim == tiny_config.optim
    results = read_results(Plan("p", (PlannedRun(run.config),)), tmp_path / "new")
    (finished,) = results.runs
    assert finished.native.config_sha256 == run.config.sha256
    assert finished.native.postprocessing == {
        "min_peak": 0.5,
        "min_area_fraction": 0.25,
        "min_image_probability": 0.0,
    }
    assert finished.native.summary("suraksha, threshold alone", "lesion").mean["dice"].value == 0.5
    assert [score.name for score in finished.lesion_scores()] == ["a"]
    assert results.curves[new.name] == [{"epoch": 1.0, "train_accuracy": 0.5}]
    assert results.train_images[new.name] == ("t",)


def test_no_old_name_is_left(old, tmp_path):
    new = convert_run(old, tmp_path / "new")
    assert sorted(path.name for path in new.iterdir()) == [
        "config.toml",
        "environment.json",
        "evaluation-32x32-images.jsonl",
        "evaluation-32x32.json",
        "evaluation-native-images.jsonl",
        "evaluation-native.json",
        "finished.json",
        "metrics.csv",
        "split.json",
    ]
    record = json.loads((new / "evaluation-native.json").read_text())
    left = {key for key in keys(record) if "picture" in key or "share" in key or "presence" in key}
    assert left == set()
    assert record["calibration"]["bins"] == [{"low": 0.0, "fraction": 1.0}]
    assert (
        load_split(new / "split.json").sha256
        == json.loads((old / "split.json").read_text())["sha256"]
    ), "the hash of a split is the same in all versions"


def test_nothing_is_overwritten(old, tmp_path):
    new = convert_run(old, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in new.iterdir()}
    with pytest.raises(TrainError, match="exists already"):
        convert_run(old, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in new.iterdir()} == before


@pytest.mark.parametrize(
    ("old_text", "new_text", "message"),
    [
        ("twins = 0.0", "twins = 0.8", "'twins', which no longer exists"),
        ("teachers = []", 'teachers = ["a"]', "'teachers', which no longer exists"),
        ("number = 3", "split = 3", "lacks the keys"),
        ("flip = ", "flop = ", "unknown key 'augment.flop'"),
        ("size = 32", 'size = "32"', "data.size"),
    ],
)
def test_a_config_that_cannot_be_converted(old, tmp_path, old_text, new_text, message):
    path = old / "config.toml"
    assert old_text in path.read_text()
    path.write_text(path.read_text().replace(old_text, new_text))
    with pytest.raises(TrainError, match=message):
        convert_run(old, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name",
    [
        "finished.json",
        "environment.json",
        "metrics.csv",
        "split.json",
        "evaluation-native-pictures.jsonl",
    ],
)
def test_a_folder_without_a_file_is_refused(old, tmp_path, name):
    (old / name).unlink()
    with pytest.raises((TrainError, DataError)):
        convert_run(old, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_altered_split_or_record_is_refused(old, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(old, broken)
    write_split(broken / "split.json", parameter="fold=4")
    with pytest.raises(DataError, match="altered"):
        convert_run(broken, tmp_path / "new")
    path = old / "evaluation-native.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "colour": "red"}))
    with pytest.raises(TrainError, match="unknown key 'colour'"):
        convert_run(old, tmp_path / "new")
    path.write_text(json.dumps({**record, "macs": "many"}))
    with pytest.raises(TrainError, match="macs"):
        convert_run(old, tmp_path / "new")


def test_an_unfinished_run_is_refused(old, tmp_path):
    for path in old.glob("evaluation-*.json"):
        path.unlink()
    with pytest.raises(TrainError, match="not finished or not evaluated"):
        convert_run(old, tmp_path / "new")


def test_a_run_of_this_version_is_refused(old, tmp_path):
    new = convert_run(old, tmp_path / "new")
    with pytest.raises(TrainError, match="lacks the keys"):
        convert_run(new, tmp_path / "again")
