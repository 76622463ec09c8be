"""Losses against numbers by hand and an independent implementation."""

import math
import warnings

import pytest
import torch

from suraksha.errors import TrainError
from suraksha.runs.config import MASK_LOSSES, LossSpec
from suraksha.training.losses import (
    PARTS,
    boundary_loss,
    focal_loss,
    loss,
    lovasz_loss,
    soft_dice_loss,
    tversky_loss,
)
from suraksha.training.module import count_pixels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.losses import DiceLoss, FocalLoss, TverskyLoss


def test_dice_by_hand():
    logits = torch.zeros(1, 1, 1, 4)
    truth = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    assert float(soft_dice_loss(logits, truth)) == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))


def test_dice_against_monai():
    torch.manual_seed(0)
    logits, truth = torch.randn(5, 1, 9, 7), (torch.rand(5, 1, 9, 7) > 0.7).float()
    oracle = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
    torch.testing.assert_close(soft_dice_loss(logits, truth).mean(), oracle(logits, truth))


def test_the_parts_are_weighed():
    logits, truth = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    bce, dice = math.log(2), 1 - 1 / 9
    assert float(loss(logits, truth, spec=LossSpec(1.0, 0.0))) == pytest.approx(bce)
    assert float(loss(logits, truth, spec=LossSpec(0.0, 1.0))) == pytest.approx(dice)
    assert float(loss(logits, truth, spec=LossSpec(2.0, 3.0))) == pytest.approx(2 * bce + 3 * dice)


def test_a_right_answer_costs_nothing_and_an_empty_one_is_smooth():
    truth = torch.zeros(2, 1, 8, 8)
    truth[0, 0, 2:5, 2:5] = 1
    right = (truth * 2 - 1) * 50
    assert float(loss(right, truth, spec=LossSpec(1.0, 1.0))) == pytest.approx(0, abs=1e-6)
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    loss(logits, torch.zeros(1, 1, 8, 8), spec=LossSpec(1.0, 1.0)).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad > 0).all()


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0)])
def test_weights_that_make_no_loss_are_refused(weights):
    with pytest.raises(TrainError):
        LossSpec(*weights)


def test_pixel_counts_by_hand():
    logits = torch.tensor([3.0, -3.0, 3.0, -3.0, -3.0])
    truth = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    assert count_pixels(logits, truth).tolist() == [1, 1, 1, 2]


def test_tversky_by_hand():
    truth = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    logits = torch.zeros(1, 1, 1, 4)
    # overlap 1, found 2, there 2: false 1, missed 1
    expected = 1 - (2 * 1 + 1) / (2 * (1 + 0.3 * 1 + 0.7 * 1) + 1)
    assert float(tversky_loss(logits, truth)) == pytest.approx(expected)


def test_tversky_against_monai():
    torch.manual_seed(0)
    logits, truth = torch.randn(4, 1, 9, 7), (torch.rand(4, 1, 9, 7) > 0.7).float()
    oracle = TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7, smooth_nr=0.5, smooth_dr=0.5)
    torch.testing.assert_close(tversky_loss(logits, truth).mean(), oracle(logits, truth))


def test_focal_against_monai():
    torch.manual_seed(0)
    logits, truth = torch.randn(4, 1, 9, 7), (torch.rand(4, 1, 9, 7) > 0.7).float()
    oracle = FocalLoss(gamma=2.0)
    torch.testing.assert_close(focal_loss(logits, truth).mean(), oracle(logits, truth))


def test_lovasz_of_hard_answers_is_the_jaccard_loss():
    """With margins of 1 on the wrong side the hinge is 2 times the Jaccard loss."""
    truth = torch.zeros(2, 1, 4, 4)
    truth[:, :, :2] = 1
    found = truth.clone()
    found[0, 0, 1] = 0
    found[1, 0, 2] = 1
    logits = 2 * found - 1
    jaccard = torch.tensor([1 - 4 / 8, 1 - 8 / 12])
    torch.testing.assert_close(lovasz_loss(logits, truth), 2 * jaccard)


def test_boundary_by_hand():
    truth = torch.zeros(2, 1, 1, 6)
    truth[0, 0, 0, 2:4] = 1
    logits = torch.zeros(2, 1, 1, 6)
    distance = [1.5, 0.5, -0.5, -0.5, 0.5, 1.5]
    expected = torch.tensor([0.5 * sum(distance) / 6, 0.0])
    torch.testing.assert_close(boundary_loss(logits, truth), expected)


def test_images_without_a_lesion_can_count_less():
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    truth[0, 0, 2:5, 2:5] = 1
    one, two = (loss(logits[n : n + 1], truth[n : n + 1], spec=LossSpec(1.0, 1.0)) for n in (0, 1))
    weighed = loss(logits, truth, spec=LossSpec(1.0, 1.0, normal=0.25))
    torch.testing.assert_close(weighed, (one + 0.25 * two) / 2)


@pytest.mark.parametrize("name", PARTS)
def test_every_part_gives_one_number_a_image_and_falls_towards_the_truth(name):
    torch.manual_seed(0)
    truth = torch.zeros(3, 1, 8, 8)
    truth[:2, :, 2:6, 2:6] = 1
    logits = torch.randn(3, 1, 8, 8, requires_grad=True)
    values = PARTS[name](logits, truth)
    assert values.shape == (3,)
    values.sum().backward()
    assert torch.isfinite(logits.grad).all()
    right = (2 * truth - 1) * 5
    assert (PARTS[name](right, truth)[:2] < values[:2]).all()


def test_the_recipe_knows_every_loss_of_the_mask():
    assert tuple(PARTS) == MASK_LOSSES
