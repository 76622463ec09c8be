"""The summary of an evaluation, and the files it is written to and read from."""

import json
from dataclasses import replace

import numpy as np
import pytest

from suraksha.datasets.cache import CacheItem
from suraksha.datasets.samples import Sample
from suraksha.errors import DataError
from suraksha.evaluation.evaluate import score
from suraksha.evaluation.summaries import read_scores, summary_lines, write_evaluation
from suraksha.inference.postprocessing import Segmentation
from suraksha.inference.prediction import Prediction
from suraksha.types import Image

FACTS = {"grid": "native", "scored_part": "test", "scored_dataset": "made"}


def sample(name, *, lesion=True, consistent=True):
    truth = np.zeros((20, 20), bool)
    truth[5:10, 5:10] = lesion
    item = CacheItem(
        name=name,
        label="benign" if lesion else "normal",
        normal=not lesion,
        group=name,
        image_sha256="0" * 64,
        mask_sha256="0" * 64,
        height=20,
        width=20,
        consistent=consistent,
    )
    return Sample(item, Image(np.zeros((20, 20), np.uint8), name=name), truth)


def evaluation(samples, *, training_masks=()):
    """A model that finds the lesion on every image but "missed"."""

    def segment(image):
        mask = np.zeros(image.shape, bool)
        mask[5:10, 5:10] = image.name != "missed"
        return Segmentation(Prediction(mask.astype(np.float32)), mask)

    found = score(segment, samples, name="net", training_masks=training_masks)
    return replace(found, facts=FACTS)


@pytest.fixture
def whole():
    samples = [
        sample("found"),
        sample("missed", consistent=False),
        sample("false positive", lesion=False),
    ]
    return evaluation(samples, training_masks=[samples[0].truth])


def test_the_summary_has_six_lines_with_the_numbers(whole):
    dice, consistent, missed, normals, calibration, mean_mask = summary_lines(whole)
    assert dice.startswith("Dice: mean 0.500 (")
    assert "median 0.500" in dice
    assert "on 2 lesion images" in dice
    assert consistent == (
        "without contradictory near-duplicates: mean 1.000 (1.000-1.000) on 1 images"
    )
    assert missed == "missed lesions: 1 of 2; false positive regions on lesion images: 0"
    assert normals == "false positives on normals: 1 of 1 images"
    error = 2 * 25 / 1200
    assert f"expected calibration error {error:.4f}" in calibration
    assert mean_mask.startswith("mean training mask: Dice ")
    assert "the network gains -" in mean_mask, "the mean mask has the lesion on both images"


def test_lines_without_data_are_left_out():
    assert len(summary_lines(evaluation([sample("found")]))) == 3
    lines = summary_lines(evaluation([sample("x", lesion=False)]))
    assert [line.split(":")[0] for line in lines] == [
        "false positives on normals",
        "calibration of the pixels",
    ]


def test_warnings_are_written_and_scores_are_read_back(whole, tmp_path):
    (warning,) = whole.warnings
    written = write_evaluation(whole, tmp_path)
    assert written.text.startswith(warning)
    assert json.loads(written.record)["warnings"] == [warning]
    scores = read_scores(tmp_path / "evaluation-native-images.jsonl")
    assert [one.name for one in scores] == ["found", "missed", "false positive"]
    assert [one.dice for one in scores[:2]] == [1.0, 0.0]
    (tmp_path / "damaged.jsonl").write_text("{}")
    with pytest.raises(DataError, match="does not hold the scores of images"):
        read_scores(tmp_path / "damaged.jsonl")
