"""Run files: decoded strictly, damaged ones named."""

import json
import shutil
from dataclasses import replace

import pytest

from suraksha.errors import TrainError
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.postprocessing import PostProcessing, PostProcessingSettings
from suraksha.runs.fits import RunFits, read_fits, save_fits
from suraksha.runs.folder import Finished, mean_mask_warning, open_run, start_run
from suraksha.runs.records import MAX_BYTES, read_toml

FITS = RunFits(
    PostProcessingSettings(
        threshold=0.4,
        postprocessing=PostProcessing(0.9, 0.01, 0.2),
        confidence_calibration=ConfidenceCalibration(
            1.5, feature_bounds={"contrast": (0.1, 0.9)}, fit={"images": 3}
        ),
        classes=("benign", "normal"),
        normal_classes=("normal",),
        class_temperature=2.0,
    ),
    {"part": "validation part of clean fold=0", "score": {"dice": 0.4, "mean_mask_dice": 0.5}},
)


def test_fits_survive_a_round_trip(tmp_path):
    assert read_fits(tmp_path) == RunFits()
    save_fits(FITS, tmp_path)
    assert read_fits(tmp_path) == FITS
    assert [path.name for path in tmp_path.iterdir()] == ["fits.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("\xff", "not valid JSON"),
        ("3", "must be of type table, got int"),
        ('{"settings": {"threshold": "half"}}', "settings.threshold .* type float, got str"),
        ('{"settings": {"treshold": 0.5}}', "Did you mean 'settings.threshold'"),
        ('{"settings": {"postprocessing": {"min_peak": 2}}}', "min_peak"),
        ('{"settings": {"classes": "benign"}}', "settings.classes"),
        ('{"settings": {"threshold": 1.5}}', "threshold must be above 0 and below 1"),
        ('{"settings": {"normal_classes": ["normal"]}}', "normal_classes among the classes"),
        ('{"facts": 3}', "facts .* type table, got int"),
    ],
)
def test_invalid_fits_are_refused_with_key_and_file(tmp_path, text, message):
    (tmp_path / "fits.json").write_text(text, encoding="latin-1")
    with pytest.raises(TrainError, match=message) as raised:
        read_fits(tmp_path)
    assert "fits.json" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("finished.json", "epochs", "six"),
        ("finished.json", "speed", 1),
        ("environment.json", "threads", 1.5),
    ],
)
def test_damaged_run_files_are_named(tiny_run, tiny_config, tmp_path, name, key, value):
    folder = tmp_path / tiny_config.run_name
    shutil.copytree(tiny_run.folder, folder)
    table = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**table, key: value}))
    with pytest.raises(TrainError, match=f"'?{key}'? in .*{name}"):
        start_run(tmp_path, tiny_config, split=tiny_run.split, truth="0" * 64)


def test_a_config_with_an_unknown_key_is_refused(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    text = (folder / "config.toml").read_text().replace("[data]", "[data]\nnumber = 0")
    (folder / "config.toml").write_text(text)
    with pytest.raises(TrainError, match=r"unknown key 'data.number' in .*config\.toml"):
        open_run(folder)


def test_large_files_are_not_read(tmp_path):
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(TrainError, match="is too large"):
        read_toml(path)


def test_only_fields_that_differ_from_their_default_are_written():
    done = Finished(1.5, 2, "CPU")
    assert done.to_dict() == {"seconds": 1.5, "epochs": 2, "device": "CPU"}
    assert replace(done, devices=2).to_dict()["devices"] == 2


def test_a_network_that_is_not_better_than_the_mean_mask_is_reported(tiny_run):
    (warning,) = replace(tiny_run, fits=FITS).warnings
    assert "not better than the mean training mask" in warning
    assert "0.400 against 0.500" in warning
    assert mean_mask_warning(0.6, 0.5, where="x") == ""
    assert mean_mask_warning(0.6, None, where="x") == ""
    assert mean_mask_warning(None, 0.5, where="x") == ""
    assert mean_mask_warning(float("nan"), 0.5, where="x")
    assert tiny_run.warnings == ()
