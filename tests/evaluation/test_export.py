"""Export writes only a network on which ONNX Runtime and torch agree."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from suraksha.errors import BundleError, TrainError
from suraksha.evaluation.export import (
    ExportOptions,
    check_parity,
    export,
    parity_preparations,
    round_weights,
    to_onnx,
)
from suraksha.inference.bundle import read_bundle
from suraksha.networks.zoo import create_model
from suraksha.preprocessing import Preparation
from suraksha.training.fit import train
from suraksha.types import Image

PREPARATION = Preparation(32, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("suraksha", options={"width": 4}).eval()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [Image(rng.integers(0, 256, (50, 40), np.uint8)) for _ in range(3)]


def test_parity_is_checked_at_three_sizes_of_which_one_is_not_square():
    sizes = [p.shape for p in parity_preparations(PREPARATION, 16)]
    assert sizes == [(32, 32), (64, 64), (48, 64)]


def test_a_network_that_differs_is_refused(network, images):
    model = to_onnx(network, PREPARATION)
    found = check_parity(network, model, images=images, preparations=[PREPARATION])
    assert found["32x32"] < 1e-5
    torch.manual_seed(1)
    other = create_model("suraksha", options={"width": 4}).eval()
    with pytest.raises(TrainError, match="differs from torch"):
        check_parity(other, model, images=images, preparations=[PREPARATION])
    with torch.no_grad():
        other.head.bias.fill_(float("nan"))
    with pytest.raises(TrainError, match="differs from torch by nan"):
        check_parity(other, model, images=images, preparations=[PREPARATION])


def test_nothing_is_written_where_the_outputs_differ(tiny_run, phantom_root, tmp_path, monkeypatch):
    monkeypatch.setattr("suraksha.evaluation.export.TOLERANCE", -1.0)
    with pytest.raises(TrainError):
        export(tiny_run, tmp_path / "x.busi", data=phantom_root)
    assert list(tmp_path.iterdir()) == []


def test_the_path_must_end_in_busi(tiny_run, phantom_root, tmp_path):
    with pytest.raises(BundleError, match=r"does not end in \.busi"):
        export(tiny_run, tmp_path / "x.onnx", data=phantom_root)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_exported_with_a_cache(tiny_run, phantom_cache, tmp_path):
    card = export(tiny_run, tmp_path / "x.busi", data=phantom_cache)
    assert read_bundle(tmp_path / "x.busi").card == card
    assert card.calibration["pixels"] == 32 * 32 * len(card.test_images)


@pytest.fixture(scope="module")
def two_runs(tiny_config, phantom_cache, tmp_path_factory):
    """A run on the whole training part, and one of the same recipe that held a part back."""
    out = tmp_path_factory.mktemp("two")
    configs = [
        replace(tiny_config, data=replace(tiny_config.data, validation_fraction=fraction))
        for fraction in (0.0, 0.3)
    ]
    return [train(config, phantom_cache, out=out, progress=False) for config in configs]


def test_the_fits_of_another_run_can_be_used(two_runs, phantom_root, tmp_path):
    whole, held = two_runs
    assert set(held.split.train) < set(whole.split.train)
    card = export(whole, tmp_path / "x.busi", data=phantom_root, options=ExportOptions(fits=held))
    own = export(held, tmp_path / "own.busi", data=phantom_root)
    fitted = (
        card.threshold,
        card.postprocessing,
        card.confidence_calibration,
        card.class_temperature,
    )
    assert fitted == (
        own.threshold,
        own.postprocessing,
        own.confidence_calibration,
        own.class_temperature,
    )
    assert card.postprocessing_fit == own.postprocessing_fit
    assert own.confidence_calibration.fit["part"].startswith("validation part")
    assert card.training["config_sha256"] == whole.config.sha256
    assert card.model_sha256 != own.model_sha256
    note = card.training["post-processing and calibration fitted on"]
    assert note.startswith(f"{len(held.split.validation)} of these images")


def test_fits_of_another_recipe_or_without_validation_are_refused(two_runs, phantom_root, tmp_path):
    whole, held = two_runs
    longer = replace(held.config, optim=replace(held.config.optim, learning_rate=1e-5))
    for fits in (whole, replace(held, config=longer)):
        with pytest.raises(TrainError, match="cannot be used for run"):
            export(whole, tmp_path / "x.busi", data=phantom_root, options=ExportOptions(fits=fits))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["suraksha", "suraksha-lite"])
def test_rounded_weights_give_nearly_the_same_output(name):
    torch.manual_seed(0)
    network = create_model(name, options={"width": 4})
    with torch.no_grad():
        network(torch.randn(4, 1, 64, 64))  # so that the norms have something to fold
    network.eval()
    batch = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        before = network(batch).sigmoid()
        after = round_weights(network, 11)(batch).sigmoid()
    torch.testing.assert_close(after, before, atol=5e-3, rtol=0)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in network.modules())
    for weight in network.parameters():
        if weight.ndim > 1:
            bits = weight.detach().numpy().view("uint32")
            assert not (bits & 0b1111111111111).any(), "24 - 11 bits are 0"


def test_24_bits_change_nothing_and_other_numbers_are_refused():
    network = create_model("suraksha", options={"width": 4}).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    after = round_weights(network, 24).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    for bits in (1, 25):
        with pytest.raises(TrainError, match="11 halves the file"):
            round_weights(network, bits)


def test_a_network_that_is_not_better_than_the_mean_mask_is_reported(
    tiny_run, phantom_root, tmp_path, monkeypatch
):
    """The log and the card's limits say so."""
    from suraksha.evaluation import evaluate

    monkeypatch.setattr(evaluate, "mean_mask", lambda masks: masks.mean(0) > 0.2)
    monkeypatch.setattr(
        evaluate, "mean_mask_warning", lambda dice, mean_mask_dice, *, where: f"worse on {where}"
    )
    lines = []
    card = export(tiny_run, tmp_path / "x.busi", data=phantom_root, log=lines.append)
    assert lines == ["worse on the scored images"]
    assert card.limits[0] == lines[0]
