"""The baselines are those of their papers: what each is known by, and what it costs."""

import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from suraksha.errors import ModelError
from suraksha.networks.baselines.refinenet import (
    ChainedResidualPooling,
    RefineBlock,
    ResidualConvUnit,
)
from suraksha.networks.baselines.segnet import unpool
from suraksha.networks.cost import count_macs, count_parameters
from suraksha.networks.zoo import create_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "baselines.md"
# name -> parameters, MACs at 256 px
COSTS = {
    "unet": (31_036_481, 48_091_889_664),
    "attention-unet": (31_387_049, 49_169_563_648),
    "unet++": (9_045_348, 29_756_489_728),
    "segnet": (29_434_497, 39_938_162_688),
    "refinenet": (109_750_465, 58_789_462_016),
    "fcn-8s": (134_268_515, 27_620_152_320),
    "segresnet": (6_298_497, 15_523_119_104),
    "swin-unetr": (6_302_203, 4_581_394_656),
}


@pytest.mark.parametrize("name", COSTS)
def test_documented_cost(name):
    with torch.device("meta"):
        network = create_model(name)
    found = count_parameters(network), count_macs(network, (1, 256, 256))
    assert found == COSTS[name]
    row = re.search(rf"\| `{re.escape(name)}` \|(.*)", PAGE.read_text())[1].split("|")
    parameters, macs = float(row[0].split()[0]), float(row[2])
    assert (parameters, macs) == (
        pytest.approx(found[0] / 1e6, rel=1e-3),
        pytest.approx(found[1] / 1e9, rel=2e-3),
    )


def test_the_u_net_is_suraksha_without_attention():
    options = {"width": 4, "skip_attention": False, "bottleneck_attention": False}
    plain = create_model("suraksha", options=options).eval()
    unet = create_model("unet", options={"width": 4}).eval()
    unet.load_state_dict(plain.state_dict())
    image = torch.randn(1, 1, 32, 48)
    assert torch.equal(unet(image), plain(image))
    gated = create_model("attention-unet", options={"width": 4})
    assert list(gated.eval().attention_maps(image)) == ["skip4", "skip3", "skip2", "skip1"]


def test_segnet_unpools_with_the_indices_of_the_encoder():
    x = torch.randn(2, 3, 8, 12)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    found = unpool(pooled, indices)
    torch.testing.assert_close(found, F.max_unpool2d(pooled, indices, 2))
    kept = found != 0
    assert kept.sum() == pooled.numel()
    assert torch.equal(found[kept], x[kept])


def test_unetpp_with_deep_supervision_is_the_mean_of_its_heads():
    network = create_model("unet++", options={"width": 4}).eval()
    image = torch.randn(1, 1, 32, 32)
    whole = network(image)
    parts = []
    for chosen in range(4):
        other = create_model("unet++", options={"width": 4}).eval()
        other.load_state_dict(network.state_dict())
        for number, head in enumerate(other.heads):
            if number != chosen:
                head.weight.data.zero_()
                head.bias.data.zero_()
        parts.append(other(image))
    torch.testing.assert_close(sum(parts), whole)
    assert all(part.std() > 0 for part in parts)
    last = create_model("unet++", options={"width": 4, "deep_supervision": False})
    assert len(last.heads) == 1


def test_fcn_is_initialised_as_bilinear_interpolation():
    network = create_model("fcn-8s", options={"width": 4}).eval()
    scores = torch.randn(1, 1, 6, 7)
    expected = F.interpolate(scores, scale_factor=2.0, mode="bilinear")
    for up in network.up:
        torch.testing.assert_close(up(scores)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_fcn_sums_the_scores_of_three_depths():
    network = create_model("fcn-8s", options={"width": 4}).eval()
    image = torch.randn(1, 1, 64, 64)
    for score in network.scores:
        score.weight.data.zero_()
    for number, expected in ((0, 1.0), (1, 1.0), (2, 1.0)):
        for score in network.scores:
            score.bias.data.zero_()
        network.scores[number].bias.data.fill_(1.0)
        middle = network(image)[0, 0, 32, 32]
        assert middle.item() == pytest.approx(expected, abs=1e-5)


def test_refinenet_depth_follows_the_spec():
    with torch.device("meta"):
        counted = {
            layers: sum(len(stage) for stage in create_model("refinenet", options=o).encoder)
            for layers, o in ((50, {"layers": 50}), (101, {}))
        }
    # a convolution before, three in each block, a classifier in He et al. after
    assert {layers: 3 * blocks + 2 for layers, blocks in counted.items()} == {50: 50, 101: 101}
    with pytest.raises(ModelError, match="layers is one of"):
        create_model("refinenet", options={"layers": 34})


def test_refinenet_units_match_the_paper():
    rcu, crp = ResidualConvUnit(2), ChainedResidualPooling(2)
    with torch.no_grad():
        for conv in (rcu.first, rcu.second, *crp.convs):
            conv.weight.zero_()
            conv.weight[[0, 1], [0, 1], 1, 1] = 1.0  # each convolution gives back its input
        rcu.first.bias.zero_()
        rcu.second.bias.zero_()
        x = torch.randn(1, 2, 16, 16)
        torch.testing.assert_close(rcu(x), x + F.relu(x))
        once = F.max_pool2d(F.relu(x), 5, stride=1, padding=2)
        twice = F.max_pool2d(F.relu(x), 9, stride=1, padding=4)
        torch.testing.assert_close(crp(x), F.relu(x) + once + twice)


def test_refinenet_fuses_several_inputs():
    alone, fused = RefineBlock((4,), 4), RefineBlock((2, 4), 2)
    assert not list(alone.fuse.parameters())
    fine, coarse = torch.randn(1, 2, 8, 8), torch.randn(1, 4, 4, 4)
    adapted = [adapt(x) for adapt, x in zip(fused.adapt, (fine, coarse), strict=True)]
    parts = [conv(x) for conv, x in zip(fused.fuse, adapted, strict=True)]
    total = parts[0] + F.interpolate(parts[1], scale_factor=2.0, mode="bilinear")
    torch.testing.assert_close(fused(fine, coarse), fused.out(fused.pool(total)))
    single = torch.randn(1, 4, 4, 4)
    torch.testing.assert_close(alone(single), alone.out(alone.pool(alone.adapt[0](single))))


@pytest.mark.parametrize("name", [name for name in COSTS if name not in ("unet", "attention-unet")])
def test_a_width_below_one_is_refused(name):
    with pytest.raises(ModelError, match="at least 1"):
        create_model(name, options={"width": 0})
