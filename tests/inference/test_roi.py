"""Two-pass inference, with a network that marks bright pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.datasets.phantom import sample_phantom
from suraksha.errors import UnknownNameError, UsageError
from suraksha.inference.engines import Logits
from suraksha.inference.postprocessing import PostProcessingSettings
from suraksha.inference.roi import (
    MARGIN,
    MAX_ROI_FRACTION,
    InferenceSpec,
    Stopwatch,
    find_roi,
    predict_full,
    predict_roi,
)
from suraksha.inference.segmenter import load_segmenter
from suraksha.preprocessing import Preparation
from suraksha.types import Image, Patch, Spacing

OWN = Preparation(256, 256, 1, 0.5, 1.0)
SETTINGS = PostProcessingSettings(classes=("benign", "malignant"))


def bright(batch):
    """A network that predicts lesion where the image is brighter than mid-grey."""
    return Logits(30 * batch, np.array([[1.0, 2.0]], np.float32))


def make_image(rows, cols, *, shape=(400, 600)):
    pixels = np.zeros(shape, np.uint8)
    pixels[rows, cols] = 255
    return Image(pixels, Spacing.square(0.1), "square")


def two_passes(image, run=bright):
    watch = Stopwatch()
    return predict_roi(image, InferenceSpec(run, OWN, SETTINGS, divisor=32), watch=watch), watch


def dice(found, image):
    found, truth = found.prediction.probability >= 0.5, image.pixels > 0
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_a_small_candidate_is_predicted_again_at_a_higher_resolution():
    image = make_image(slice(101, 124), slice(333, 352))
    found, watch = two_passes(image)
    assert [patch.size for patch in found.patches] == [(192, 192), (128, 128)]
    assert found.patches[0].box == (0, 0, 400, 600)
    top, left, bottom, right = found.patches[1].box
    assert top < 101
    assert left < 333
    assert bottom > 124
    assert right > 352
    assert max(bottom - top, right - left) <= round((23 + 4) * (1 + MARGIN)) + 2
    once = predict_full(
        image,
        InferenceSpec(bright, Preparation(192, 192, 1, 0.5, 1.0), SETTINGS),
        watch=Stopwatch(),
    )
    assert dice(found, image) > 0.98 > dice(once, image)
    assert set(watch.milliseconds) == {"prepare", "network", "restore", "roi"}


@pytest.mark.parametrize(
    "image",
    [make_image(slice(50, 350), slice(100, 500)), make_image(slice(0, 0), slice(0, 0))],
    ids=["large", "nothing"],
)
def test_a_large_candidate_or_none_takes_one_pass(image):
    asked = []
    found, _ = two_passes(image, lambda batch: asked.append(batch.shape) or bright(batch))
    assert asked == [(1, 1, 192, 192)]
    assert found.patches == (Patch((0, 0, 400, 600), (192, 192)),)


def test_the_classes_come_from_the_first_pass():
    def run(batch):
        classes = [[5.0, 0.0] if batch.shape[2] == 192 else [0.0, 5.0]]
        return Logits(30 * batch, np.array(classes, np.float32))

    found, _ = two_passes(make_image(slice(100, 120), slice(300, 320)), run)
    assert len(found.patches) == 2
    assert found.prediction.classes["benign"] > 0.99
    assert found.scan_classes == (found.prediction.classes,)


@given(
    rows=st.tuples(st.integers(0, 99), st.integers(1, 60)),
    cols=st.tuples(st.integers(0, 149), st.integers(1, 90)),
)
@settings(max_examples=80, deadline=None)
def test_the_roi_is_inside_the_image_and_contains_the_candidate(rows, cols):
    probability = np.zeros((100, 150), np.float32)
    probability[rows[0] : sum(rows), cols[0] : sum(cols)] = 0.9
    there = np.argwhere(probability > 0)
    box = find_roi(probability)
    if box is None:
        side = max(np.ptp(there, axis=0)) + 1
        assert (
            min(100, side * (1 + MARGIN)) * min(150, side * (1 + MARGIN))
            > 0.98 * MAX_ROI_FRACTION * 15000
        )
        return
    top, left, bottom, right = box
    assert 0 <= top < bottom <= 100
    assert 0 <= left < right <= 150
    assert (there >= (top, left)).all()
    assert (there < (bottom, right)).all()
    assert (bottom - top) * (right - left) <= MAX_ROI_FRACTION * 15000


def test_the_roi_is_around_the_strongest_of_two_candidates():
    probability = np.zeros((100, 150), np.float32)
    probability[10:14, 10:14] = 0.99
    probability[60:70, 100:110] = 0.4
    top, left, bottom, right = find_roi(probability)
    assert top <= 60 < 70 <= bottom
    assert left <= 100 < 110 <= right
    assert find_roi(np.full((9, 9), 0.29, np.float32)) is None


def test_the_segmenter_takes_an_input_size_or_auto():
    image = sample_phantom(4, 0).image
    own = load_segmenter(threads=1)(image)
    assert own.patches == (Patch((0, 0, *image.shape), (256, 256)),)
    same = load_segmenter(threads=1, patch=256)(image)
    np.testing.assert_array_equal(same.probability, own.probability)
    other = load_segmenter(threads=1, patch=128)(image)
    assert other.patches[0].size == (128, 128)
    auto = load_segmenter(threads=1, patch="auto")(image)
    assert auto.patches[0].size == (192, 192)
    assert auto.latency_ms["total"] == pytest.approx(
        sum(ms for stage, ms in auto.latency_ms.items() if stage != "total")
    )


@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        (100, UsageError, "Give 96, or auto"),
        (0, UsageError, "Give 32, or auto"),
        ("atuo", UnknownNameError, "Did you mean 'auto'"),
    ],
)
def test_an_input_size_that_the_network_does_not_take_is_refused(patch, error, message):
    with pytest.raises(error, match=message):
        load_segmenter(patch=patch)
