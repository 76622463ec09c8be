"""Contracts that every network of the zoo keeps, and the table itself."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.errors import ModelError, UnknownNameError
from suraksha.evaluation.export import to_onnx
from suraksha.networks.cost import count_macs, count_parameters
from suraksha.networks.zoo import (
    ZOO,
    ModelEntry,
    create_model,
    find_model,
    list_models,
    model_options,
    table_of,
)
from suraksha.preprocessing import Preparation

SLIM = {name: {"width": 4} for name in list_models()} | {
    "refinenet": {"width": 4, "layers": 50},
    "segresnet": {"width": 8},
    "swin-unetr": {"width": 12},
}


# shifted windows depend on the input size
ONE_SIZE = {"swin-unetr"}


def slim(name, in_channels=1):
    torch.manual_seed(0)
    return create_model(name, in_channels=in_channels, options=SLIM[name]).eval()


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("in_channels", [1, 3, 4])
def test_one_tensor_of_logits_for_any_allowed_size(name, in_channels):
    network, divisor = slim(name, in_channels), ZOO[name].divisor
    for height, width in ((divisor, divisor), (2 * divisor, 5 * divisor)):
        logits = network(torch.randn(2, in_channels, height, width))
        assert logits.shape == (2, 1, height, width)
        assert torch.isfinite(logits).all()
    assert logits.std() > 0


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_gets_a_gradient(name):
    network = slim(name).train()
    network(torch.randn(2, 1, 64, 64)).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None]
    assert without == []
    # a bias before a norm has no effect: its gradient is rounding noise and nothing else
    still = [n for n, p in network.named_parameters() if not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", list_models())
def test_onnx_runtime_agrees_at_any_size(name):
    network = slim(name, 3)
    session = onnxruntime.InferenceSession(
        to_onnx(network, Preparation(64, 64, 3)), providers=["CPUExecutionProvider"]
    )
    others = ((3, 3, 32, 96), (2, 3, 32, 32))
    for shape in ((1, 3, 64, 64), *(others if name not in ONE_SIZE else ())):
        batch = torch.randn(shape)
        with torch.inference_mode():
            expected = network(batch).numpy()
        found = session.run(None, {"image": batch.numpy()})[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    sides = session.get_inputs()[0].shape[2:]
    assert (sides == [64, 64]) is (name in ONE_SIZE)


@pytest.mark.parametrize("name", list_models())
def test_logits_do_not_depend_on_the_batch(name):
    network = slim(name)
    side = max(32, ZOO[name].divisor)
    batch = torch.randn(3, 1, side, side)
    with torch.inference_mode():
        together = network(batch)
        alone = torch.cat([network(one[None]) for one in batch])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", list_models())
def test_the_same_seed_builds_the_same_network_and_options_rebuild_it(name):
    one, two = slim(name), slim(name)
    for (key, a), (_, b) in zip(one.state_dict().items(), two.state_dict().items(), strict=True):
        assert torch.equal(a, b), key
    options = model_options(one)
    assert options.pop("in_channels") == 1
    again = create_model(name, options=options)
    again.load_state_dict(one.state_dict())


@pytest.mark.parametrize("name", list_models())
@given(height=st.integers(1, 70), width=st.integers(1, 70))
@settings(max_examples=12, deadline=None)
def test_invalid_size_error_names_a_valid_size(name, height, width):
    network, divisor = slim(name), ZOO[name].divisor
    batch = torch.zeros(1, 1, height, width)
    if height % divisor == 0 and width % divisor == 0:
        assert network(batch).shape[2:] == (height, width)
        return
    fit = [-(-side // divisor) * divisor for side in (height, width)]
    with pytest.raises(ModelError, match=f"{fit[0]} x {fit[1]}"):
        network(batch)


def test_documented_cost_of_suraksha():
    network = create_model("suraksha")
    assert count_parameters(network) == 8_905_945
    macs = {side: count_macs(network, (1, side, side)) for side in (64, 256)}
    assert macs == {64: 786_104_320, 256: 12_640_583_680}
    # only the attention over all places grows faster than the image: 2 n^2 d for n places
    places, channels = 16, 512
    assert macs[256] - 16 * macs[64] == 2 * channels * ((16 * places) ** 2 - 16 * places**2)


def test_macs_of_a_convolution_by_hand():
    layer = torch.nn.Conv2d(3, 5, 3, padding=1)
    assert count_macs(layer, (3, 10, 20)) == 3 * 5 * 9 * 10 * 20
    assert count_parameters(layer) == 5 * 3 * 9 + 5
    assert layer.training


def test_unknown_name_error_suggests_the_nearest_name():
    assert find_model("suraksha").divisor == 16
    with pytest.raises(UnknownNameError, match="Did you mean 'suraksha'"):
        create_model("surksha")
    with pytest.raises(UnknownNameError, match="Did you mean 'width'"):
        create_model("suraksha", options={"widht": 8})
    with pytest.raises(ModelError, match="type str, not int"):
        create_model("suraksha", options={"width": "8"})
    with pytest.raises(ModelError, match="type bool, not int"):
        create_model("suraksha", options={"width": True})


def test_duplicate_name_in_the_table_is_refused():
    entry = ModelEntry(name="one", network="a:B", spec="a:C", divisor=2, source="nowhere")
    with pytest.raises(ModelError, match="more than one one"):
        table_of((entry, entry))
