"""The presence rule in the card and in the segmenter, with the shipped bundle."""

import json
from dataclasses import replace

import numpy as np
import pytest

from suraksha.errors import BundleError
from suraksha.imaging.phantom import sample_phantom
from suraksha.measure.presence import PresenceRule, present, regions
from suraksha.runtime.bundle import read_bundle
from suraksha.runtime.card import read_card
from suraksha.runtime.segmenter import Segmenter, load_segmenter

FIT = {"part": "validation", "normals": 3, "curve": [{"peak": 0.9, "flagged": None, "dice": 0.5}]}


@pytest.fixture(scope="module")
def card():
    return read_bundle().card


def test_the_rule_and_its_fit_go_there_and_back(card):
    ruled = replace(card, presence=PresenceRule(0.9, 0.002), presence_fit=FIT)
    table = json.loads(ruled.to_json())
    assert table["presence"] == {"peak": 0.9, "least_area": 0.002, "lesion": 0.0}
    assert table["presence_fit"] == FIT
    assert read_card(ruled.to_json()) == ruled


def test_a_card_from_before_the_rule_keeps_every_region(card):
    table = json.loads(card.to_json())
    del table["presence"], table["presence_fit"]
    old = read_card(json.dumps(table))
    assert (old.presence, old.presence_fit) == (PresenceRule(), {})
    assert old == replace(card, presence=PresenceRule(), presence_fit={})


@pytest.mark.parametrize(
    "change",
    [
        {"presence": {"peak": 2}},
        {"presence": {"peak": "high"}},
        {"presence": {"colour": 1}},
        {"presence": None},
        {"presence_fit": 3},
        {"presence_fit": None},
    ],
)
def test_an_odd_rule_is_refused(card, change):
    with pytest.raises(BundleError, match="cannot be read"):
        read_card(json.dumps({**json.loads(card.to_json()), **change}))


def test_the_segmenter_applies_the_rule_and_leaves_the_map_alone():
    plain = load_segmenter(threads=1)
    image = sample_phantom(3, 0, shape=(80, 100)).image
    map_ = plain.tell(image).probability
    # a threshold between many levels of the map, so that it falls into several regions
    threshold = next(
        t for t in np.quantile(map_, np.linspace(0.5, 0.99, 50)) if len(regions(map_, t).peaks) > 1
    )
    found = regions(map_, float(threshold))
    rule = PresenceRule(float(found.peaks.max()))
    results = []
    for presence in (PresenceRule(), rule, PresenceRule(1.0)):
        card = replace(plain.card, threshold=float(threshold), presence=presence)
        segment = Segmenter(replace(plain.bundle, card=card), plain.engine)
        results.append(segment(image))
        np.testing.assert_array_equal(results[-1].probability, map_)
    assert [len(result.lesions) for result in results] == [len(found.peaks), 1, 0]
    expected = present(map_, threshold=float(threshold), rule=rule)
    np.testing.assert_array_equal(results[1].mask, expected)
    assert results[1].lesions[0].area_px == expected.sum() < results[0].mask.sum()
    assert not results[2].mask.any()
