"""Augmentation: picture and mask move together, and only as much as was asked."""

import pytest
import torch

from suraksha.data.augment import AugmentSpec, augment, build_augmentation
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
)


def batch(count=6):
    """A bright square on dark ground, and the mask of the square."""
    masks = torch.zeros(count, 1, 48, 64)
    masks[:, :, 10:26, 20:44] = 1
    return 0.1 + 0.7 * masks, masks


def test_nothing_switched_on_is_no_augmentation():
    assert build_augmentation(AugmentSpec()) is None


def test_shapes_ranges_and_input_are_kept():
    torch.manual_seed(0)
    pictures, masks = batch()
    before = pictures.clone()
    varied, moved = augment(build_augmentation(EVERYTHING), pictures, masks=masks)
    assert varied.shape == pictures.shape
    assert moved.shape == masks.shape
    assert 0 <= varied.min() <= varied.max() <= 1
    assert set(moved.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(pictures, before)
    assert not torch.equal(varied, pictures)


def test_picture_and_mask_move_together():
    """Where the mask says lesion the picture is bright, whatever the geometry did."""
    torch.manual_seed(1)
    spec = AugmentSpec(flip=0.5, rotate_degrees=20, translate=0.1, scale=0.3, shear_degrees=8)
    pictures, masks = batch(32)
    varied, moved = augment(build_augmentation(spec), pictures, masks=masks)
    bright = (varied > 0.45).float()
    overlap = 2 * (bright * moved).sum() / (bright.sum() + moved.sum())
    assert overlap > 0.98
    assert (moved != masks).any()


def test_grey_changes_leave_the_mask_alone():
    torch.manual_seed(2)
    spec = AugmentSpec(gamma=0.4, brightness=0.2, contrast=0.3, noise=0.05)
    pictures, masks = batch()
    varied, moved = augment(build_augmentation(spec), pictures, masks=masks)
    assert torch.equal(moved, masks)
    assert not torch.equal(varied, pictures)


def test_a_flip_is_left_right():
    pictures, masks = batch(1)
    pictures[..., 0, :] = 0.9
    varied, moved = augment(build_augmentation(AugmentSpec(flip=1.0)), pictures, masks=masks)
    torch.testing.assert_close(varied, pictures.flip(3))
    assert torch.equal(moved, masks.flip(3))


def test_the_seed_decides():
    pictures, masks = batch()
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(augment(build_augmentation(EVERYTHING), pictures, masks=masks)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    "fields", [{"flip": 1.5}, {"noise": -1.0}, {"scale": 1.0}, {"gamma": 1.0}, {"translate": -0.1}]
)
def test_specs_that_make_no_sense_are_refused(fields):
    with pytest.raises(ModelError, match=r"\[augment\]"):
        AugmentSpec(**fields)
