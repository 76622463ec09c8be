"""Augmentation: image and mask move together, and only as much as was asked."""

import pytest
import torch

from suraksha.datasets.augmentation import Augmentation, AugmentSpec
from suraksha.errors import ModelError

EVERYTHING = AugmentSpec(
    flip=0.5,
    rotate_degrees=15,
    translate=0.1,
    scale=0.2,
    shear_degrees=5,
    gamma=0.3,
    brightness=0.1,
    contrast=0.2,
    noise=0.02,
    speckle=0.3,
    gain=0.3,
    attenuation=0.5,
    shadow=0.5,
    marks=0.5,
    unmark=0.5,
    paste=0.5,
)


def vary(spec, images, masks):
    varied = Augmentation(spec)(images, masks)
    return varied.images, varied.masks


def batch(count=6):
    """A bright square on dark ground, and the mask of the square."""
    masks = torch.zeros(count, 1, 48, 64)
    masks[:, :, 10:26, 20:44] = 1
    return 0.1 + 0.7 * masks, masks


def test_empty_spec_changes_nothing():
    images, masks = batch()
    varied = Augmentation(AugmentSpec())(images, masks)
    assert torch.equal(varied.images, images)
    assert torch.equal(varied.masks, masks)
    assert varied.source.tolist() == list(range(6))


def test_shapes_ranges_and_input_are_kept():
    torch.manual_seed(0)
    images, masks = batch()
    before = images.clone()
    varied, moved = vary(EVERYTHING, images, masks)
    assert varied.shape == images.shape
    assert moved.shape == masks.shape
    assert 0 <= varied.min() <= varied.max() <= 1
    assert set(moved.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(images, before)
    assert not torch.equal(varied, images)


def test_image_and_mask_get_the_same_geometry():
    """Where the mask says lesion the image is bright, whatever the geometry did."""
    torch.manual_seed(1)
    spec = AugmentSpec(flip=0.5, rotate_degrees=20, translate=0.1, scale=0.3, shear_degrees=8)
    images, masks = batch(32)
    varied, moved = vary(spec, images, masks)
    bright = (varied > 0.45).float()
    overlap = 2 * (bright * moved).sum() / (bright.sum() + moved.sum())
    assert overlap > 0.98
    assert (moved != masks).any()


def test_grey_changes_leave_the_mask_alone():
    torch.manual_seed(2)
    spec = AugmentSpec(gamma=0.4, brightness=0.2, contrast=0.3, noise=0.05)
    images, masks = batch()
    varied, moved = vary(spec, images, masks)
    assert torch.equal(moved, masks)
    assert not torch.equal(varied, images)


def test_a_flip_is_left_right():
    images, masks = batch(1)
    images[..., 0, :] = 0.9
    varied, moved = vary(AugmentSpec(flip=1.0), images, masks)
    torch.testing.assert_close(varied, images.flip(3))
    assert torch.equal(moved, masks.flip(3))


def test_same_seed_gives_the_same_batch():
    images, masks = batch()
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(vary(EVERYTHING, images, masks)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    "fields",
    [
        {"paste": 1.5},
        {"gain": 1.0},
        {"speckle": -0.1},
        {"flip": 1.5},
        {"noise": -1.0},
        {"scale": 1.0},
        {"gamma": 1.0},
        {"translate": -0.1},
    ],
)
def test_invalid_specs_are_refused(fields):
    with pytest.raises(ModelError, match=r"\[augment\]"):
        AugmentSpec(**fields)
