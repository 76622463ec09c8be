"""Export writes only what agrees with torch."""

import numpy as np
import pytest
import torch

from suraksha.core import Image
from suraksha.errors import BundleError, TrainError
from suraksha.imaging.prepare import Preparation
from suraksha.models.zoo import create_model
from suraksha.runtime.bundle import read_bundle
from suraksha.train.export import check_parity, export, parity_preparations, to_onnx

PREPARATION = Preparation(32, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("suraksha", options={"width": 4}).eval()


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [Image(rng.integers(0, 256, (50, 40), np.uint8)) for _ in range(3)]


def test_parity_is_checked_at_three_sizes_one_of_them_not_square():
    sizes = [p.shape for p in parity_preparations(PREPARATION, 16)]
    assert sizes == [(32, 32), (64, 64), (48, 64)]


def test_a_network_that_differs_is_refused(network, pictures):
    model = to_onnx(network, PREPARATION)
    found = check_parity(network, model, pictures=pictures, preparations=[PREPARATION])
    assert found["32x32"] < 1e-5
    torch.manual_seed(1)
    other = create_model("suraksha", options={"width": 4}).eval()
    with pytest.raises(TrainError, match="differs from the network"):
        check_parity(other, model, pictures=pictures, preparations=[PREPARATION])
    with torch.no_grad():
        other.head.bias.fill_(float("nan"))
    with pytest.raises(TrainError, match="differs from the network by nan"):
        check_parity(other, model, pictures=pictures, preparations=[PREPARATION])


def test_nothing_is_written_where_the_answers_differ(tiny_run, phantom_root, tmp_path, monkeypatch):
    monkeypatch.setattr("suraksha.train.export.TOLERANCE", -1.0)
    with pytest.raises(TrainError):
        export(tiny_run, tmp_path / "x.busi", data=phantom_root)
    assert list(tmp_path.iterdir()) == []


def test_the_name_must_be_a_bundle_s(tiny_run, phantom_root, tmp_path):
    with pytest.raises(BundleError, match=r"does not end in \.busi"):
        export(tiny_run, tmp_path / "x.onnx", data=phantom_root)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_serves_the_export_too(tiny_run, phantom_cache, tmp_path):
    card = export(tiny_run, tmp_path / "x.busi", data=phantom_cache)
    assert read_bundle(tmp_path / "x.busi").card == card
    assert card.calibration["pixels"] == 32 * 32 * len(card.test_pictures)
