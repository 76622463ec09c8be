"""The segmenter and its engines."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.datasets.phantom import sample_phantom
from suraksha.datasets.samples import read_samples
from suraksha.errors import BundleError, MissingExtraError, UnknownNameError, UsageError
from suraksha.evaluation.evaluate import run_segmenter
from suraksha.inference.engines import ENGINES, create_engine, default_threads
from suraksha.inference.segmenter import Segmenter, load_segmenter
from suraksha.measurement.measure import measure
from suraksha.preprocessing import prepare
from suraksha.types import Image, Spacing


@pytest.fixture(scope="module")
def segment(tiny_bundle):
    return load_segmenter(tiny_bundle, threads=1)


def test_the_prediction_is_that_of_torch(segment, tiny_run, phantom_root):
    by_torch = run_segmenter(tiny_run)
    for sample in read_samples(phantom_root, tiny_run.split.test):
        np.testing.assert_allclose(
            segment.predict(sample.image).probability,
            by_torch(sample.image).prediction.probability,
            atol=1e-4,
        )


@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    colour=st.booleans(),
    deep=st.booleans(),
    spacing=st.sampled_from([None, 0.1]),
)
@settings(max_examples=25, deadline=None)
def test_any_image_gives_a_complete_result(segment, rows, columns, colour, deep, spacing):
    rng = np.random.default_rng(rows * 100 + columns)
    shape = (rows, columns, 3) if colour else (rows, columns)
    pixels = rng.integers(0, 256, shape).astype(np.uint16 if deep else np.uint8)
    image = Image(pixels, None if spacing is None else Spacing.square(spacing))
    result = segment(image)
    assert result.mask.shape == result.probability.shape == (rows, columns)
    assert result.probability.dtype == np.float32
    assert 0 <= result.probability.min() <= result.probability.max() <= 1
    assert (result.mask == (result.probability >= segment.card.threshold)).all()
    assert sum(lesion.area_px for lesion in result.lesions) == result.mask.sum()
    for lesion in result.lesions:
        assert (lesion.long_axis_mm is None) == (spacing is None)
        assert 0 <= lesion.confidence <= 1
    assert result.card is segment.card
    stages = {"check", "prepare", "network", "restore", "measure", "total"}
    assert set(result.latency_ms) == stages
    parts = [ms for stage, ms in result.latency_ms.items() if stage != "total"]
    assert result.latency_ms["total"] == pytest.approx(sum(parts))


def test_a_segmenter_keeps_no_state_between_calls(segment):
    one, two = sample_phantom(3, 0, shape=(80, 100)), sample_phantom(3, 1, shape=(80, 100))
    first = segment(one.image).probability
    segment(two.image)
    np.testing.assert_array_equal(segment(one.image).probability, first)


def test_the_lesions_are_those_of_measure(segment):
    image = sample_phantom(3, 0, shape=(80, 100)).image
    result = segment(image)
    expected = measure(result.mask, image.spacing, probability=result.probability)
    assert [x.area_mm2 for x in result.lesions] == [x.area_mm2 for x in expected]


def test_engines(segment):
    assert load_segmenter(engine="auto").engine.name == "onnxruntime"
    assert 1 <= default_threads() <= 4
    with pytest.raises(UnknownNameError, match="Did you mean 'onnxruntime'"):
        load_segmenter(engine="onnxruntme")
    with pytest.raises(UsageError, match="at least 1"):
        load_segmenter(threads=0)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_agrees_with_onnx_runtime(segment, name):
    with pytest.raises(BundleError, match="cannot be loaded"):
        create_engine(name, b"no network")
    model = segment.bundle.model
    engine, known = (create_engine(n, model, threads=1) for n in (name, "onnxruntime"))
    assert (engine.name, engine.threads) == (name, 1)
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(n, 1, 48, 16)).astype(np.float32) for n in (3, 1)]
    answers = [engine.run(batch) for batch in batches]
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer.mask, known.run(batch).mask, atol=1e-4)
        assert answer.classes is None
    with pytest.raises(BundleError, match="failed on a batch"):
        engine.run(np.zeros((1, 2, 48, 16), np.float32))


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_segments_alike_with_the_bundle_that_ships(name):
    image = sample_phantom(3, 0).image
    one, other = (load_segmenter(engine=engine)(image) for engine in ("onnxruntime", name))
    np.testing.assert_allclose(other.probability, one.probability, atol=1e-4)
    assert other.classes == pytest.approx(one.classes, abs=1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_threads_can_use_one_segmenter(name):
    segment = load_segmenter(engine=name, threads=1)
    images = [sample_phantom(7, number, shape=(150, 200)).image for number in range(4)] * 3
    alone = [segment(image).probability for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = [result.probability for result in pool.map(segment, images)]
    np.testing.assert_array_equal(together, alone)


def test_an_engine_that_is_not_installed_names_its_extra(segment, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"suraksha\[openvino\]"):
        create_engine("openvino", segment.bundle.model)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_gives_the_attention_maps_of_torch(tiny_run, segment, phantom_root, name):
    image = read_samples(phantom_root, tiny_run.split.test)[0].image
    network, preparation = tiny_run.network(), tiny_run.config.data.preparation
    expected = network.attention_maps(torch.from_numpy(prepare(image, preparation)))
    found = Segmenter(segment.bundle, create_engine(name, segment.bundle.model, threads=1)).explain(
        image
    )
    assert list(found) == list(expected) == ["bottleneck", "skip4", "skip3", "skip2", "skip1"]
    for key, weights in found.items():
        np.testing.assert_allclose(weights, expected[key][0, 0].numpy(), atol=1e-4)
