"""The first call: whatever holds an image, batches, copies in other processes."""

import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.datasets.phantom import sample_phantom
from suraksha.errors import BundleError, InputError, UnreadableError, UsageError
from suraksha.inference.bundle import BUNDLES, list_bundles, write_bundle
from suraksha.inference.engines import create_engine
from suraksha.inference.segmenter import Segmenter, load_segmenter
from suraksha.types import Spacing


@pytest.fixture(scope="module")
def segment():
    return load_segmenter(threads=1)


@pytest.fixture(scope="module")
def images():
    return [sample_phantom(9, number, shape=(120, 160)).image for number in range(5)]


def test_a_path_an_array_and_a_pil_image_give_the_same_result(segment, images, tmp_path):
    image = images[0]
    path = tmp_path / "case.png"
    PilImage.fromarray(image.pixels).save(path)
    expected = segment(image)
    items = [path, str(path), image.pixels, image.pixels / 255, PilImage.fromarray(image.pixels)]
    for item in items:
        np.testing.assert_array_equal(segment(item).probability, expected.probability)
    scaled = segment(image.pixels, spacing=0.1)
    assert scaled.image.spacing == Spacing.square(0.1)


@pytest.mark.parametrize("item", [None, 3, [[1, 2]], b"png"])
def test_anything_else_is_refused_and_the_message_names_what_is_accepted(segment, item):
    with pytest.raises(InputError, match="a numpy array"):
        segment(item)


def test_a_batch_gives_every_result_in_order(segment, images):
    found = list(segment.batch([*images, images[0].pixels], threads=3))
    for image, result in zip([*images, images[0]], found, strict=True):
        np.testing.assert_array_equal(result.mask, segment(image).mask)
    assert list(segment.batch([])) == []


def test_a_batch_reads_its_items_as_they_are_needed(segment, images):
    read = []

    def items():
        for number in range(100):
            read.append(number)
            yield images[number % 2]

    batch = segment.batch(items(), threads=2)
    assert read == []
    next(batch)
    assert len(read) <= 5


def test_a_bad_item_of_a_batch_raises_at_its_turn_and_the_rest_follows(segment, images, tmp_path):
    batch = segment.batch([images[0], tmp_path / "absent.png", images[1]], threads=2)
    assert next(batch).image is images[0]
    with pytest.raises(UnreadableError, match=r"absent\.png"):
        next(batch)
    assert next(batch).image is images[1]
    with pytest.raises(StopIteration):
        next(batch)
    with pytest.raises(StopIteration):
        next(batch)


def test_the_error_of_the_items_themselves_is_raised_after_their_results(segment, images):
    def items():
        yield images[0]
        raise OSError("the disk is gone")

    batch = segment.batch(items())
    assert next(batch).image is images[0]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batch)
    assert list(batch) == []


def test_a_batch_needs_a_thread(segment):
    with pytest.raises(UsageError, match="threads = 0 is not valid"):
        segment.batch([], threads=0)


def test_a_pickled_segmenter_opens_its_bundle_and_engine_again(images):
    original = load_segmenter(threads=1, patch=128, check=False)
    content = pickle.dumps(original)
    assert len(content) < 1000
    copy = pickle.loads(content)
    assert copy is not original
    result, expected = copy(images[0]), original(images[0])
    np.testing.assert_array_equal(result.probability, expected.probability)
    assert result.patches == expected.patches
    assert pickle.loads(content) is copy, "once per process"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_gets_a_segmenter(segment, images, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    with multiprocessing.get_context(method).Pool(1) as pool:
        (result,) = pool.map(segment, images[:1])
    np.testing.assert_array_equal(result.probability, segment(images[0]).probability)


def test_a_segmenter_of_a_bundle_in_memory_is_pickled_with_it(segment, images):
    card = replace(segment.card, threshold=0.9)
    bundle = replace(segment.bundle, card=card)
    original = Segmenter(bundle, create_engine("onnxruntime", bundle.model, threads=1))
    copy = pickle.loads(pickle.dumps(original))
    assert copy.card == card
    np.testing.assert_array_equal(copy(images[0]).mask, original(images[0]).mask)


def test_a_pickled_segmenter_refuses_a_bundle_that_has_changed(segment, tmp_path):
    path = write_bundle(tmp_path / "a.busi", segment.bundle.model, card=segment.card)
    content = pickle.dumps(load_segmenter(path))
    other = replace(segment.card, threshold=0.9)
    write_bundle(path, segment.bundle.model, card=other)
    with pytest.raises(BundleError, match=r"a\.busi has changed"):
        pickle.loads(content)


def test_the_bundles_that_ship_are_listed(segment):
    assert list_bundles() == tuple(BUNDLES)
    assert segment.card.name == list_bundles()[0]
    assert repr(segment) == "<Segmenter suraksha-lite, onnxruntime, 1 threads>"
