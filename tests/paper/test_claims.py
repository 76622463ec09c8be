"""Each claim of the paper with figures that support it and figures that contradict it."""

import math
from types import SimpleNamespace

import pytest

from suraksha.experiments.results import FinishedRun
from suraksha.metrics.bootstrap import Estimate
from suraksha.metrics.detection import Detection
from suraksha.metrics.image import ImageScore
from suraksha.metrics.overlap import Counts
from suraksha.paper.claims import HEAD, Claim, above, claims, claims_table, compared_runs
from suraksha.paper.models_compared import ComparedModel, estimate_draws, pooled_draws
from suraksha.paper.published import TABLE_2

IMAGES, PIXELS = 12, 1000
BASELINES = ("UNet", "UNet++", "SegNet", "RefineNet", "FCN")
# true positive pixels of the 100 lesion pixels of each image, by model: in the order as claimed
TRUE_POSITIVES = {
    "UNet": 50,
    "UNet++": 55,
    "SegNet": 80,
    "RefineNet": 60,
    "FCN": 65,
    "SURAKSHA C1": 58,
    "SURAKSHA C2": 75,
    "SURAKSHA C3": 90,
}


def scores(tp):
    return tuple(
        ImageScore(
            name=f"image {n}",
            label="benign",
            group=f"group {n}",
            counts=Counts(tp, 0, 100 - tp, PIXELS - 100),
            dice=2 * tp / (100 + tp) + 0.001 * (n % 3),
            iou=tp / 100,
            precision=1.0,
            recall=tp / 100,
            hd95_px=1.0,
            nsd=1.0,
            lesions=Detection(1, 0, 0),
        )
        for n in range(IMAGES)
    )


def model(label, *, tp, seconds, macs, size=64):
    """A network with one run of protocol paper, every image with the same counts."""
    name = "suraksha" if label.startswith("SURAKSHA") else label
    config = SimpleNamespace(
        model=SimpleNamespace(name=name), data=SimpleNamespace(size=size, split=0)
    )
    figures = {
        "accuracy": (PIXELS - 100 + tp) / PIXELS,
        "iou": tp / 100,
        "dice": 2 * tp / (100 + tp),
    }
    pooled = {key: SimpleNamespace(value=value) for key, value in figures.items()}
    background = {"accuracy": SimpleNamespace(value=0.9)}
    record = SimpleNamespace(
        scored_dataset="synthetic",
        seconds=seconds,
        macs=macs,
        summary=lambda one, part: SimpleNamespace(
            pooled=background if one == "all background" else pooled
        ),
    )
    run = FinishedRun(
        planned=SimpleNamespace(name=label, config=config),
        native=record,
        on_grid=record,
        scores=scores(tp),
        grid_scores=scores(tp),
    )
    return ComparedModel(label, {"paper": (run,)}, {"paper": 1})


def runs(labels=tuple(TRUE_POSITIVES), **changes):
    """The compared runs; as the paper claims, but for the changes, by label."""
    models, curves = [], {}
    for row in TABLE_2:
        label = row.model
        if label not in labels:
            continue
        values = {
            "tp": TRUE_POSITIVES[label],
            "seconds": 800.0 if label == "UNet++" else row.seconds,
            "macs": 1 if label == "SURAKSHA C3" else 2,
            "start": 0.5 if label.startswith("SURAKSHA") else 0.8,
            "training": 0.999,
            **changes.get(label.replace(" ", "_").replace("+", "p"), {}),
        }
        start, training = values.pop("start"), values.pop("training")
        curves[label] = [{"train_accuracy": start}, {"train_accuracy": training}]
        size = {"C1": 64, "C2": 128, "C3": 256}.get(label[-2:], 256)
        models.append(model(label, size=size, **values))
    return compared_runs(models, SimpleNamespace(curves=curves))


def decided(found, part):
    return [one.holds for one in claims(found) if part in f"{one.claim}: {one.quantity}"]


def test_figures_as_claimed_support_the_claims():
    found = list(claims(runs()))
    no = {one.claim for one in found if one.holds != "yes"}
    # 90 against 50 of 100 pixels in 1000 is a gain of 4 %, not of 11 %; C1 and C2 are worse
    assert no == {
        "accuracy above every baseline's, largest gain 11.083 %",
        "smaller input sizes do not reduce the quality",
    }
    assert len(found) == 3 + 2 + 1 + 5 + 3 + 2 + 2 + 3 + 2 + 5 + 2


def test_the_figures_are_those_of_the_runs_and_the_paper():
    by_claim = {(one.claim, one.quantity): one for one in claims(runs())}
    highest = by_claim[
        "highest accuracy of all networks", "accuracy, SURAKSHA C3 minus the best other (SegNet)"
    ]
    assert highest.published == pytest.approx(0.9301 - 0.9288)
    assert highest.ours.value == pytest.approx(0.990 - 0.980)
    seconds = by_claim[
        "less time to train than UNet, UNet++", "seconds to train, SURAKSHA C3 / UNet"
    ]
    assert seconds.published == pytest.approx(674.51 / 701.78)
    assert seconds.ours.value == pytest.approx(674.51 / 701.78)


@pytest.mark.parametrize(
    ("changes", "part", "holds"),
    [
        ({"SegNet": {"tp": 95}}, "highest accuracy", ["no"]),
        ({"SURAKSHA_C2": {"tp": 95}}, "highest Dice", ["no"]),
        ({"FCN": {"tp": 95}}, "highest IoU", ["no"]),
        ({"SegNet": {"tp": 95}}, "smallest gain", ["no"]),
        ({"SURAKSHA_C3": {"tp": 20}}, "0.9222", ["no"]),
        ({"UNet": {"tp": 95}}, "rank of", ["no", "no", "no"]),
        ({"UNet": {"tp": 95}}, "Dice per image, SURAKSHA C3 minus UNet", ["no", "yes"]),
        ({"SURAKSHA_C1": {"tp": 95}}, "Dice per image, SURAKSHA C1", ["yes"]),
        ({"UNet": {"seconds": 600.0}}, "less time", ["no", "yes"]),
        ({"FCN": {"seconds": 700.0}}, "more time", ["yes", "yes", "no"]),
        ({"SURAKSHA_C3": {"macs": 3}}, "cheaper", ["no", "no"]),
        ({"SURAKSHA_C1": {"start": 0.9}}, "at the start", ["no"] * 5),
        ({"FCN": {"start": 0.4}}, "at the start", ["yes"] * 4 + ["no"]),
        ({"FCN": {"training": 0.5}}, "overfit", ["yes", "no"]),
    ],
)
def test_figures_against_a_claim(changes, part, holds):
    assert decided(runs(**changes), part) == holds


def test_claims_on_networks_that_were_not_run_are_left_out():
    few = list(claims(runs(("SegNet", "SURAKSHA C3"))))
    text = " ".join(one.quantity for one in few)
    for absent in ("UNet", "FCN", "C1", "C2", "RefineNet", "multiply-accumulates"):
        assert absent not in text
    assert runs(("SURAKSHA C3",)) is None
    assert runs(BASELINES) is None


@pytest.mark.parametrize(
    ("ours", "limit", "holds"),
    [
        (Estimate(0.1, 0.05, 0.2), 0.0, "yes"),
        (Estimate(0.1, -0.05, 0.2), 0.0, "undecided"),
        (Estimate(-0.1, -0.2, -0.05), 0.0, "no"),
        (Estimate(0.1, 0.05, 0.2), 0.1, "undecided"),
        (Estimate(0.1, math.nan, math.nan), 0.0, "yes"),
        (Estimate(0.0, 0.0, 0.0), 0.0, "no"),
        (Estimate(math.nan, math.nan, math.nan), 0.0, "undecided"),
    ],
)
def test_a_claim_is_decided_by_its_interval(ours, limit, holds):
    assert above(ours, limit) == holds


def test_the_table_has_a_row_for_each_claim():
    table = claims_table(runs(), recipe="recipe x")
    assert table.head == HEAD
    assert len(table.rows) == len(list(claims(runs())))
    assert any("0.9000 here" in note for note in table.notes)
    row = Claim("a", "b", 0.5, Estimate(0.25, 0.2, 0.3), "no", digits=2, signed=True).row()
    assert [one if isinstance(one, str) else one.text for one in row] == [
        *("a", "b", "+0.50", "+0.25", "+0.20", "+0.30", "no")
    ]


def test_pooled_metrics_are_resampled_on_the_same_images():
    first, second = (model(name, tp=tp, seconds=1, macs=1) for name, tp in (("a", 80), ("b", 60)))
    draws = pooled_draws([first.runs["paper"], second.runs["paper"]], key="recall")
    assert draws[0][0] == pytest.approx(0.8)
    # every image has the same counts, so no resample differs
    found = estimate_draws(draws[0] - draws[1])
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
