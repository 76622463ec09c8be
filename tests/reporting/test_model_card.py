"""The model card: of a full card, of one with few facts, and in the docs."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from suraksha.datasets.splits import PROTOCOLS as SPLITS
from suraksha.errors import BundleError
from suraksha.inference.bundle import BUNDLES, read_bundle
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.card import read_card
from suraksha.inference.postprocessing import PostProcessing
from suraksha.metrics.calibration import reliability
from suraksha.metrics.subsets import SIZE_BANDS
from suraksha.reporting.model_card import PROTOCOLS, model_card

DOCS = Path(__file__).resolve().parents[2] / "docs" / "models"
POINTS = [
    {
        "rule": {"min_peak": peak, "min_area_fraction": area, "min_image_probability": lesion},
        "flagged": flagged,
        "missed": missed,
        "dice": dice,
    }
    for peak, area, lesion, flagged, missed, dice in (
        (0.99, 0.01, 0.9, 0.0, 0.2, 0.6),
        (0.9, 0.002, 0.2, 0.1, 0.01, 0.75),
        (0.0, 0.0, 0.0, 1.0, 0.0, 0.77),
    )
]
FIT = {
    "dataset": "busi",
    "part": "validation part of clean fold=0",
    "grid": "64x64",
    "images": 90,
    "normals": 14,
    "max_flagged": 0.1,
    "flagged": 1,
    "missed": 2,
    "dice": 0.75,
    "without": POINTS[2],
    "curve": POINTS,
}


@pytest.fixture(scope="module")
def shipped():
    return read_bundle().card


@pytest.fixture(scope="module")
def full(shipped):
    """A card with every fact."""
    lesion = shipped.metrics["lesion"]
    bands = {
        band.part: {**lesion, "images": 10 + n, "mean": {"dice": {"value": 0.5 + n / 10}}}
        for n, band in enumerate(SIZE_BANDS)
    }
    rng = np.random.default_rng(0)
    probability = rng.uniform(0, 0.95, (40, 50))
    return replace(
        shipped,
        metrics={**shipped.metrics, **bands},
        classes=("benign", "malignant", "normal"),
        normal_classes=("normal",),
        postprocessing=PostProcessing(0.9, 0.002, 0.2),
        postprocessing_fit=FIT,
        calibration=reliability(probability, rng.uniform(0, 1, (40, 50)) < probability).to_dict(),
    )


def section(page, title):
    """The text under a heading, up to the next of its level or above."""
    level = title.index(" ")
    found = re.search(rf"^{re.escape(title)}$(.*?)(?=^#{{1,{level}}} |\Z)", page, re.M | re.S)
    return found.group(1).strip()


def rows(text):
    """The cells of the tables of a section, without their heads."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [line for line in lines if set(line) != {"---"}][1:]


@pytest.mark.parametrize("name", BUNDLES)
def test_the_docs_have_the_page_of_every_shipped_bundle(name):
    """If this fails: ``suraksha info NAME --card > docs/models/NAME.md``."""
    page = model_card(read_bundle(name).card)
    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == page


def test_the_docs_have_no_page_of_other_bundles():
    assert {path.stem for path in DOCS.glob("*.md")} == set(BUNDLES)


def test_no_page_shows_a_missing_value(shipped, full):
    for card in (shipped, full, bare(shipped)):
        page = model_card(card)
        assert not re.search(r"\b(None|NaN|nan|inf|null)\b", page)
        assert page.index("Research use only") < page.index("## ")
        assert page.count("Research use only") == 1
        assert page.endswith("\n")
        assert not page.endswith("\n\n")


def test_network_and_training(shipped):
    page = model_card(shipped)
    network = dict(rows(section(page, "## Network")))
    assert network["SHA-256 of `model.onnx`"] == shipped.model_sha256
    assert network["parameters"] == "4.50 M"
    assert network["multiply-accumulates at 256 x 256"] == "1.09 G"
    training = dict(rows(section(page, "## Data and training")))
    assert training["SHA-256 of the split"] == shipped.training["split_sha256"]
    assert training["training images"] == "622"
    assert training["images in the held-out test set"] == "158"
    others = model_card(replace(shipped, training={**shipped.training, "warm_up": True}))
    assert dict(rows(section(others, "## Data and training")))["warm up"] == "yes"


def test_every_protocol_is_explained():
    assert PROTOCOLS.keys() == SPLITS.keys()


def test_scores_by_class_and_by_size(full):
    page = model_card(full)
    by_class = {row[0]: row[1:3] for row in rows(section(page, "### By class"))}
    for name in ("benign", "malignant"):
        stated = full.metrics[name]["mean"]["dice"]
        dice = f"{stated['value']:.3f} ({stated['low']:.3f}-{stated['high']:.3f})"
        assert by_class[name] == [str(full.metrics[name]["images"]), dice]
    assert by_class.keys() == {"benign", "malignant"}
    by_size = rows(section(page, "### By lesion size"))
    assert [row[:3] for row in by_size] == [
        [band.part, str(10 + n), f"{0.5 + n / 10:.3f}"] for n, band in enumerate(SIZE_BANDS)
    ]
    whole = rows(section(page, "## Results on the held-out test set"))[0]
    assert whole[:2] == ["all with a lesion", "130"]
    assert "HD95 mm" not in page, "an empty column is left out"
    found = full.metrics["lesion"]["lesions"]
    counted = (
        f"{found['found']} found, {found['missed']} missed, {found['false']} false positive regions"
    )
    assert counted in page


def test_false_positives_on_images_without_a_lesion(full):
    text = section(model_card(full), "## Images without a lesion")
    found = full.metrics["normal"]["normals"]
    flagged, area = found["with_prediction"], found["false_area_fraction"]
    assert f"Of the 28 images of class normal in the held-out test set, {flagged} " in text
    assert f"({100 * flagged / 28:.0f} %) have at least one false positive region" in text
    assert f"falsely segmented is {100 * area:.1f} %" in text


def test_the_rule_and_its_operating_points(full):
    text = section(model_card(full), "## Post-processing")
    assert "highest probability is at least 0.900 and it covers at least 0.2 %" in text
    assert "gives the image a lesion probability of at least 0.200" in text
    assert "90 images, 14 of them without a lesion (validation part of clean fold=0, busi)" in text
    assert rows(text) == [
        ["0.0 %", "20.0 %", "0.600", "0.990", "0.010", "0.900"],
        [f"**{cell}**" for cell in ("10.0 %", "1.0 %", "0.750", "0.900", "0.002", "0.200")],
        ["100.0 %", "0.0 %", "0.770", "0.000", "0.000", "0.000"],
    ]


def test_a_rule_that_was_fitted_without_normals_says_so(full):
    card = replace(full, postprocessing_fit={**FIT, "normals": 0})
    assert "Without normal images it says nothing about false positives" in model_card(card)


def test_the_calibration_table(full):
    text = section(model_card(full), "## Calibration of the probability map")
    table = rows(text)
    assert [row[0] for row in table][::9] == ["0.0 to 0.1", "0.9 to 1.0"]
    for row, one in zip(table, full.calibration["bins"], strict=True):
        assert float(row[2]) == pytest.approx(one["mean_probability"], abs=5e-4)
        assert float(row[3]) == pytest.approx(one["observed"], abs=5e-4)
    assert f"{full.calibration['expected_calibration_error']:.4f}" in text
    assert f"{full.calibration['brier']:.4f}" in text


CLASS_METRICS = {
    "names": ["benign", "malignant", "normal"],
    "images": 158,
    "auc": {
        "malignant vs rest": {"value": 0.91, "low": 0.85, "high": 0.95},
        "lesion vs normal": {"value": None, "low": None, "high": None},
    },
    "brier": {"value": 0.3, "low": 0.2, "high": 0.4},
    "calibration_error": 0.05,
    "confusion": [[80, 6, 2], [9, 33, 0], [3, 1, 24]],
    "calibration": {
        "dataset": "busi",
        "part": "validation part of clean fold=0",
        "images": 93,
        "nll_before": 0.61,
        "nll_after": 0.55,
    },
}


def test_the_classification_head_has_a_section_where_there_is_one(full):
    title = "## Classification head"
    without = replace(full, classes=(), normal_classes=(), postprocessing=PostProcessing(0.9))
    assert title not in model_card(without)
    card = replace(full, class_temperature=1.37, class_metrics=CLASS_METRICS)
    text = section(model_card(card), title)
    assert "not a diagnosis" in text
    assert ["malignant vs rest", "0.910 (0.850-0.950)"] in rows(text)
    assert ["lesion vs normal", "-"] in rows(text)
    assert ["malignant", "9", "33", "0"] in rows(text)
    assert "class is 0.050; the Brier score (0 to 2) is 0.300 (0.200-0.400)" in text
    assert "the classes by 1.37, fitted on 93 images" in text
    assert "from 0.610 to 0.550" in text
    bare = section(model_card(replace(full, class_temperature=1.0, class_metrics={})), title)
    assert "was not measured" in bare
    assert "the classes by 1." in bare


def test_a_card_without_optional_facts_says_what_is_unknown(shipped):
    table = json.loads(shipped.to_json())
    for key in ("calibration", "postprocessing", "postprocessing_fit"):
        table.pop(key, None)
    table["metrics"] = {p: table["metrics"][p] for p in ("lesion", "benign", "normal")}
    old = read_card(json.dumps(table))
    assert old.calibration == {}
    page = model_card(old)
    assert "There is no further rule" in page
    assert "The card has no scores by lesion size." in page
    assert "It was not measured. Do not read a probability as a frequency." in page


def bare(card):
    """A card with as few facts as possible."""
    empty = replace(card, metrics={}, calibration={}, parity={}, training={}, limits=())
    return replace(empty, test_images={}, postprocessing_fit={"curve": None}, intended_use="")


def test_a_bare_card_has_a_page(shipped):
    page = model_card(bare(shipped))
    assert "no scores of images with a lesion" in page
    assert "The card names no images." in page
    half = {"lesion": {"images": 3}, "normal": {"images": 2, "normals": {"images": 2}}}
    assert "all with a lesion | 3 |" in model_card(replace(shipped, metrics=half))


def test_markup_in_a_card_is_escaped(shipped):
    odd = "a | b\n\n# <script>\x1b[2J"
    page = model_card(replace(shipped, licence=odd, test_images={odd: "0"}))
    assert "\x1b" not in page
    assert "<script>" not in page
    assert "a \\| b # &lt;script&gt;" in page


def test_test_images_are_counted_and_named(shipped):
    text = section(model_card(shipped), "## Held-out test set")
    assert "<summary>158 names</summary>" in text
    names = text.split("</summary>")[1].split("</details>")[0].strip().split(", ")
    assert names == list(shipped.test_images)


@pytest.mark.parametrize("value", [3, None, [1]])
def test_a_calibration_of_another_type_is_refused(shipped, value):
    table = {**json.loads(shipped.to_json()), "calibration": value}
    with pytest.raises(BundleError, match="key 'calibration': expected 'object'"):
        read_card(json.dumps(table))


def test_confidence_review_and_input_check(shipped):
    page = model_card(shipped)
    text = section(page, "## Confidence and review")
    calibration, measured = shipped.confidence_calibration, shipped.calibration_metrics
    assert f"logits of the mask by {calibration.temperature:.3g}" in text
    assert f"{measured['lesions_right']} of {measured['lesions']} predicted regions" in text
    assert f"confidence is below {calibration.review_below_confidence:.3g}" in text
    assert f"among them {measured['poor_reviewed']} of the {measured['poor']} poor results" in text
    bounds = {row[0]: row[1:] for row in rows(section(page, "## Input check"))}
    assert bounds.keys() == calibration.feature_bounds.keys()
    assert bounds["contrast"] == [f"{x:.3f}" for x in calibration.feature_bounds["contrast"]]
    plain = replace(shipped, confidence_calibration=ConfidenceCalibration())
    assert "No calibration was fitted" in model_card(plain)
    assert "## Input check" not in model_card(plain)


def test_a_quantised_network_says_what_that_costs(shipped):
    cost = {
        "weights": "8-bit integers by channel",
        "activations": "8-bit unsigned integers",
        "images": 77,
        "dice_float32": 0.78,
        "dice_int8": 0.777,
    }
    network = dict(rows(section(model_card(replace(shipped, quantisation=cost)), "## Network")))
    assert network["mean Dice before and after"].startswith("0.7800 and 0.7770, on 77 lesion")
    assert "ONNX parity: max absolute difference, before quantisation" in network
