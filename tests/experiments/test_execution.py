"""Running a plan: nothing is done twice, and nothing is lost."""

import json
from dataclasses import replace

import pytest

from suraksha.cli.app import main
from suraksha.errors import UsageError
from suraksha.experiments.execution import PlanOptions, run_plan
from suraksha.experiments.plan import load_plan
from suraksha.experiments.results import run_states

PLAN = '[[runs]]\nrecipe = "tiny.toml"\nprotocol = "clean"\nsplits = [0, 1, 2]\n'


@pytest.fixture
def plan(write_plan):
    return write_plan(PLAN)


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*-*/*")}


def test_finished_runs_are_not_repeated(plan, counted, tmp_path):
    lines = []
    options = PlanOptions(log=lines.append, progress=False)
    first = run_plan(plan, tmp_path, out=tmp_path / "out", options=options)
    assert counted.trained == [0, 1, 2]
    assert counted.scored == [(n, grid) for n in (0, 1, 2) for grid in ("native", "32x32")]
    assert counted.packed == [32], "one input size is cached once"
    assert (first.failed, first.report["missing"]) == ({}, [])
    assert lines[0] == "plan plan: 3 runs, 0 finished"
    assert lines[1].startswith("1 of 3: tiny-suraksha-32-clean-0-")
    assert lines[1].endswith("(3 left)"), "no duration is known yet"
    assert lines[3].endswith("(1 left, about 0 h 01 min of training)"), "each took a minute"
    before = times(tmp_path / "out")
    again = run_plan(plan, tmp_path, out=tmp_path / "out", options=options)
    assert counted.trained == [0, 1, 2]
    assert len(counted.scored) == 6
    assert times(tmp_path / "out") == before
    assert again.report == first.report
    assert lines[-1] == "plan plan: 3 runs, 3 finished"


def test_a_kill_loses_no_finished_run(plan, counted, tmp_path):
    counted.fails = {1: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, tmp_path, out=tmp_path / "out")
    assert [s["state"] for s in run_states(load_plan(plan), tmp_path / "out")] == [
        "finished",
        "started",
        "not started",
    ]
    counted.fails = {}
    done = run_plan(plan, tmp_path, out=tmp_path / "out")
    assert counted.trained == [0, 1, 2]
    assert counted.scored.count((0, "native")) == 1
    assert done.report["missing"] == []


def test_a_kill_between_the_scorings_repeats_only_what_is_missing(plan, counted, tmp_path):
    counted.fails = {"32x32": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, tmp_path, out=tmp_path / "out")
    counted.fails = {}
    run_plan(plan, tmp_path, out=tmp_path / "out")
    assert counted.scored[:3] == [(0, "native"), (0, "32x32"), (1, "native")]


@pytest.mark.parametrize("error", [None, OSError("disk full"), RuntimeError("out of memory")])
def test_a_failure_does_not_stop_the_others(plan, counted, tmp_path, error):
    counted.fails, lines = {1: error or counted.error}, []
    options = PlanOptions(log=lines.append)
    done = run_plan(plan, tmp_path, out=tmp_path / "out", options=options)
    assert counted.trained == [0, 2]
    ((name, why),) = done.failed.items()
    assert "clean-1" in name
    assert why == str(error or counted.error)
    assert done.report["missing"] == [name]
    assert f"failed: {name}: {why}" in lines
    assert name in (tmp_path / "out" / "report.md").read_text()


def test_a_run_that_was_trained_again_is_scored_again(plan, counted, tmp_path):
    options = PlanOptions(only=("clean:0",))
    run_plan(plan, tmp_path, out=tmp_path / "out", options=options)
    (finished,) = (tmp_path / "out").glob("*/finished.json")
    finished.write_text(json.dumps({"seconds": 61.0, "epochs": 1, "device": "none"}))
    run_plan(plan, tmp_path, out=tmp_path / "out", options=options)
    assert counted.scored == [(0, "native"), (0, "32x32")] * 2


@pytest.mark.parametrize("name", ["evaluation-native.json", "evaluation-32x32-images.jsonl"])
def test_a_damaged_evaluation_is_made_again(plan, counted, tmp_path, name):
    options = PlanOptions(only=("clean:0",))
    run_plan(plan, tmp_path, out=tmp_path / "out", options=options)
    (path,) = (tmp_path / "out").glob(f"*/{name}")
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    done = run_plan(plan, tmp_path, out=tmp_path / "out", options=options)
    assert (len(counted.scored), counted.trained, done.failed) == (3, [0], {})
    assert path.read_bytes() == whole


def test_only_the_chosen_are_run_and_all_finished_are_reported(plan, counted, tmp_path):
    run_plan(plan, tmp_path, out=tmp_path / "out", options=PlanOptions(only=("clean:2",)))
    assert counted.trained == [2]
    done = run_plan(plan, tmp_path, out=tmp_path / "out", options=PlanOptions(only=("clean:0",)))
    assert counted.trained == [2, 0]
    ((group),) = done.report["groups"]
    assert [row["split"] for row in group["rows"]] == [0, 2]
    assert len(done.report["missing"]) == 1
    with pytest.raises(UsageError, match="matches no run"):
        run_plan(plan, tmp_path, out=tmp_path / "out", options=PlanOptions(only=("paper",)))


def test_a_cache_is_refused_as_data(plan, phantom_cache, tmp_path):
    with pytest.raises(UsageError, match="Give the data set"):
        run_plan(plan, phantom_cache, out=tmp_path)


def test_the_command_lists_runs_and_reports_failures(plan, counted, tmp_path, capsys):
    words = ["bench", "run", str(plan), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*words, "--list"]) == 0
    assert capsys.readouterr().out.count("not started") == 3
    assert not (tmp_path / "out").exists()
    counted.fails = {1: counted.error}
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "failed: tiny-suraksha-32-clean-1" in shown.err
    assert "## tiny: suraksha, width 4, 32 px, clean" in shown.out
    assert main([*words, "--list", "--json", "--only", "clean:1", "--only", "clean:2"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["split"], run["state"]) for run in found] == [(1, "started"), (2, "finished")]
    counted.fails = {}
    assert main([*words, "--quiet", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["missing"] == []
    assert shown.err == ""
    assert main([*words, "--only", "claen"]) == 2


def test_default_folders_of_the_command(plan, counted, tmp_path, capsys, monkeypatch):
    seen = {}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(
        "suraksha.experiments.execution.run_plan",
        lambda plan, data, **rest: seen.update(rest, data=data) or 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        main(["bench", "run", str(plan)])
    assert (str(seen["data"]), str(seen["out"])) == ("data", "runs/plan")
    assert str(seen["options"].lists) == "data/splits"


def test_plan_end_to_end(plan, phantom_root, tmp_path, capsys):
    plan.write_text(
        PLAN.replace("[0, 1, 2]", "[1]").replace("clean", "paper")
        + "[runs.set]\noptim.epochs = 1\n"
    )
    out = tmp_path / "out"
    words = ["bench", "run", str(plan), "--data", str(phantom_root), "--out", str(out)]
    assert main([*words, "--quiet", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "report.json").read_text())
    (group,) = report["groups"]
    (row,) = group["rows"]
    folder = out / row["run"]
    native = json.loads((folder / "evaluation-native.json").read_text())
    grid = json.loads((folder / "evaluation-32x32.json").read_text())
    lesions = grid["models"]["suraksha"]["lesion"]["pooled"]
    assert row["figures"]["pooled IoU"] == lesions["iou"]
    assert (group["macs"], group["parameters"]) == (native["macs"], native["parameters"])
    assert row["seconds"] == native["seconds"] > 0
    before = times(out)
    assert main([*words, "--quiet"]) == 0
    assert times(out) == before
    assert (out / "report.md").read_text() in capsys.readouterr().out
    assert main(["evaluate", str(folder), str(phantom_root), "--out", str(tmp_path / "e")]) == 0
    for path in (tmp_path / "e").iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_a_plan_on_the_validation_part_does_not_score_the_test_part(plan, counted, tmp_path):
    chosen = load_plan(plan)
    runs = tuple(replace(run, part="validation") for run in chosen.runs)
    done = run_plan(replace(chosen, runs=runs), tmp_path, out=tmp_path / "out")
    assert done.report["part"] == "validation"
    assert "Scored on the validation part" in done.text
    names = {path.name for path in (tmp_path / "out").rglob("evaluation-*.json")}
    assert names == {"evaluation-native-validation.json", "evaluation-32x32-validation.json"}
    assert run_plan(plan, tmp_path, out=tmp_path / "out").report["missing"] == []
    assert counted.trained == [0, 1, 2], "trained once, scored for both plans"
    assert len(counted.scored) == 12
