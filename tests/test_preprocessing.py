import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suraksha.errors import ModelError
from suraksha.preprocessing import (
    Preparation,
    normalise,
    prepare,
    resize_image,
    resize_mask,
    resize_probability,
    restore,
    to_uint8,
)
from suraksha.types import Image

sizes = st.integers(1, 40)
shapes = st.tuples(sizes, sizes)
images = shapes.flatmap(
    lambda shape: st.sampled_from([shape, (*shape, 3)]).flatmap(
        lambda full: st.sampled_from([np.uint8, np.uint16]).flatmap(
            lambda kind: hnp.arrays(kind, full)
        )
    )
)
channels = st.sampled_from([1, 3])
quick = settings(deadline=None, max_examples=60)


# --- kinds of pixels ------------------------------------------------------------------------------


def test_sixteen_bit_keeps_the_upper_eight():
    values = np.array([[0, 0x12FF, 0x8000, 0xFFFF]], np.uint16)
    np.testing.assert_array_equal(to_uint8(values, 1), [[0, 0x12, 0x80, 0xFF]])
    np.testing.assert_array_equal(to_uint8(values.astype(">u2"), 1), [[0, 0x12, 0x80, 0xFF]])
    assert to_uint8(values, 1).dtype == np.uint8


def test_grey_to_rgb_and_back_is_exact():
    ramp = np.arange(256, dtype=np.uint8)[None]
    rgb = to_uint8(ramp, 3)
    assert rgb.shape == (1, 256, 3)
    np.testing.assert_array_equal(rgb, np.dstack([ramp] * 3))
    np.testing.assert_array_equal(to_uint8(rgb, 1), ramp)


@quick
@given(hnp.arrays(np.uint8, st.tuples(sizes, sizes, st.just(3))))
def test_grey_is_luma_601(rgb):
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(to_uint8(rgb, 1) - luma).max() <= 0.51


# --- there ----------------------------------------------------------------------------------------


@quick
@given(images, channels, shapes)
def test_prepare_gives_shape_and_type_and_keeps_its_input(pixels, count, shape):
    before = pixels.copy()
    preparation = Preparation(*shape, channels=count)
    small = resize_image(Image(pixels), preparation)
    assert small.shape == (shape if count == 1 else (*shape, 3))
    assert small.dtype == np.uint8
    tensor = prepare(Image(pixels), preparation)
    assert tensor.shape == (1, count, *shape)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(normalise(small[None], preparation), tensor)


@quick
@given(images, channels)
def test_an_image_of_the_input_size_is_not_resampled(pixels, count):
    image = Image(pixels)
    same = resize_image(image, Preparation(*image.shape, channels=count))
    np.testing.assert_array_equal(same, to_uint8(pixels, count))


def test_rows_and_columns_are_not_exchanged():
    pixels = np.zeros((40, 20), np.uint8)
    pixels[:20] = 200
    small = resize_image(Image(pixels), Preparation(8, 12))
    assert small.shape == (8, 12)
    assert (small[:3] == 200).all()
    assert (small[5:] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(5, 4), (10, 8), (1, 1)])
def test_shrinking_keeps_the_mean(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32), dtype=np.uint8)
    small = resize_image(Image(pixels), Preparation(height, width))
    assert small.mean() == pytest.approx(pixels.mean(), abs=6)


def test_normalise_applies_mean_and_std():
    pixels = np.array([[[0, 51, 255]]], np.uint8)
    got = normalise(pixels, Preparation(1, 3, mean=0.2, std=0.5))
    np.testing.assert_allclose(got, [[[[-0.4, 0.0, 1.6]]]], atol=1e-6)
    rgb = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    got = normalise(rgb, Preparation(2, 2, channels=3, mean=0.0, std=1.0)) * 255
    np.testing.assert_allclose(got[0, 1], [[1, 4], [7, 10]], atol=1e-5)


@quick
@given(mean=st.floats(-1, 2), std=st.floats(0.01, 10))
def test_normalise_keeps_every_grey_level(mean, std):
    ramp = np.arange(256, dtype=np.uint8)[None, None]
    got = normalise(ramp, Preparation(1, 256, mean=mean, std=std))
    back = np.rint((got[0, 0].astype(np.float64) * std + mean) * 255)
    np.testing.assert_array_equal(back, ramp[0])


# --- and back -------------------------------------------------------------------------------------


@quick
@given(hnp.arrays(np.bool_, shapes))
def test_a_mask_of_the_same_size_is_unchanged(mask):
    np.testing.assert_array_equal(resize_mask(mask, mask.shape), mask)
    image = Image(np.zeros(mask.shape, np.uint8))
    restored = restore(mask.astype(np.float32), image)
    assert restored.dtype == np.float32
    np.testing.assert_array_equal(restored >= 0.5, mask)


def ellipse(shape, centre, axes):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    away = ((rows + 0.5 - centre[0]) / axes[0]) ** 2 + ((columns + 0.5 - centre[1]) / axes[1]) ** 2
    return away <= 1


def dice(one, two):
    return 2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two))


@quick
@given(
    shape=st.tuples(st.integers(60, 400), st.integers(60, 400)),
    grid=st.tuples(st.integers(48, 160), st.integers(48, 160)),
    place=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)),
    size=st.tuples(st.floats(0.1, 0.4), st.floats(0.1, 0.4)),
)
def test_a_mask_is_restored_after_resizing(shape, grid, place, size):
    mask = ellipse(shape, np.multiply(place, shape), np.multiply(size, shape))
    before = mask.copy()
    there = resize_mask(mask, grid)
    back = restore(there.astype(np.float32), Image(np.zeros(shape, np.uint8))) >= 0.5
    # The outline moves by about half a pixel of the coarser grid; a semi-axis is
    # 4.8 pixels or more long on the network grid.
    assert dice(mask, back) >= 0.9
    np.testing.assert_array_equal(mask, before)


@quick
@given(shape=st.tuples(st.integers(60, 300), st.integers(60, 300)), size=st.floats(0.2, 0.4))
def test_restoring_does_not_shift(shape, size):
    mask = ellipse(shape, (shape[0] / 2, shape[1] / 2), (size * shape[0], size * shape[1]))
    back = restore(resize_mask(mask, (64, 64)).astype(np.float32), Image(np.zeros(shape, np.uint8)))
    back = back >= 0.5
    assert np.count_nonzero(back) == pytest.approx(np.count_nonzero(mask), rel=0.05)
    for axis in (0, 1):
        assert np.mean(np.nonzero(back)[axis]) == pytest.approx(
            np.mean(np.nonzero(mask)[axis]), abs=0.01 * shape[axis]
        )


@quick
@given(hnp.arrays(np.float32, shapes, elements=st.floats(0, 1, width=32)), shapes)
def test_resized_probabilities_are_from_0_to_1(probability, shape):
    before = probability.copy()
    resized = resize_probability(probability, shape)
    assert resized.shape == shape
    assert resized.dtype == np.float32
    assert resized.min() >= probability.min() - 1e-6
    assert resized.max() <= probability.max() + 1e-6
    assert 0 <= resized.min() <= resized.max() <= 1
    np.testing.assert_array_equal(probability, before)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.25])
def test_constant_maps_stay_constant(value):
    flat = np.full((7, 9), value, np.float32)
    np.testing.assert_allclose(resize_probability(flat, (33, 5)), value, atol=1e-6)


# --- Preparation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 0}, {"width": -1}, {"channels": 2}, {"channels": 0}, {"std": 0.0},
        {"std": -1.0}, {"std": float("nan")}, {"std": float("inf")}, {"mean": float("nan")},
    ],
)  # fmt: skip
def test_invalid_preparations_are_refused(wrong):
    with pytest.raises(ModelError, match="is not valid"):
        Preparation(**{"height": 8, "width": 8, **wrong})


def test_a_preparation_is_frozen_and_has_a_shape():
    preparation = Preparation(3, 4)
    assert preparation.shape == (3, 4)
    with pytest.raises(AttributeError):
        preparation.height = 5
