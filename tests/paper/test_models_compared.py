"""The rows of a table and their labels."""

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

from suraksha.cli.app import main
from suraksha.experiments.plan import PlannedRun, plan_from_dict
from suraksha.experiments.results import FinishedRun
from suraksha.paper.models_compared import compared_models
from suraksha.paper.published import TABLE_2

ROOT = Path(__file__).resolve().parents[2]


def planned_runs(tmp_path, **runs):
    """The runs of a plan of `[[models]]` lines on `strong`."""
    table = {"name": "x", "runs": [{"recipe": "strong", "protocol": "clean", "splits": [0]}]}
    return plan_from_dict({**table, **runs}, tmp_path).runs


def labels(found):
    finished = [FinishedRun(run, None, None, ()) for run in found]
    return [one.label for one in compared_models(found, finished)]


def test_labels_are_as_short_as_possible(tmp_path):
    models = [{"name": "suraksha", "size": size, "options": {"width": 8}} for size in (32, 64, 128)]
    models += [{"name": "unet", "size": 64}, {"name": "unet", "size": 32}]
    found = planned_runs(tmp_path, models=models)
    assert labels(found) == [
        *("SURAKSHA C1", "SURAKSHA C2", "SURAKSHA C3"),
        *("UNet 64 px", "UNet 32 px"),
    ]


def test_runs_that_differ_in_more_than_split_and_seed_are_separate_rows(tmp_path):
    models = [{"name": "suraksha-lite", "pretrained": pretrained} for pretrained in (False, True)]
    found = planned_runs(tmp_path, models=models)
    assert labels(found) == [
        "suraksha-lite 64 px, pretrained False",
        "suraksha-lite 64 px, pretrained True",
    ]
    first = found[0]
    longer = replace(first.config, optim=replace(first.config.optim, epochs=7))
    other = replace(first.config, seed=3, data=replace(first.config.data, split=4))
    assert labels([first, PlannedRun(longer), PlannedRun(other)]) == [
        f"suraksha-lite 64 px, epochs {first.config.optim.epochs}",
        "suraksha-lite 64 px, epochs 7",
    ]


def test_a_row_knows_its_number_of_planned_runs(tmp_path):
    runs = [{"recipe": "strong", "protocol": "paper", "splits": [0, 1, 2]}]
    found = planned_runs(tmp_path, runs=runs)
    (one,) = compared_models(found, [FinishedRun(found[0], None, None, ())])
    assert (len(one.runs["paper"]), one.planned) == (1, {"paper": 3})


def test_the_committed_results_make_a_complete_table(tmp_path, monkeypatch, capsys):
    results = tmp_path / "docs" / "results"
    with tarfile.open(ROOT / "docs" / "results" / "runs.tar.xz") as tar:
        tar.extractall(results, filter="data")
    shutil.copy(
        ROOT / "docs" / "results" / "benchmark-cpu" / "speed.json", results / "benchmark-cpu"
    )
    shutil.copytree(ROOT / "plans", tmp_path / "plans")
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "table", "--format", "json"]) == 0
    tables = {table["title"]: table for table in json.loads(capsys.readouterr().out)["tables"]}
    assert not any("Not finished" in title for title in tables)
    first = next(table for title, table in tables.items() if title.startswith("Table 2"))
    assert first["head"][1:9] == [row.model for row in TABLE_2]
    assert len(first["head"]) == 1 + 12 + 2
    ours = [row[1:13] for row in first["rows"] if row[0].endswith("ours")]
    assert all(cell["value"] is not None for row in ours for cell in row)
    assert len(tables["Per image, recipe strong, protocol clean"]["rows"]) == 14
