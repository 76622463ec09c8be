"""suraksha-lite: its parts, its switches and its pretrained encoder."""

import math
import sys
from importlib import import_module

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from suraksha.errors import MissingExtraError, ModelError, UnknownNameError
from suraksha.networks.blocks import AttentionGate, GlobalAttention, InvertedBottleneck
from suraksha.networks.cost import count_macs, count_parameters
from suraksha.networks.lite import SIZES, Lite, LiteSpec, scaled
from suraksha.networks.suraksha import Suraksha, SurakshaSpec
from suraksha.networks.zoo import create_model, load_pretrained, pretrained_parts


def network(**fields):
    torch.manual_seed(1)
    return Lite(LiteSpec(**{"width": 4, **fields})).eval()


def test_four_encoder_blocks_a_bottleneck_and_four_decoder_blocks():
    model, seen, grown = network(), [], []
    for block in model.encoder:
        block.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
    for block in model.decoder:
        block.register_forward_hook(lambda _m, _i, out: grown.append(tuple(out[0].shape[1:])))
    logits = model(torch.zeros(1, 1, 256, 128))
    assert seen == [(16, 128, 64), (24, 64, 32), (40, 32, 16), (112, 16, 8), (320, 8, 4)]
    assert grown == [(32, 16, 8), (16, 32, 16), (8, 64, 32), (4, 128, 64)]
    assert logits.shape == (1, 1, 256, 128)


@pytest.mark.parametrize(
    ("encoder", "width", "parameters", "macs"),
    [
        ("lite0", 16, 3_885_985, 952_674_304),
        ("lite1", 16, 4_650_657, 1_105_856_512),
        ("lite2", 12, 4_939_091, 1_018_253_312),
    ],
)
def test_documented_cost_of_the_sizes(encoder, width, parameters, macs):
    model = create_model("suraksha-lite", options={"encoder": encoder, "width": width})
    assert count_parameters(model) == parameters < 5_000_000
    assert count_macs(model, (1, 256, 256)) == macs < 1_250_000_000


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_each_attention_part_can_be_switched_off(skip, bottleneck):
    model = network(skip_attention=skip, bottleneck_attention=bottleneck)
    kinds = [type(m) for m in model.modules()]
    assert kinds.count(AttentionGate) == 4 * skip
    assert kinds.count(GlobalAttention) == int(bottleneck)
    maps = model.attention_maps(torch.zeros(1, 1, 64, 64))
    assert set(maps) == {f"skip{n}" for n in (1, 2, 3, 4) if skip} | (
        {"bottleneck"} if bottleneck else set()
    )


def test_attention_maps_do_not_change_the_logits():
    model, batch = network(), torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        before = model(batch)
        maps = model.attention_maps(batch)
        assert torch.equal(model(batch), before)
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "bottleneck": (2, 1, 2, 3),
        "skip4": (2, 1, 4, 6),
        "skip3": (2, 1, 8, 12),
        "skip2": (2, 1, 16, 24),
        "skip1": (2, 1, 32, 48),
    }
    torch.testing.assert_close(maps["bottleneck"].sum(dim=(1, 2, 3)), torch.ones(2))


@pytest.mark.parametrize("encoder", SIZES)
def test_pretrained_encoder_matches_the_published_one(encoder):
    """The published network pads stride-2 convolutions at the other end: flip both and compare."""
    model = Lite(LiteSpec(in_channels=3, encoder=encoder)).eval()
    load_pretrained(model)
    oracle = EfficientNet.from_name(f"efficientnet-{encoder}", image_size=64).eval()
    size = SIZES[encoder]
    file = getattr(import_module(size.package), size.loader).get_model_file_path()
    oracle.load_state_dict(torch.load(file, weights_only=True))
    for module in (*model.stem.modules(), *model.encoder.modules()):
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.data.flip(2, 3)
    batch = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours = model.stem(batch.flip(2, 3))
        theirs = oracle._swish(oracle._bn0(oracle._conv_stem(batch)))
        for block in model.encoder:
            ours = block(ours)
        for block in oracle._blocks:
            theirs = block(theirs)
    torch.testing.assert_close(ours.flip(2, 3), theirs, atol=1e-3, rtol=1e-3)


def test_grey_input_uses_the_sum_of_the_colour_weights():
    grey, colour = Lite(LiteSpec()).eval(), Lite(LiteSpec(in_channels=3)).eval()
    load_pretrained(grey)
    load_pretrained(colour)
    batch = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(
        grey.stem(batch), colour.stem(batch.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4
    )
    found = {id(p) for part in pretrained_parts(grey) for p in part.parameters()}
    assert len(found) == len(list(grey.stem.parameters())) + len(list(grey.encoder.parameters()))


def test_missing_pretrained_weights_are_an_error_with_a_fix(monkeypatch):
    with pytest.raises(ModelError, match="use suraksha-lite"):
        load_pretrained(Suraksha(SurakshaSpec(width=4)))
    monkeypatch.setitem(sys.modules, SIZES["lite0"].package, None)
    with pytest.raises(MissingExtraError, match=r"efficientnet_lite0.*suraksha\[train\]"):
        load_pretrained(network())


def test_classification_head_is_a_second_output():
    model, batch = network(classes=3), torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        logits, class_logits = model.run(batch)
        assert torch.equal(logits, model(batch))
        assert len(network().run(batch)) == 1
    assert class_logits.shape == (2, 3)


def test_dropout_is_off_in_eval_mode():
    model, batch = network(dropout=0.5), torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(batch), model(batch))
        model.train()
        assert not torch.equal(model(batch), model(batch))


@pytest.mark.parametrize(
    ("stride", "channels", "adds"), [(1, 8, True), (1, 9, False), (2, 8, False)]
)
def test_inverted_bottleneck_is_residual_if_the_shape_does_not_change(stride, channels, adds):
    block = InvertedBottleneck(8, channels, kernel=5, stride=stride, expansion=6).eval()
    x = torch.randn(1, 8, 10, 12)
    out = block(x)
    assert out.shape == (1, channels, math.ceil(10 / stride), math.ceil(12 / stride))
    assert torch.equal(out, x + block.body(x) if adds else block.body(x))


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(16, 1.0, 16), (24, 1.1, 24), (320, 1.1, 352), (112, 1.1, 120)],
)
def test_channels_are_rounded_as_published(channels, width, expected):
    assert scaled(channels, width) == expected


@pytest.mark.parametrize(
    "fields", [{"width": 0}, {"heads": 7}, {"dropout": 1.0}, {"classes": -1}, {"in_channels": 0}]
)
def test_specs_that_cannot_be_built_are_refused(fields):
    with pytest.raises(ModelError, match="recipe"):
        LiteSpec(**fields)


def test_unknown_encoder_error_suggests_the_nearest_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'lite0'"):
        LiteSpec(encoder="lite-0")
