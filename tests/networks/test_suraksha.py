"""The network of the paper: its parts, its switches and its attention."""

import pytest
import torch

from suraksha.errors import ModelError
from suraksha.networks.blocks import AttentionGate, GlobalAttention
from suraksha.networks.suraksha import Suraksha, SurakshaSpec


def network(**fields):
    torch.manual_seed(1)
    return Suraksha(SurakshaSpec(width=4, **fields)).eval()


def test_feature_map_sizes_match_the_paper():
    seen = []
    model = network()
    for block in model.encoder:
        block.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out[0].shape[2:])))
    for side, expected in ((64, [32, 16, 8, 4]), (128, [64, 32, 16, 8]), (256, [128, 64, 32, 16])):
        seen.clear()
        model(torch.zeros(1, 1, side, side))
        assert seen == [(n, n) for n in expected]
    assert len(model.encoder) == len(model.decoder) == 4


def test_attention_maps_have_the_documented_shapes():
    maps = network().attention_maps(torch.randn(2, 1, 64, 96))
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "bottleneck": (2, 1, 4, 6),
        "skip4": (2, 1, 8, 12),
        "skip3": (2, 1, 16, 24),
        "skip2": (2, 1, 32, 48),
        "skip1": (2, 1, 64, 96),
    }
    torch.testing.assert_close(maps["bottleneck"].sum(dim=(1, 2, 3)), torch.ones(2))
    for name, weights in maps.items():
        assert 0 <= weights.min() <= weights.max() <= 1, name


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_each_attention_part_can_be_switched_off(skip, bottleneck):
    model = network(skip_attention=skip, bottleneck_attention=bottleneck)
    kinds = [type(m) for m in model.modules()]
    assert kinds.count(AttentionGate) == 4 * skip
    assert kinds.count(GlobalAttention) == int(bottleneck)
    maps = model.attention_maps(torch.zeros(1, 1, 32, 32))
    assert len(maps) == 4 * skip + bottleneck


def test_attention_maps_do_not_change_the_logits():
    model, batch = network(), torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        before = model(batch)
        model.attention_maps(batch)
        assert torch.equal(model(batch), before)


def test_receptive_field_is_local_without_bottleneck_attention():
    """The receptive field of the convolutions ends; attention over the whole image has no end."""
    for attention, meets in ((True, True), (False, False)):
        model = network(bottleneck_attention=attention).double()
        batch = torch.randn(1, 1, 16, 1024, dtype=torch.float64)
        other = batch.clone()
        other[..., -1] += 10
        with torch.no_grad():
            change = (model(batch) - model(other))[..., 0].abs().max()
        assert bool(change > 0) is meets


def test_gate_weights_scale_the_skip_alone():
    gate = AttentionGate(4, 4, 2).eval()
    skip, query = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    weights = gate(skip, query)
    assert weights.shape == (2, 1, 8, 8)
    assert not torch.equal(weights, gate(skip, query + 1))


def test_global_attention_against_torch_multihead_attention():
    """The same weights in torch's own module give the same answer."""
    torch.manual_seed(0)
    ours = GlobalAttention(8, 2)
    oracle = torch.nn.MultiheadAttention(8, 2, bias=True, batch_first=True)
    oracle.in_proj_weight.data = ours.to_qkv.weight.data[:, :, 0, 0]
    oracle.in_proj_bias.data.zero_()
    oracle.out_proj.weight.data = ours.out.weight.data[:, :, 0, 0]
    oracle.out_proj.bias.data = ours.out.bias.data
    x = torch.randn(3, 8, 4, 6)
    placed = x + ours.position(x)
    tokens = ours.norm(placed).flatten(2).transpose(1, 2)
    seen, image_features = oracle(tokens, tokens, tokens, average_attn_weights=True)
    expected = placed + seen.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        ours.weights(x).flatten(1), image_features.mean(dim=1), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize(
    "fields", [{"width": 0}, {"in_channels": 0}, {"heads": 0}, {"width": 4, "heads": 7}]
)
def test_specs_that_cannot_be_built_are_refused(fields):
    with pytest.raises(ModelError, match="recipe"):
        SurakshaSpec(**fields)


def test_wrong_channels_are_refused():
    with pytest.raises(ModelError, match="takes 1 channels"):
        network()(torch.zeros(1, 3, 32, 32))
