"""Class probabilities, with an engine that gives fixed logits."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from suraksha.errors import BundleError
from suraksha.inference.bundle import read_bundle
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.card import read_card
from suraksha.inference.engines import Logits
from suraksha.inference.postprocessing import PostProcessing
from suraksha.inference.prediction import Prediction
from suraksha.inference.segmenter import Segmenter
from suraksha.types import Image

NAMES = ("a", "b", "c")
IMAGE = Image(np.zeros((20, 30), np.uint8))


@dataclass
class Fake:
    """An engine that gives these class logits and counts its passes."""

    classes: np.ndarray | None
    name: str = "fake"
    threads: int = 1
    passes: int = 0

    def run(self, batch):
        self.passes += 1
        mask = np.zeros((len(batch), 1, *batch.shape[2:]), np.float32)
        return Logits(mask, self.classes)


@pytest.fixture(scope="module")
def plain():
    bundle = read_bundle()
    bare = {"classes": (), "normal_classes": (), "class_temperature": 1.0, "class_metrics": {}}
    card = replace(
        bundle.card,
        **bare,
        postprocessing=PostProcessing(),
        confidence_calibration=ConfidenceCalibration(),
    )
    return replace(bundle, card=card)


def with_classes(bundle, logits, *, temperature=1.0, names=NAMES):
    card = replace(bundle.card, classes=names, class_temperature=temperature)
    return Segmenter(replace(bundle, card=card), Fake(logits))


@given(
    logits=arrays(np.float32, (1, 3), elements=st.floats(-50, 50, width=32)),
    temperature=st.floats(0.1, 10),
)
@settings(max_examples=40, deadline=None)
def test_probabilities_sum_to_one_and_are_the_softmax(plain, logits, temperature):
    segment = with_classes(plain, logits, temperature=temperature)
    classes = segment.predict(IMAGE).classes
    assert tuple(classes) == NAMES
    powers = np.exp((logits[0].astype(float) - logits.max()) / temperature)
    np.testing.assert_allclose(list(classes.values()), powers / powers.sum(), atol=1e-9)
    assert sum(classes.values()) == pytest.approx(1)


def test_one_pass_gives_mask_and_classes(plain):
    segment = with_classes(plain, np.array([[0, 0, np.log(2)]], np.float32))
    result = segment(IMAGE)
    assert segment.engine.passes == 1
    assert result.classes == pytest.approx({"a": 0.25, "b": 0.25, "c": 0.5})
    assert result.mask.shape == (20, 30)


def test_a_bundle_without_a_classification_head_gives_no_classes(plain):
    segment = Segmenter(plain, Fake(np.zeros((1, 3), np.float32)))
    assert plain.card.classes == ()
    assert segment(IMAGE).classes is None
    assert segment.predict(IMAGE).classes is None


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([(), ("c",), ("a", "c")]))
@settings(max_examples=40, deadline=None)
def test_the_lesion_probability_is_one_minus_the_normal_classes(a, b, normal):
    classes = {"a": a * b, "b": a * (1 - b), "c": 1 - a}
    lesion = Prediction(np.zeros((2, 2), np.float32), classes, normal).lesion_probability
    assert lesion == pytest.approx(sum(classes[n] for n in NAMES if n not in normal))
    assert Prediction(np.zeros((2, 2), np.float32), None, normal).lesion_probability == 1


@pytest.mark.parametrize(("minimum", "stays"), [(0.0, True), (0.49, True), (0.51, False)])
def test_the_rule_empties_the_mask_of_an_image_predicted_normal(plain, minimum, stays):
    segment = with_classes(plain, np.array([[0, 0, np.log(2)]], np.float32))
    card = replace(
        segment.card,
        normal_classes=("c",),
        postprocessing=PostProcessing(min_image_probability=minimum),
        threshold=0.5,
    )
    result = Segmenter(replace(plain, card=card), segment.engine)(IMAGE)
    assert result.mask.all() == result.mask.any() == stays
    assert (result.probability == 0.5).all()


@pytest.mark.parametrize("logits", [None, np.zeros((1, 2), np.float32)])
def test_a_network_with_another_number_of_classes_than_the_card_is_refused(plain, logits):
    with pytest.raises(BundleError, match="the card names 3 classes"):
        with_classes(plain, logits)(IMAGE)


def test_cards_with_and_without_classes_are_read_as_written(plain):
    metrics = {"auc": {"a vs rest": {"value": None}}, "names": list(NAMES)}
    card = replace(plain.card, classes=NAMES, class_temperature=1.7, class_metrics=metrics)
    assert read_card(card.to_json()) == card
    table = json.loads(plain.card.to_json())
    for key in ("classes", "normal_classes", "class_temperature", "class_metrics"):
        del table[key]
    assert read_card(json.dumps(table)) == plain.card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["a", "a"]}, "classes are repeated: a, a"),
        ({"class_temperature": 0}, "class_temperature = 0.0 must be above 0"),
        ({"class_temperature": "hot"}, "key 'class_temperature': expected 'float', got 'str'"),
        ({"classes": "abc"}, "key 'classes': expected 'array', got 'str'"),
        ({"classes": [1, 2]}, r"key 'classes\[0\]': expected 'str', got 'int'"),
        ({"class_metrics": 3}, "key 'class_metrics': expected 'object', got 'int'"),
        ({"classes": ["a"], "normal_classes": ["b"]}, "normal_classes are not in classes: b"),
        (
            {
                "classes": ["a"],
                "normal_classes": [],
                "postprocessing": {"min_image_probability": 0.1},
            },
            "min_image_probability needs normal_classes",
        ),
    ],
)
def test_classes_that_do_not_fit_are_refused(plain, change, message):
    with pytest.raises(BundleError, match=message):
        read_card(json.dumps({**json.loads(plain.card.to_json()), **change}))
