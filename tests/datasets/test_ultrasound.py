"""Each part of a scanner's augmentation does what it says and no more."""

import pytest
import torch

from suraksha.datasets import ultrasound


def flat(value=0.5, count=8, size=64):
    return torch.full((count, 1, size, size), value)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("part", "amount"),
    [
        (ultrasound.speckle, 0.3),
        (ultrasound.gain, 0.3),
        (ultrasound.attenuation, 0.5),
        (ultrasound.shadow, 1.0),
        (ultrasound.draw_calipers, 1.0),
    ],
)
def test_output_changes_and_shape_and_input_do_not(part, amount):
    images = flat()
    varied = part(images, amount)
    assert varied.shape == images.shape
    assert torch.isfinite(varied).all()
    assert not torch.equal(varied, images)
    assert torch.equal(images, flat())


def test_speckle_multiplies_black_stays_black_and_the_mean_stays():
    assert not ultrasound.speckle(flat(0.0), 0.3).any()
    varied = ultrasound.speckle(flat(0.5, count=64), 0.3)
    assert float(varied.mean()) == pytest.approx(0.5, abs=0.01)
    assert 0 < float(varied.std()) < 0.3


def test_gain_and_attenuation_depend_on_depth_alone():
    for part in (ultrasound.gain, ultrasound.attenuation):
        varied = part(flat(count=32), 0.4)
        assert torch.equal(varied, varied[..., :1].expand_as(varied))
        changed = (varied != 0.5).flatten(1).any(1)
        assert 0 < changed.sum() < 32, "each image with a chance"
    torch.manual_seed(0)
    gained = ultrasound.gain(flat(count=64), 0.4) / 0.5
    assert gained.min() > 0.5
    assert gained.max() < 1.5


def test_attenuation_is_exponential_in_depth():
    varied = ultrasound.attenuation(flat(count=32), 1.0)[:, 0, :, 0] / 0.5
    logs = varied.log()
    torch.testing.assert_close(logs, logs[:, -1:] * torch.linspace(0, 1, 64), atol=1e-5, rtol=1e-4)


def test_a_shadow_darkens_only_and_lies_below_its_start():
    varied = ultrasound.shadow(flat(), 1.0)
    assert (varied <= 0.5).all()
    assert (varied >= 0.5 * (1 - ultrasound.SHADOW_DARKNESS[1]) - 1e-6).all()
    deepest = varied[:, 0, -1].amin(1)
    assert (deepest < 0.45).float().mean() > 0.8, "it reaches the bottom"
    assert torch.equal(ultrasound.shadow(flat(), 0.0), flat())


def test_marks_brighten_few_pixels_and_can_be_removed():
    images = flat(0.2, size=128)
    marked = ultrasound.draw_calipers(images, 1.0)
    assert (marked >= images).all()
    fraction = (marked != images).flatten(1).float().mean(1)
    assert (fraction > 0).all()
    assert (fraction < 0.05).all()
    cleaned = ultrasound.remove_calipers(marked, 1.0)
    left = (cleaned - images).abs().sum() / (marked - images).abs().sum()
    assert left < 0.5
    assert torch.equal(ultrasound.draw_calipers(images, 0.0), images)


def test_removing_marks_keeps_wide_bright_regions():
    images = flat(0.1)
    images[..., 20:40, 20:40] = 0.9
    assert torch.equal(ultrasound.remove_calipers(images, 1.0), images)


def test_only_images_without_a_lesion_get_one():
    images, masks = torch.rand(8, 1, 64, 64), torch.zeros(8, 1, 64, 64)
    masks[:4, :, 20:30, 24:40] = 1
    images[:4][masks[:4] > 0] = 0.0
    varied, moved, source = ultrasound.copy_paste_lesions(images, masks, chance=1.0)
    assert source[:4].tolist() == [0, 1, 2, 3]
    assert set(source[4:].tolist()) <= {0, 1, 2, 3}
    assert torch.equal(varied[:4], images[:4])
    for number in range(4, 8):
        assert torch.equal(moved[number], masks[source[number]])
        inside = moved[number] > 0
        assert varied[number][inside].max() < 0.01, "the lesion is the other image's"
        assert torch.equal(varied[number, :, :8], images[number, :, :8]), "far from it nothing is"
    assert not masks[4:].any()


def test_without_any_lesion_nothing_is_pasted():
    images, masks = torch.rand(3, 1, 32, 32), torch.zeros(3, 1, 32, 32)
    varied, moved, source = ultrasound.copy_paste_lesions(images, masks, chance=1.0)
    assert torch.equal(varied, images)
    assert not moved.any()
    assert source.tolist() == [0, 1, 2]


def test_zoom_moves_image_and_mask_alike_and_stays_in_range():
    torch.manual_seed(3)
    masks = torch.zeros(8, 1, 64, 64)
    masks[:, :, 20:44, 20:44] = 1
    images, moved = ultrasound.zoom(masks.clone(), masks, amount=0.5, aspect=0.25)
    torch.testing.assert_close(images, moved)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert len({round(float(area), 2) for area in moved.sum((1, 2, 3))}) > 1


def test_zoom_of_nothing_is_the_identity():
    images = torch.rand(2, 1, 32, 32)
    same, _ = ultrasound.zoom(images, images, amount=0.0, aspect=0.0)
    torch.testing.assert_close(same, images, atol=1e-5, rtol=1e-5)


def test_local_gain_multiplies_by_a_smooth_positive_field():
    torch.manual_seed(4)
    images = torch.full((4, 1, 64, 64), 0.5)
    field = ultrasound.local_gain(images, 0.12, chance=1.0) / images
    assert float(field.min()) > 0
    assert float((field[..., 1:] - field[..., :-1]).abs().max()) < 0.05
    assert float(field.std()) > 0.02
    torch.testing.assert_close(ultrasound.local_gain(images, 0.12, chance=0.0), images)


def test_blur_is_the_mean_of_nine_pixels():
    images = torch.zeros(1, 1, 9, 9)
    images[0, 0, 4, 4] = 0.9
    smooth = ultrasound.blur(images, 1.0)
    torch.testing.assert_close(smooth[0, 0, 3:6, 3:6], torch.full((3, 3), 0.1))
    assert float(smooth.sum()) == pytest.approx(0.9)
