"""Losses against numbers by hand and an independent implementation."""

import math
import warnings

import pytest
import torch

from suraksha.errors import TrainError
from suraksha.train.losses import LossSpec, loss, soft_dice_loss
from suraksha.train.module import count_pixels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.losses import DiceLoss


def test_dice_by_hand():
    logits = torch.zeros(1, 1, 1, 4)
    truth = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    assert float(soft_dice_loss(logits, truth)) == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))


def test_dice_against_monai():
    torch.manual_seed(0)
    logits, truth = torch.randn(5, 1, 9, 7), (torch.rand(5, 1, 9, 7) > 0.7).float()
    oracle = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
    torch.testing.assert_close(soft_dice_loss(logits, truth), oracle(logits, truth))


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
