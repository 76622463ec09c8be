"""``suraksha segment --classes``: class probabilities, only where they were asked for."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.cli.app import main
from suraksha.datasets.phantom import sample_phantom
from suraksha.inference.engines import Logits
from suraksha.inference.postprocessing import PostProcessing
from suraksha.inference.segmenter import Segmenter, load_segmenter

HEADING = "decision support, research use only"
PROBABILITIES = {"benign": 0.25, "malignant": 0.5, "normal<i>": 0.25}


class WithClasses:
    """The bundle's own engine, with a second output."""

    def __init__(self, engine):
        self.engine, self.name, self.threads = engine, engine.name, engine.threads

    def run(self, batch):
        return Logits(self.engine.run(batch).mask, np.log([[1, 2, 1]]).astype(np.float32))


@pytest.fixture
def with_classes(monkeypatch):
    """The default bundle has a classification head in this test."""

    def load(*_, **__):
        plain = load_segmenter()
        card = replace(
            plain.card,
            classes=tuple(PROBABILITIES),
            class_temperature=1.0,
            normal_classes=(),
            postprocessing=PostProcessing(),
        )
        return Segmenter(replace(plain.bundle, card=card), WithClasses(plain.engine))

    monkeypatch.setattr("suraksha.inference.segmenter.load_segmenter", load)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "case.png"
    PilImage.fromarray(sample_phantom(2, 0, shape=(60, 80)).image.pixels).save(path)
    return path


def everything(out, capsys):
    written = [(out / n).read_text() for n in ("results.jsonl", "results.csv", "report.html")]
    return [*written, capsys.readouterr().out]


def test_with_the_flag_it_is_shown_everywhere_under_its_heading(
    with_classes, image, tmp_path, capsys
):
    out = tmp_path / "out"
    assert main(["segment", str(image), "--out", str(out), "--classes"]) == 0
    lines, table, page, printed = everything(out, capsys)
    support = json.loads(lines)["decision_support"]
    assert support == {"use": HEADING, "classes": pytest.approx(PROBABILITIES)}
    rows = list(csv.DictReader(table.splitlines()))
    assert rows
    for row in rows:
        for name, fraction in PROBABILITIES.items():
            assert float(row[f"{HEADING}: {name}"]) == pytest.approx(fraction)
    fractions = "benign 0.25, malignant 0.50, normal"
    assert f"{HEADING}: {fractions}&lt;i&gt; 0.25" in page
    assert f" | {HEADING}: {fractions}<i> 0.25" in printed
    assert main(["segment", str(image), "--out", str(out), "--classes", "--json", "--again"]) == 0
    assert json.loads(capsys.readouterr().out)["decision_support"] == support


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_without_the_flag_nothing_of_it_is_shown(with_classes, image, tmp_path, capsys, words):
    out = tmp_path / "out"
    assert main(["segment", str(image), "--out", str(out), *words]) == 0
    for text in everything(out, capsys):
        for word in ("malignant", "benign", HEADING, "decision_support"):
            assert word not in text.lower()


def test_a_page_of_a_later_call_without_the_flag_leaves_it_out(
    with_classes, image, tmp_path, capsys
):
    out, other = tmp_path / "out", tmp_path / "other.png"
    other.write_bytes(image.read_bytes())
    assert main(["segment", str(image), "--out", str(out), "--classes"]) == 0
    capsys.readouterr()
    assert main(["segment", str(other), "--out", str(out)]) == 0
    lines, *shown = everything(out, capsys)
    assert [HEADING in line for line in lines.splitlines()] == [True, False]
    assert not any("malignant" in text for text in shown)


def test_a_bundle_without_a_classification_head_is_refused(
    image, tmp_path, capsys, without_classes
):
    out = tmp_path / "out"
    assert main(["segment", str(image), "--out", str(out), "--classes"]) == 2
    err = capsys.readouterr().err
    assert "--classes cannot be used" in err
    assert "no classification head" in err
    assert not out.exists()


@pytest.fixture
def without_classes(monkeypatch):
    """The default bundle has no classification head in this test."""

    def load(*_, **__):
        plain = load_segmenter()
        card = replace(plain.card, classes=(), normal_classes=(), postprocessing=PostProcessing())
        return Segmenter(replace(plain.bundle, card=card), plain.engine)

    monkeypatch.setattr("suraksha.inference.segmenter.load_segmenter", load)
