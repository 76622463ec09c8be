"""Run folders of version 0.1.0, converted to the files and names of this version."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from suraksha.datasets.split_file import Split
from suraksha.errors import DataError, TrainError
from suraksha.evaluation.summaries import METRICS, RULELESS, read_metrics, read_scores
from suraksha.experiments.results import EvaluationRecord
from suraksha.files import write_text
from suraksha.runs.config import TrainConfig, config_from_dict
from suraksha.runs.folder import ENVIRONMENT, FINISHED, Environment, Finished
from suraksha.runs.records import read_json, to_record

OLD_SCORES, SCORES = "-pictures.jsonl", "-images.jsonl"
OLD_RULELESS = "no presence rule"
# options of the first version that no longer exist: key of [data] -> the value that had no effect
REMOVED: Mapping[str, object] = {"twins": 0.0, "teachers": []}
# a key of [data] that had no effect without `teachers`
TEACHER_FRACTION = "teacher_share"
RENAMED_DATA = {"number": "split", "validation_share": "validation_fraction"}
RENAMED = {
    "pictures": "images",
    "pictures_scored": "images_scored",
    "share": "fraction",
    "false_area_share": "false_area_fraction",
    "lesion_share": "lesion_fraction",
    "presence": "postprocessing",
    "peak": "min_peak",
    "least_area": "min_area_fraction",
    "lesion": "min_image_probability",
}


def convert_run(folder: str | Path, out: str | Path) -> Path:
    """Convert a run folder that version 0.1.0 wrote.

    Config, split, environment, ``metrics.csv``, ``finished.json`` and all evaluations are written
    with today's keys and file names, into a folder with the name of today's identity. The
    checkpoint and the fitted post-processing are not converted, so a converted run can be reported
    but not exported.

    Args:
        folder: The old folder. It is only read.
        out: The parent of the new folder.

    Returns:
        The new folder.

    Raises:
        TrainError: The folder is not a finished run of version 0.1.0, uses an option that no
            longer exists, has a key that is not known, or the new folder exists.
        DataError: A damaged split or damaged scores.
    """
    folder, out = Path(folder), Path(out)
    config = _config(folder / "config.toml")
    new = out / config.run_name
    if new.exists():
        raise TrainError(
            f"{new} exists already", "nothing is overwritten", "Give another folder, or remove it"
        )
    split = _split(folder / "split.json")
    finished = read_json(folder / FINISHED, Finished)
    read_json(folder / ENVIRONMENT, Environment)
    read_metrics(folder)
    records = {
        path: _evaluation(path, config, split=split)
        for path in sorted(folder.glob("evaluation-*.json"))
    }
    scores = {path: path.with_name(path.stem + OLD_SCORES) for path in records}
    if not records or finished.epochs != config.optim.epochs:
        raise _not_a_run(folder, "it is not finished or not evaluated")
    for path in scores.values():
        read_scores(path)
    new.mkdir(parents=True)
    split.save(new / "split.json")
    shutil.copyfile(folder / METRICS, new / METRICS)
    shutil.copyfile(folder / FINISHED, new / FINISHED)
    write_text(new / ENVIRONMENT, (folder / ENVIRONMENT).read_text())
    for path, record in records.items():
        shutil.copyfile(scores[path], new / f"{path.stem}{SCORES}")
        write_text(new / path.name, json.dumps(record, indent=2, allow_nan=False) + "\n")
    write_text(new / "config.toml", tomli_w.dumps(config.to_dict()))
    return new


def _not_a_run(path: Path, why: str) -> TrainError:
    return TrainError(
        f"{path} cannot be converted", why, "Give a finished run folder of version 0.1.0"
    )


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        table = parse(path.read_bytes().decode())
    except (OSError, ValueError) as error:
        raise _not_a_run(path, str(error)) from error
    if not isinstance(table, dict):
        raise _not_a_run(path, "it is not a table")
    return table


def _config(path: Path) -> TrainConfig:
    table = _read(path, tomllib.loads)
    data = table.get("data")
    if not isinstance(data, dict) or not RENAMED_DATA.keys() <= data.keys():
        raise _not_a_run(path, f"[data] lacks the keys {', '.join(RENAMED_DATA)}")
    for key, unused in REMOVED.items():
        if data.pop(key, unused) != unused:
            raise _not_a_run(path, f"it uses '{key}', which no longer exists")
    data.pop(TEACHER_FRACTION, None)
    table["data"] = {RENAMED_DATA.get(key, key): value for key, value in data.items()}
    return config_from_dict(table, source=str(path))


def _split(path: Path) -> Split:
    record = _read(path, json.loads)
    try:
        stated = record.pop("sha256")
        split = Split(
            protocol=record.pop("protocol"),
            parameter=record.pop("parameter"),
            train=tuple(record.pop("train")),
            validation=tuple(record.pop("validation")),
            test=tuple(record.pop("test")),
            images=record.pop("pictures"),
        )
    except (KeyError, TypeError) as error:
        raise _not_a_run(path, f"it is not a split of version 0.1.0: {error}") from error
    if record != {"format": 1} or split.sha256 != stated:
        raise DataError(
            f"the split {path} was altered",
            "its content does not match its hash",
            "Give the original folder",
        )
    return split


def _evaluation(path: Path, config: TrainConfig, *, split: Split) -> dict[str, Any]:
    """The record of an evaluation with today's keys and the run's new identity."""
    record: dict[str, Any] = rename_keys(_read(path, json.loads))
    if record.get("split_sha256") != split.sha256:
        raise _not_a_run(path, "it is the evaluation of another split")
    record |= {"run": config.run_name, "config_sha256": config.sha256}
    to_record(record, EvaluationRecord, source=str(path))
    return record


def rename_keys(value: Any) -> Any:  # noqa: ANN401 - JSON
    """An evaluation record of version 0.1.0 with today's keys.

    Args:
        value: The record, or a part of it.
    """
    if isinstance(value, list):
        return [rename_keys(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        RENAMED.get(key, key): _models(item) if key == "models" else rename_keys(item)
        for key, item in value.items()
    }


def _models(table: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Summaries by model and part of the images; the names of the parts are kept."""
    return {
        name.replace(OLD_RULELESS, RULELESS): {
            part: rename_keys(summary) for part, summary in parts.items()
        }
        for name, parts in table.items()
    }
