import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from suraksha.errors import InputError, UsageError
from suraksha.reporting.overlay import AXES, CONTOUR, overlay
from suraksha.types import Image, Lesion


def disc(shape, centre, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def lesion_of(mask, label=1, mm=None):
    rows, columns = np.nonzero(mask)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    height, width = float(bottom - top), float(right - left)
    middle = ((top + bottom) / 2, (left + right) / 2)
    return Lesion(
        label=label,
        area_px=int(mask.sum()),
        bbox=(int(top), int(left), int(bottom), int(right)),
        centroid=middle,
        contour=np.zeros((1, 2)),
        long_axis_px=width,
        short_axis_px=height,
        long_axis_ends=((middle[0], left), (middle[0], right)),
        short_axis_ends=((top, middle[1]), (bottom, middle[1])),
        perimeter_px=1.0,
        depth_px=1.0,
        circularity=1.0,
        solidity=1.0,
        taller_than_wide=False,
        long_axis_mm=None if mm is None else width * mm,
        short_axis_mm=None if mm is None else height * mm,
    )


def flat(shape, grey=120):
    return Image(np.full(shape, grey, np.uint8))


def changed(image, drawn):
    return (drawn != image.pixels[..., None]).any(axis=2)


def test_an_empty_mask_adds_the_notice_alone():
    image = flat((300, 380))
    drawn = overlay(image, np.zeros((300, 380), bool))
    assert drawn.shape == (300, 380, 3)
    assert drawn.dtype == np.uint8
    rows, columns = np.nonzero(changed(image, drawn))
    assert rows.size
    assert rows.min() > 300 - 40
    assert columns.min() == 0
    assert columns.max() < 200


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_the_notice_is_readable_on_any_background(grey):
    shape = (300, 380)
    drawn = overlay(flat(shape, grey), np.zeros(shape, bool))
    corner = drawn[-14:, :60]
    assert corner.max() >= 200
    assert (corner == 0).any()
    other = overlay(flat(shape, 255 - grey), np.zeros(shape, bool))[-14:, :60]
    assert (corner == other).all(axis=2).mean() > 0.9


def test_outside_mask_axes_and_labels_nothing_changes():
    shape = (320, 380)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image, mask = Image(pixels), disc(shape, (120, 150), 40)
    assert not (changed(image, overlay(image, mask)) & ~mask)[:-30].any()
    drawn = overlay(image, mask, lesions=[lesion_of(mask)])
    regions, count = ndimage.label(
        changed(image, drawn) & ~ndimage.binary_dilation(mask, iterations=4)
    )
    # The notice and one size label, plates without holes but for pixels that were black before.
    plates = [box for box in ndimage.find_objects(regions) if regions[box].size > 100]
    assert count >= 2
    assert len(plates) == 2


def test_sixteen_bit_and_rgb_images_show_through():
    shape = (120, 130)
    mask = np.zeros(shape, bool)
    deep = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    np.testing.assert_array_equal(overlay(Image(deep), mask)[:60, :, 1], deep[:60] >> 8)
    colour = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(overlay(Image(colour), mask)[:60], colour[:60])


@pytest.mark.parametrize(("side", "width"), [(399, 1), (400, 2)])
def test_the_outline_lies_inside_and_has_its_width(side, width):
    shape = (side, side)
    mask = np.zeros(shape, bool)
    mask[100:200, 100:200] = True
    drawn = overlay(flat(shape), mask, opacity=0.0)
    line = (drawn == CONTOUR).all(axis=2)
    expected = mask.copy()
    expected[100 + width : 200 - width, 100 + width : 200 - width] = False
    np.testing.assert_array_equal(line, expected)


def test_the_outline_closes_at_the_edge_of_the_image():
    mask = np.zeros((100, 100), bool)
    mask[:30, 20:60] = True
    line = (overlay(flat((100, 100)), mask) == CONTOUR).all(axis=2)
    assert line[0, 20:60].all()


def test_opacity_mixes_the_tint():
    shape = (100, 100)
    mask = disc(shape, (40, 50), 20)
    for opacity in (0.0, 0.3, 1.0):
        drawn = overlay(flat(shape), mask, opacity=opacity)
        expected = np.rint(120 * (1 - opacity) + np.array(CONTOUR) * opacity)
        np.testing.assert_array_equal(drawn[40, 50], expected)


def test_axes_join_their_ends():
    shape = (300, 300)
    mask = disc(shape, (150, 150), 60)
    drawn = overlay(flat(shape), mask, lesions=[lesion_of(mask)])
    line = (drawn == AXES).all(axis=2)
    assert line[150, 90:211].all()
    assert line[90:211, 150].all()
    assert not line[100, 100]


def test_units_follow_the_spacing_and_labels_are_shown_for_several():
    shape = (400, 400)
    one, two = disc(shape, (100, 200), 30), disc(shape, (250, 200), 20)
    images = [
        overlay(flat(shape), one, lesions=[lesion_of(one)]),
        overlay(flat(shape), one, lesions=[lesion_of(one, mm=0.1)]),
        overlay(flat(shape), one, lesions=[lesion_of(one, label=2)]),
    ]
    assert (images[0] != images[1]).any()
    np.testing.assert_array_equal(images[0], images[2])
    several = overlay(flat(shape), one | two, lesions=[lesion_of(one), lesion_of(two, label=2)])
    assert (several[:180] != images[0][:180]).any()


def test_a_caption_is_written_and_cut():
    shape = (300, 400)
    image, mask = flat(shape), np.zeros(shape, bool)
    top = changed(image, overlay(image, mask, caption="case\n 7"))[:40]
    assert top[:, :20].any()
    assert not changed(image, overlay(image, mask, caption="  "))[:40].any()
    long = overlay(image, mask, caption="word " * 100)
    np.testing.assert_array_equal(long, overlay(image, mask, caption="word " * 200))


def test_the_notice_moves_away_from_a_lesion():
    shape = (300, 400)
    mask = np.zeros(shape, bool)
    mask[200:, :200] = True
    image = flat(shape)
    drawn = overlay(image, mask, opacity=0.0)
    assert changed(image, drawn)[-20:, 250:].any()


@pytest.mark.parametrize("side", [56, 80, 120])
def test_small_images_have_the_notice(side):
    image = flat((side, side))
    assert changed(image, overlay(image, np.zeros((side, side), bool))).any()


def test_what_does_not_fit_is_left_out():
    for shape in ((1, 1), (5, 300), (300, 5), (30, 30)):
        image = flat(shape)
        drawn = overlay(image, np.zeros(shape, bool), caption="a caption")
        np.testing.assert_array_equal(drawn, np.full((*shape, 3), 120))


def test_wrong_use_is_refused():
    with pytest.raises(InputError, match="shape"):
        overlay(flat((10, 12)), np.zeros((12, 10), bool))
    for opacity in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="opacity"):
            overlay(flat((10, 10)), np.zeros((10, 10), bool), opacity=opacity)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 260),
    width=st.integers(1, 260),
    boxes=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=4),
    caption=st.none() | st.text(max_size=80),
)
def test_any_image_can_be_drawn(height, width, boxes, caption):
    shape, mask, lesions = (height, width), np.zeros((height, width), bool), []
    for top, left, bottom, right in boxes:
        part = np.zeros(shape, bool)
        r, c = int(top * (height - 1)), int(left * (width - 1))
        part[r : r + 1 + int(bottom * height), c : c + 1 + int(right * width)] = True
        mask |= part
        lesions.append(lesion_of(part, label=len(lesions) + 1, mm=0.1))
    before = mask.copy()
    drawn = overlay(flat(shape), mask, lesions=lesions, caption=caption)
    assert drawn.shape == (*shape, 3)
    np.testing.assert_array_equal(mask, before)
