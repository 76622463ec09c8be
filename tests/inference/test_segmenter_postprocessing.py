"""The post-processing rule in the card and in the segmenter."""

import json
from dataclasses import replace

import numpy as np
import pytest

from suraksha.datasets.phantom import sample_phantom
from suraksha.errors import BundleError
from suraksha.inference.bundle import read_bundle
from suraksha.inference.card import read_card
from suraksha.inference.postprocessing import PostProcessing, lesion_mask, regions
from suraksha.inference.segmenter import Segmenter, load_segmenter

FIT = {
    "part": "validation",
    "normals": 3,
    "curve": [{"min_peak": 0.9, "flagged": None, "dice": 0.5}],
}


@pytest.fixture(scope="module")
def card():
    return read_bundle().card


def test_the_rule_and_its_fit_are_read_as_written(card):
    ruled = replace(card, postprocessing=PostProcessing(0.9, 0.002), postprocessing_fit=FIT)
    table = json.loads(ruled.to_json())
    assert table["postprocessing"] == {
        "min_peak": 0.9,
        "min_area_fraction": 0.002,
        "min_image_probability": 0.0,
    }
    assert table["postprocessing_fit"] == FIT
    assert read_card(ruled.to_json()) == ruled


def test_a_card_without_a_rule_keeps_every_region(card):
    table = json.loads(card.to_json())
    del table["postprocessing"], table["postprocessing_fit"]
    old = read_card(json.dumps(table))
    assert (old.postprocessing, old.postprocessing_fit) == (PostProcessing(), {})
    assert old == replace(card, postprocessing=PostProcessing(), postprocessing_fit={})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"postprocessing": {"min_peak": 2}}, "must be in 0..1"),
        ({"postprocessing": {"min_peak": "high"}}, "key 'postprocessing.min_peak': expected"),
        ({"postprocessing": {"colour": 1}}, "unknown key 'postprocessing.colour'"),
        ({"postprocessing": None}, "key 'postprocessing': expected 'object', got 'null'"),
        ({"postprocessing_fit": 3}, "key 'postprocessing_fit': expected"),
        ({"postprocessing_fit": None}, "key 'postprocessing_fit': expected"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(card, change, message):
    with pytest.raises(BundleError, match=message):
        read_card(json.dumps({**json.loads(card.to_json()), **change}))


def test_the_rule_changes_the_mask_and_not_the_probability_map():
    plain = load_segmenter(threads=1)
    image = sample_phantom(3, 0, shape=(80, 100)).image
    map_ = plain.predict(image).probability
    # a threshold between many levels of the map, so that it falls into several regions
    threshold = next(
        t for t in np.quantile(map_, np.linspace(0.5, 0.99, 50)) if len(regions(map_, t).peaks) > 1
    )
    found = regions(map_, float(threshold))
    rule = PostProcessing(float(found.peaks.max()))
    results = []
    for postprocessing in (PostProcessing(), rule, PostProcessing(1.0)):
        card = replace(plain.card, threshold=float(threshold), postprocessing=postprocessing)
        segment = Segmenter(replace(plain.bundle, card=card), plain.engine)
        results.append(segment(image))
        np.testing.assert_array_equal(results[-1].probability, map_)
    assert [len(result.lesions) for result in results] == [len(found.peaks), 1, 0]
    expected = lesion_mask(map_, threshold=float(threshold), rule=rule)
    np.testing.assert_array_equal(results[1].mask, expected)
    assert results[1].lesions[0].area_px == expected.sum() < results[0].mask.sum()
    assert not results[2].mask.any()
