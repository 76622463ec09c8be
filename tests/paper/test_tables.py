"""Table 2 and the other tables from real, tiny runs: complete, in order, the same after a kill."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from PIL import Image as PilImage

from suraksha.cli.app import main
from suraksha.errors import TrainError
from suraksha.experiments.formats import Number
from suraksha.experiments.plan import load_plan
from suraksha.experiments.results import read_results
from suraksha.experiments.speed import measure_speeds, read_speeds, speed_key
from suraksha.metrics.summary import paired_difference
from suraksha.paper.claims import HEAD
from suraksha.paper.figures import draw_figures
from suraksha.paper.models_compared import compared_models, paired_dice_difference, proposed_model
from suraksha.paper.published import TABLE_2
from suraksha.paper.tables import build_tables

MODELS = "".join(
    f'[[models]]\nname = "{name}"\noptions = {{ width = 4 }}\nsize = {size}\n'
    for name, size in (
        *(("attention-unet", 32), ("fcn-8s", 32), ("suraksha", 64), ("suraksha", 16)),
        *(("suraksha", 32), ("unet", 32)),
    )
)
PLAN = f'title = "tiny networks"\n{MODELS}' + "".join(
    f'[[runs]]\nrecipe = "tiny.toml"\nprotocol = "{protocol}"\nsplits = [0]\n'
    for protocol in ("paper", "clean")
)
COLUMNS = ["UNet", "FCN", "SURAKSHA C1", "SURAKSHA C2", "SURAKSHA C3", "Attention U-Net"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory, tiny_config):
    folder = tmp_path_factory.mktemp("plan")
    tables = tiny_config.to_dict()
    tables["optim"]["epochs"] = 3
    (folder / "tiny.toml").write_text(tomli_w.dumps(tables))
    (folder / "plan.toml").write_text(PLAN)
    return folder / "plan.toml"


@pytest.fixture(scope="module")
def killed_and_resumed(plan, phantom_root, tmp_path_factory):
    """A plan that was killed with -9 in the middle of a run, and then given again."""
    out = tmp_path_factory.mktemp("runs")
    words = ["bench", "run", plan, "--data", phantom_root, "--out", out, "--quiet"]
    command = [sys.executable, "-m", "suraksha.cli.app", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        begun = {path.parent for path in out.glob("tiny-*/last.ckpt")}
        if len(begun) == 3 and sum((f / "finished.json").exists() for f in begun) == 2:
            break
        time.sleep(0.01)
    assert process.poll() is None, "the training ended before it was killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = list(out.glob("tiny-*/finished.json"))
    before = {path: path.stat().st_mtime_ns for path in finished}
    assert 2 <= len(before) < 12
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "not trained again"
    return out


@pytest.fixture(scope="module")
def results(plan, killed_and_resumed):
    return read_results(load_plan(plan), killed_and_resumed)


@pytest.fixture(scope="module")
def tables(results):
    return build_tables(results)


def test_a_kill_changes_no_figure(plan, phantom_root, killed_and_resumed, tables, tmp_path):
    words = ["bench", "run", plan, "--data", phantom_root, "--out", tmp_path, "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "suraksha.cli.app", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    whole = build_tables(read_results(load_plan(plan), tmp_path))

    def rows(found):
        clock = ("Time to train", "seconds")
        return [
            [tuple(row) for row in table.rows if not str(row[0]).startswith(clock)]
            for table in found
            if not table.title.startswith(("Cost", "Claims", "SURAKSHA C3 against"))
        ]

    assert repr(rows(whole)) == repr(rows(tables))


def test_table_2_has_the_papers_rows_and_order_and_no_gap(tables, results):
    table = tables[0]
    assert table.title == "Table 2, recipe tiny: tiny networks"
    assert list(table.head) == ["", *COLUMNS, "all background", "mean mask"]
    metrics = ["Accuracy (training)", "Accuracy (validation)", "Intersection over union"]
    metrics += ["Dice coefficient", "Precision", "Recall", "Time to train (seconds)"]
    assert [row[0] for row in table.rows] == [
        f"{metric}, {who}" for metric in metrics for who in ("ours", "published")
    ]
    ours = {row[0]: row[1:] for row in table.rows}
    for metric in metrics:
        assert all(np.isfinite(number.value) for number in ours[f"{metric}, ours"][: len(COLUMNS)])
    published = {row.model: row for row in TABLE_2}
    for place, label in enumerate(COLUMNS[:-1]):
        assert ours["Dice coefficient, published"][place].value == published[label].dice
    assert np.isnan(ours["Dice coefficient, published"][5].value)
    c3 = next(r for r in results.runs if r.planned.name.startswith("tiny-suraksha-64-paper"))
    figures = c3.on_grid.summary("suraksha", "lesion").pooled
    assert ours["Dice coefficient, ours"][4].value == figures["dice"].value
    last = results.curves[c3.planned.name][-1]["train_accuracy"]
    assert ours["Accuracy (training), ours"][4].value == last
    assert ours["Accuracy (validation), ours"][6].value == pytest.approx(
        c3.on_grid.summary("all background", "lesion").pooled["accuracy"].value
    )


def test_every_protocol_has_its_tables(tables):
    titles = [table.title for table in tables]
    assert titles == [
        "Table 2, recipe tiny: tiny networks",
        "SURAKSHA C3 against each baseline, recipe tiny",
        "Claims of the paper, recipe tiny",
        "Per image, recipe tiny, protocol paper",
        "Paired by image, recipe tiny, protocol paper",
        "Per image, recipe tiny, protocol clean",
        "Paired by image, recipe tiny, protocol clean",
        "With and without the leak, recipe tiny: Dice",
        "Cost, recipe tiny",
    ]
    for table in tables:
        assert all(len(row) == len(table.head) for row in table.rows)
    clean = tables[5]
    assert [row[0] for row in clean.rows] == [*COLUMNS, "all background", "mean mask"]
    assert clean.head[-1] == "normals flagged"
    assert clean.rows[-2][-1].startswith("0 of ")
    assert clean.rows[-2][2].value == 0.0
    assert clean.rows[-2][1] == clean.rows[0][1]


def test_pairs_agree_with_the_summary_of_images(results, tables):
    found = compared_models(results.plan.runs, results.runs)
    c3 = proposed_model(found)
    assert c3.label == "SURAKSHA C3"
    unet = found[0]
    one, other = (one.runs["paper"][0] for one in (c3, unet))
    expected = paired_difference(one.lesion_scores(), other.lesion_scores()).mean["dice"]
    assert paired_dice_difference([one], [other]) == expected
    assert tables[4].rows[0][1] == Number.of(expected, signed=True)


def test_baselines_are_compared_beside_the_published_figures(tables, results):
    table = tables[1]
    assert [row[0] for row in table.rows] == ["UNet", "FCN"]
    row = dict(zip(table.head, table.rows[0], strict=True))
    assert row["Dice, difference, published"].value == pytest.approx(0.6195 - 0.4721)
    assert row["seconds, ratio, published"].value == pytest.approx(674.51 / 701.78)
    found = compared_models(results.plan.runs, results.runs)
    unet, c3 = found[0], proposed_model(found)
    difference = row["Dice, difference, ours"]
    assert difference.value == pytest.approx(
        c3.pooled("paper", "dice") - unet.pooled("paper", "dice")
    )
    assert difference.low <= difference.value <= difference.high


def test_claims_have_their_figures(tables):
    table = tables[2]
    assert table.head == HEAD
    assert all(row[-1] in ("yes", "no", "undecided") for row in table.rows)
    names = [row[0] for row in table.rows]
    assert len(names) == 3 + 2 + 1 + 2 + 2 + 2 + 1 + 1 + 1 + 2 + 1


def test_all_formats_hold_the_same_numbers(plan, killed_and_resumed, tables, tmp_path, capsys):
    words = ["bench", "table", plan, "--runs", killed_and_resumed, "--out", tmp_path / "t"]
    assert main([*map(str, words), "--format", "csv"]) == 0
    printed = capsys.readouterr().out
    files = {path.suffix: path.read_text() for path in (tmp_path / "t").iterdir()}
    assert sorted(files) == [".csv", ".html", ".json", ".md", ".tex"]
    assert printed == files[".csv"]
    rows = list(csv.DictReader(io.StringIO(files[".csv"])))
    assert len(rows) == sum(len(t.rows) * (len(t.head) - 1) for t in tables)
    record = json.loads(files[".json"])
    assert [t["title"] for t in record["tables"]] == [t.title for t in tables]
    for row in rows[:40]:
        assert row["text"] in files[".md"]
        assert row["text"] in files[".html"]
    value = record["tables"][0]["rows"][6][1]["value"]
    assert float(rows[6 * 8]["value"]) == value
    assert files[".tex"].count("\\begin{table}") == len(tables)
    assert "nan" not in files[".md"]


def test_the_speed_of_each_network_is_measured_once(plan, results, tmp_path):
    configs = [run.config for run in load_plan(plan).runs]
    steps = []
    record = measure_speeds(
        configs, tmp_path, rounds=2, progress=lambda title, left: steps.append((title, left))
    )
    assert [left for _, left in steps] == [*range(12, 0, -1)] * 2, "2 warm-up rounds, 2 rounds"
    assert steps[-1][0] in record.milliseconds
    assert len(record.milliseconds) == 6, "both protocols have the same networks"
    speeds = read_speeds(tmp_path)
    assert set(speeds.milliseconds) == {speed_key(config) for config in configs}
    assert min(speeds.milliseconds.values()) > 0
    assert record.device in speeds.device
    assert read_speeds(tmp_path / "nothing").milliseconds == {}
    (tmp_path / "speed.json").write_text("[]")
    with pytest.raises(TrainError, match=r"speed\.json"):
        read_speeds(tmp_path)


def test_the_figures_are_drawn(plan, results, phantom_root, killed_and_resumed, tmp_path):
    for path in draw_figures(results, tmp_path, data=phantom_root, runs=killed_and_resumed):
        with PilImage.open(path) as image:
            assert image.width > 600
            assert len(set(image.convert("L").tobytes())) > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figure-1-samples.png",
        "figure-4-predictions.png",
        "figure-5-training.png",
        "figure-dice-by-cost.png",
    ]


def test_each_recipe_has_its_tables_and_figures(results, tmp_path):
    runs = [
        replace(run, planned=replace(run.planned, config=replace(run.planned.config, name="other")))
        for run in results.runs
    ]
    planned = (*results.plan.runs, *(run.planned for run in runs))
    names = {
        run.planned.name: old.planned.name for run, old in zip(runs, results.runs, strict=True)
    }
    both = replace(
        results,
        plan=replace(results.plan, runs=planned),
        runs=(*results.runs, *runs),
        curves={**results.curves, **{new: results.curves[old] for new, old in names.items()}},
        train_images={
            **results.train_images,
            **{new: results.train_images[old] for new, old in names.items()},
        },
    )
    titles = [table.title for table in build_tables(both)]
    assert [title for title in titles if title.startswith("Cost")] == [
        "Cost, recipe tiny",
        "Cost, recipe other",
    ]
    assert [path.name for path in draw_figures(both, tmp_path)] == [
        f"figure-{what}-{recipe}.png"
        for recipe in ("tiny", "other")
        for what in ("5-training", "dice-by-cost")
    ]


def test_no_finished_run_is_an_error(plan, tmp_path, capsys):
    assert main(["bench", "table", str(plan), "--runs", str(tmp_path)]) == 1
    assert "has no finished run" in capsys.readouterr().err


def test_unfinished_runs_are_named(plan, killed_and_resumed, tmp_path):
    runs = load_plan(plan).runs
    (tmp_path / runs[0].name).symlink_to(killed_and_resumed / runs[0].name)
    unet = next(run for run in runs if run.config.model.name == "unet")
    c1 = next(run for run in runs if run.name.startswith("tiny-suraksha-16-paper"))
    for run in (unet, c1):
        (tmp_path / run.name).symlink_to(killed_and_resumed / run.name)
    tables = build_tables(read_results(load_plan(plan), Path(tmp_path)))
    assert tables[-1].title == "Not finished"
    done = (runs[0], unet, c1)
    assert list(tables[-1].notes) == [run.name for run in runs if run not in done]
    assert "SURAKSHA C1" in tables[0].head, "a label does not depend on which runs are finished"
