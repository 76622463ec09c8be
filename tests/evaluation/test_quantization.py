"""8-bit quantisation: nearly the same output, and refused where it costs Dice."""

import numpy as np
import pytest

from suraksha.errors import TrainError
from suraksha.evaluation.export import ExportOptions, export, segmenter_of
from suraksha.evaluation.quantization import check_cost
from suraksha.inference.bundle import read_bundle
from suraksha.inference.engines import create_engine
from suraksha.reporting.model_card import model_card
from suraksha.runs.config import config_from_dict
from suraksha.training.fit import train


@pytest.fixture(scope="module")
def watched(phantom_cache, tmp_path_factory):
    """A run with a validation part."""
    config = config_from_dict(
        {
            "name": "watched",
            "model": {"name": "suraksha", "options": {"width": 4}},
            "data": {"size": 32, "protocol": "paper", "validation_fraction": 0.4},
            "optim": {"epochs": 4, "batch_size": 4, "learning_rate": 0.01},
        }
    )
    return train(config, phantom_cache, out=tmp_path_factory.mktemp("runs"), progress=False)


@pytest.fixture(scope="module")
def exported(watched, phantom_root, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "whole.busi"
    return export(watched, path, data=phantom_root), read_bundle(path)


def test_an_export_fits_calibration_on_the_validation_part(watched, exported):
    card, _ = exported
    fit = card.confidence_calibration.fit
    assert fit["images"] == len(watched.split.validation)
    assert fit["part"].startswith("validation part of paper")
    assert card.calibration_metrics["images"] == len(watched.split.test)
    assert card.calibration_metrics["refused"] == 0
    assert card.confidence_calibration.temperature > 0
    page = model_card(card)
    assert "## Confidence and review" in page
    assert f"Fitted on {fit['images']} images" in page


def test_eight_bits_are_gated_stated_and_run_everywhere(
    watched, exported, phantom_root, tmp_path, monkeypatch
):
    monkeypatch.setattr("suraksha.evaluation.quantization.MAX_DICE_LOSS", 1.0)
    path = tmp_path / "small.busi"
    card = export(watched, path, data=phantom_root, options=ExportOptions(int8=True))
    small, whole = read_bundle(path), exported[1]
    assert small.model != whole.model
    assert b"QuantizeLinear" in small.model
    assert b"QuantizeLinear" not in whole.model
    cost = card.quantisation
    assert 0 <= cost["dice_int8"] <= 1
    assert cost["images"] > 0
    scores = f"{cost['dice_float32']:.4f} and {cost['dice_int8']:.4f}"
    assert scores in model_card(card)
    batch = np.random.default_rng(0).normal(size=(1, 1, 32, 32)).astype(np.float32)
    answers = [
        create_engine(name, bundle.model, threads=1).run(batch).mask
        for name, bundle in (("onnxruntime", small), ("openvino", small), ("onnxruntime", whole))
    ]
    span = np.ptp(answers[2])
    assert np.abs(answers[0] - answers[2]).mean() < 0.15 * span
    assert np.abs(answers[0] - answers[1]).mean() < 0.15 * span


def test_what_costs_too_much_is_not_written(watched, phantom_root, tmp_path, monkeypatch):
    monkeypatch.setattr("suraksha.evaluation.quantization.MAX_DICE_LOSS", -1.0)
    with pytest.raises(TrainError, match=r"the mean Dice falls from .* Export without --int8"):
        export(watched, tmp_path / "x.busi", data=phantom_root, options=ExportOptions(int8=True))
    assert list(tmp_path.iterdir()) == []


def test_without_validation_images_the_cost_cannot_be_measured(exported):
    segmenter = segmenter_of(exported[0], exported[1].model)
    with pytest.raises(TrainError, match="no validation part"):
        check_cost(segmenter, segmenter, images=[])
