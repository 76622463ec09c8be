"""The report's arithmetic against numbers computed by hand."""

import json
import math
from dataclasses import replace

import pytest

from suraksha.datasets.folds import clean_table
from suraksha.experiments.plan import Plan, PlannedRun
from suraksha.experiments.report import build_report, mean_over_folds, report_text
from suraksha.experiments.results import EvaluationRecord, FinishedRun
from suraksha.metrics.bootstrap import Estimate
from suraksha.runs.records import to_record


def figure(value, spread=0.01):
    return {"value": value, "low": value - spread, "high": value + spread}


def record(model, scale):
    """An evaluation in which all figures differ."""
    part = {
        "images": 2,
        "groups": 2,
        "left_out": 0,
        "normals": {
            "images": 1,
            "with_prediction": 0,
            "fraction": 0.0,
            "false_area_px": 0.0,
            "false_area_fraction": 0.0,
        },
        "lesions": {"found": 1, "missed": 0, "false": 0},
        "seed": 0,
        "resamples": 10,
        "mean": {"dice": figure(0.70 * scale), "iou": figure(0.1)},
        "median": {"dice": figure(0.80 * scale)},
        "pooled": {
            "dice": figure(0.60 * scale),
            "iou": figure(0.50 * scale),
            "accuracy": figure(0.90 * scale),
        },
    }
    consistent = {**part, "mean": {"dice": figure(0.75 * scale)}}
    table = {
        "run": "a run",
        "recipe": "tiny",
        "config_sha256": "0" * 64,
        "protocol": "clean",
        "parameter": "fold=0",
        "split_sha256": "0" * 64,
        "images": 3,
        "epochs": 1,
        "grid": "native",
        "scored_part": "test",
        "scored_dataset": "synthetic",
        "models": {model: {"lesion": part, "consistent": consistent}},
        "community_batches_of_8": {"f1": 0.8 * scale, "iou": 0.7 * scale},
        "seconds": 100.0 * scale,
        "device": "a machine",
        "parameters": 1000,
        "macs": 5000,
    }
    return to_record(table, EvaluationRecord, source="a test")


@pytest.fixture
def planned(tiny_config):
    def make(protocol, number, *, seed=0, **model):
        data = replace(tiny_config.data, protocol=protocol, split=number)
        network = replace(tiny_config.model, **model)
        return PlannedRun(replace(tiny_config, seed=seed, data=data, model=network))

    return make


@pytest.fixture
def finished(planned, make_image):
    def make(one, *, scale=1.0, scores=None):
        model = one.config.model.name
        scores = scores or (make_image("a", 16, 16), make_image("n", 0, 0))
        native, grid = record(model, scale), record(model, scale / 2)
        return FinishedRun(one, native, grid, tuple(scores))

    return make


def report(*members, failed=None):
    plan = Plan("mine", tuple(one.planned for one in members))
    found = build_report(plan, members, failed=failed or {})
    json.dumps(found, allow_nan=False)
    return found


def figures(found):
    ((group),) = found["groups"]
    return [row["figures"] for row in group["rows"]], group["mean"]


def test_paper_is_pooled_on_the_grid(planned, finished):
    rows, mean = figures(
        report(finished(planned("paper", 0)), finished(planned("paper", 2), scale=0.8))
    )
    assert rows[0]["pooled Dice"] == figure(0.30)
    assert (rows[0]["pooled IoU"], rows[0]["pooled accuracy"]) == (figure(0.25), figure(0.45))
    assert rows[1]["pooled Dice"]["value"] == pytest.approx(0.24)
    assert mean["pooled Dice"]["value"] == pytest.approx(0.27)
    assert mean["pooled Dice"]["sd"] == pytest.approx(0.06 / math.sqrt(2))
    assert mean["pooled Dice"]["low"] is None, "the test parts of the seeds overlap"


def test_community_is_of_batches_on_the_grid(planned, finished):
    members = [
        finished(planned("community", n), scale=s) for n, s in ((1, 2.0), (2, 1.8), (3, 1.9))
    ]
    rows, mean = figures(report(*members))
    assert [row["F1"]["value"] for row in rows] == pytest.approx([0.8, 0.72, 0.76])
    assert rows[0]["IoU"] == {"value": 0.7, "low": None, "high": None}
    assert mean["F1"]["value"] == pytest.approx(0.76)
    assert mean["F1"]["sd"] == pytest.approx(0.04)
    text = report_text(report(*members))
    assert "| mean |  | 0.7600 (sd 0.0400) | 0.6650 (sd 0.0350) |" in text


def test_clean_is_per_image_at_native_size(planned, finished, make_image):
    first = (make_image("a", 12, 4), make_image("n", 1, 0), make_image("m", 0, 0))
    second = (make_image("b", 16, 16), make_image("k", 1, 0))
    members = [
        finished(planned("clean", 0), scores=first),
        finished(planned("clean", 4), scale=1.2, scores=second),
    ]
    rows, mean = figures(report(*members))
    assert rows[0]["Dice, lesion"] == figure(0.70)
    assert rows[0]["Dice, consistent"] == figure(0.75)
    assert rows[0]["median Dice"] == figure(0.80)
    assert [row["normals flagged"]["value"] for row in rows] == [0.5, 1.0]
    assert mean["normals flagged"]["value"] == 0.75
    # Dice 0.5 and 1.0, one image a fold: nothing else can be drawn
    expected = {"value": 0.75, "low": 0.75, "high": 0.75}
    assert mean["Dice, lesion"].items() > expected.items()
    text = report_text(report(*members))
    assert "| fold | random seed | Dice, lesion |" in text
    assert "| 0 | 0 | 0.700 (0.690-0.710) | 0.750 (0.740-0.760) |" in text
    assert "1,000 parameters, 5,000 MACs" in text


def test_a_single_run_has_no_mean(planned, finished):
    _, mean = figures(report(finished(planned("clean", 0))))
    assert mean is None


def test_a_part_without_images_has_no_number(planned, finished):
    one = finished(planned("clean", 0))
    del one.native.models["suraksha"]["consistent"]
    rows, _ = figures(report(one))
    assert rows[0]["Dice, consistent"] == {"value": None, "low": None, "high": None}


def test_the_folds_are_drawn_independently(make_image):
    """Three folds of one hit and one miss: 0 of all six has a chance of 1/64, below 2.5 %."""
    folds = {n: [[make_image("a", 8, 8), make_image("b", 0, 8)]] for n in range(3)}
    found = mean_over_folds(folds)
    assert (found.value, found.low, found.high) == pytest.approx((1 / 2, 1 / 6, 5 / 6))


def test_groups_are_drawn_whole(make_image):
    pair = [make_image("a", 8, 8, group="g"), make_image("b", 0, 8, group="g")]
    assert mean_over_folds({0: [pair]}) == Estimate(0.5, 0.5, 0.5)


def test_seeds_of_one_fold_are_averaged_by_image(make_image):
    first = [make_image("a", 8, 8), make_image("b", 0, 8)]
    second = [make_image("b", 8, 8), make_image("a", 0, 8)]
    assert mean_over_folds({0: [first, second]}) == Estimate(0.5, 0.5, 0.5)
    assert mean_over_folds({0: [first]}) != Estimate(0.5, 0.5, 0.5)


def test_seeds_that_held_other_images_back_are_averaged_where_they_scored(make_image):
    first = [make_image("a", 8, 8), make_image("b", 0, 8)]
    second = [make_image("b", 8, 8), make_image("c", 8, 8)]
    assert mean_over_folds({0: [first, second]}).value == pytest.approx((1 + 0.5 + 1) / 3)


def test_no_lesion_anywhere_is_no_number():
    assert math.isnan(mean_over_folds({0: [[]], 1: [[]]}).value)


def test_models_are_paired_on_one_split(planned, finished, make_image):
    def images(found):
        lesions = [make_image(name, found, 12) for name in "abc"]
        return [*lesions, make_image("n", found, 0)]

    members = [
        finished(planned("clean", 0), scores=images(12)),
        finished(planned("clean", 0, options={"width": 8}), scores=images(4)),
        finished(planned("clean", 0, seed=1), scores=images(12)),
        finished(planned("clean", 1, options={"width": 8}), scores=images(4)),
        finished(planned("clean", 0, options={"width": 6}), scores=images(4)[1:]),
    ]
    members[1] = replace(members[1], native=replace(members[1].native, macs=50_000))
    found = report(*members)
    ((pair),) = found["paired"]
    assert (pair["first"], pair["second"]) == (members[0].planned.name, members[1].planned.name)
    assert (pair["protocol"], pair["split"], pair["macs_ratio"]) == ("clean", 0, 0.1)
    # Dice 1 against 2 * 4 / (4 + 12): each image gains a half
    expected = {"value": 0.5, "low": 0.5, "high": 0.5}
    assert pair["difference"] == {"Dice, lesion": expected, "Dice, consistent": expected}
    assert "| 0.100 | +0.500 (+0.500 to +0.500) |" in report_text(found)
    assert len(found["groups"]) == 3


def test_contradicted_images_of_busi_are_left_out_of_consistent(planned, finished, make_image):
    table = clean_table()
    odd = next(name for name, row in table.items() if not row.consistent)
    good = next(name for name, row in table.items() if row.consistent and "normal" not in name)
    one = finished(planned("clean", 0), scores=(make_image(odd, 0, 8), make_image(good, 8, 8)))
    assert [s.name for s in one.lesion_scores("consistent")] == [odd, good]
    one = replace(one, native=replace(one.native, scored_dataset="busi"))
    assert [s.name for s in one.lesion_scores("consistent")] == [good]
    assert [s.name for s in one.lesion_scores()] == [odd, good]


def test_what_is_missing_and_failed_is_said(planned, finished):
    one, other = finished(planned("clean", 0)), planned("clean", 1)
    plan = Plan("mine", (one.planned, other))
    text = report_text(build_report(plan, [one], failed={other.name: "no memory"}))
    assert f"Not finished:\n\n* {other.name}\n" in text
    assert f"* {other.name}: no memory\n" in text
    assert plan.sha256 in text
