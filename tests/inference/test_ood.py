"""The input check: images that are not ultrasound are refused."""

import numpy as np
import pytest
from scipy import ndimage

from suraksha import load_segmenter
from suraksha.datasets.phantom import sample_phantom, sample_phantoms
from suraksha.errors import InputError, UnsuitableError
from suraksha.inference.ood import fit_bounds, image_features, out_of_distribution_reason
from suraksha.types import Image

RNG = np.random.default_rng(0)
BLURRED = ndimage.gaussian_filter(RNG.normal(size=(300, 300)), 3)
NOT_ULTRASOUND = {
    "black": (np.zeros((300, 400), np.uint8), "black"),
    "nearly black": (RNG.integers(0, 4, (300, 400)).astype(np.uint8), "black"),
    "one grey": (np.full((300, 400), 128, np.uint8), "contrast"),
    "white paper": (
        np.where(RNG.random((300, 400)) < 0.1, 0, 255).astype(np.uint8),
        "white",
    ),
    "coloured": (
        np.kron(RNG.integers(0, 256, (6, 8, 3)), np.ones((50, 50, 1))).astype(np.uint8),
        "coloured",
    ),
    "noise": (RNG.integers(0, 200, (300, 400)).astype(np.uint8), ""),
    "checkers": (((np.indices((300, 400)) // 40).sum(0) % 2 * 200).astype(np.uint8), ""),
}


@pytest.fixture(scope="module")
def segment():
    return load_segmenter(threads=1)


@pytest.mark.parametrize("kind", NOT_ULTRASOUND)
def test_the_shipped_bundle_refuses_images_that_are_not_ultrasound(segment, kind):
    pixels, why = NOT_ULTRASOUND[kind]
    with pytest.raises(UnsuitableError) as refused:
        segment(Image(pixels, name="case"))
    assert "does not look like a breast ultrasound image" in str(refused.value)
    assert why in str(refused.value)
    assert isinstance(refused.value, InputError)


def test_without_the_check_it_is_segmented():
    pixels, _ = NOT_ULTRASOUND["one grey"]
    result = load_segmenter(threads=1, check=False)(Image(pixels))
    assert result.mask.shape == pixels.shape


@pytest.mark.parametrize("shape", [(400, 500), (200, 250)])
def test_phantoms_of_another_seed_pass(segment, shape):
    passed = [
        not out_of_distribution_reason(p.image, segment.card.confidence_calibration.feature_bounds)
        for p in sample_phantoms(12, 77, shape=shape)
    ]
    assert sum(passed) >= 11


@pytest.mark.busi
def test_no_image_of_busi_is_refused(segment, busi_root):
    from suraksha.io.images import read_image

    files = [f for f in sorted(busi_root.rglob("*.png")) if "_mask" not in f.name][::6]
    refused = [
        f.name
        for f in files
        if out_of_distribution_reason(
            read_image(f), segment.card.confidence_calibration.feature_bounds
        )
    ]
    assert len(files) == 130
    assert refused == []


def test_bounds_contain_the_fitted_features_with_a_margin_and_stay_in_range():
    found = [image_features(p.image) for p in sample_phantoms(6, 3)]
    bounds = fit_bounds(found, margin=0.5)
    for one in found:
        assert all(bounds[name][0] <= value <= bounds[name][1] for name, value in one.items())
    values = [one["contrast"] for one in found]
    extra = 0.5 * (max(values) - min(values))
    low = max(0, min(values) - extra)
    assert bounds["contrast"] == pytest.approx((low, max(values) + extra), abs=1e-6)
    wide = fit_bounds(found, margin=100.0)
    assert wide["brightest"] == (0.0, 1.0)
    assert wide["along_row"] == (-1.0, 1.0)
    assert wide["contrast"] == (0.0, 0.5)
    assert bounds["colour"][1] == 0.4


def test_a_region_of_colour_doppler_passes(segment):
    image = sample_phantom(5, 1).image
    colours = np.repeat(image.pixels[..., None], 3, axis=2)
    colours[100:200, 150:300, 0] = 255
    assert image_features(Image(colours))["colour"] > 0.05
    assert "coloured" not in out_of_distribution_reason(
        Image(colours), segment.card.confidence_calibration.feature_bounds
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3), (16, 16)])
def test_any_size_has_features(shape):
    found = image_features(Image(np.full(shape, 9, np.uint8)))
    assert all(np.isfinite(value) for value in found.values())
    assert out_of_distribution_reason(Image(np.full(shape, 9, np.uint8)), {}) == ""


def test_an_autocorrelation_is_at_most_1():
    """Its plain estimate is 1.007 on this image: the two means are over different pixels."""
    wave = 0.5 + 0.5 * np.sin(np.linspace(-np.pi, np.pi, 128))
    found = image_features(Image(np.tile(255 * wave, (128, 1)).astype(np.uint8)))
    assert found["along_row"] == 1
