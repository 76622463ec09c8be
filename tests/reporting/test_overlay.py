import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from suraksha.errors import InputError, UsageError
from suraksha.reporting.overlay import AXES, CONTOUR, MIN_DISPLAY_PX, overlay
from suraksha.types import Image, Lesion, Region, Spacing


def disc(shape, centre, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def lesion_of(mask, label=1, mm=None, confidence=None):
    rows, columns = np.nonzero(mask)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    height, width = float(bottom - top), float(right - left)
    middle = ((top + bottom) / 2, (left + right) / 2)
    return Lesion(
        label=label,
        area_px=int(mask.sum()),
        bbox=(int(top), int(left), int(bottom), int(right)),
        centroid=middle,
        contour=np.array([[top, left], [bottom, right]], float),
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
        confidence=confidence,
    )


def flat(shape, grey=120, spacing=None):
    return Image(np.full(shape, grey, np.uint8), spacing)


def changed(image, drawn):
    return (drawn != image.pixels[..., None]).any(axis=2)


def test_an_empty_mask_adds_the_notice_alone():
    image = flat((600, 760))
    drawn = overlay(image, np.zeros((600, 760), bool))
    assert drawn.shape == (600, 760, 3)
    assert drawn.dtype == np.uint8
    rows, columns = np.nonzero(changed(image, drawn))
    assert rows.size
    assert rows.min() > 600 - 40
    assert columns.min() == 0
    assert columns.max() < 200


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_the_notice_is_readable_on_any_background(grey):
    shape = (600, 760)
    drawn = overlay(flat(shape, grey), np.zeros(shape, bool))
    corner = drawn[-20:, :100]
    assert corner.max() >= 200
    assert (corner == 0).any()
    other = overlay(flat(shape, 255 - grey), np.zeros(shape, bool))[-20:, :100]
    assert (corner == other).all(axis=2).mean() > 0.9


def test_outside_mask_axes_and_labels_nothing_changes():
    shape = (640, 760)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image, mask = Image(pixels), disc(shape, (240, 300), 80)
    assert not (changed(image, overlay(image, mask)) & ~mask)[:-40].any()
    drawn = overlay(image, mask, lesions=[lesion_of(mask)])
    far = changed(image, drawn) & ~ndimage.binary_dilation(mask, iterations=40)
    regions, count = ndimage.label(far)
    # The notice, the label and the number, without holes except pixels that were black before.
    plates = [box for box in ndimage.find_objects(regions) if regions[box].size > 100]
    assert count >= 3
    assert len(plates) == 3


def test_sixteen_bit_and_rgb_images_are_shown_as_eight_bit():
    shape = (620, 630)
    mask = np.zeros(shape, bool)
    deep = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    np.testing.assert_array_equal(overlay(Image(deep), mask)[:560, :, 1], deep[:560] >> 8)
    colour = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(overlay(Image(colour), mask)[:560], colour[:560])


@pytest.mark.parametrize(("side", "factor"), [(60, 9), (128, 4), (511, 2), (512, 1), (700, 1)])
def test_small_images_are_enlarged_by_a_whole_factor(side, factor):
    image, mask = flat((side // 2, side)), np.zeros((side // 2, side), bool)
    drawn = overlay(image, mask)
    assert drawn.shape == (side // 2 * factor, side * factor, 3)
    assert drawn.shape[1] >= MIN_DISPLAY_PX
    assert overlay(image, mask, enlarge=False).shape == (side // 2, side, 3)


@pytest.mark.parametrize(("side", "width"), [(400, 1), (600, 2), (1500, 5)])
def test_the_contour_is_inside_the_mask_and_scales_with_the_image(side, width):
    shape = (side, side)
    mask = np.zeros(shape, bool)
    mask[100:200, 100:200] = True
    drawn = overlay(flat(shape), mask, enlarge=False)
    line = (drawn == CONTOUR).all(axis=2)
    expected = mask.copy()
    expected[100 + width : 200 - width, 100 + width : 200 - width] = False
    np.testing.assert_array_equal(line, expected)


def test_the_contour_of_an_enlarged_image_encloses_the_same_area():
    mask = disc((128, 128), (60, 60), 20)
    drawn = overlay(flat((128, 128)), mask)
    line = (drawn == CONTOUR).all(axis=2)
    filled = ndimage.binary_fill_holes(line)
    assert filled.sum() == pytest.approx(16 * mask.sum(), rel=0.02)


def test_the_contour_closes_at_the_edge_of_the_image():
    mask = np.zeros((600, 600), bool)
    mask[:130, 120:160] = True
    line = (overlay(flat((600, 600)), mask) == CONTOUR).all(axis=2)
    assert line[0, 120:160].all()


def test_the_fill_is_optional_and_mixed_by_opacity():
    shape = (600, 600)
    mask = disc(shape, (240, 250), 120)
    np.testing.assert_array_equal(overlay(flat(shape), mask)[240, 250], [120, 120, 120])
    for opacity in (0.0, 0.3, 1.0):
        drawn = overlay(flat(shape), mask, opacity=opacity)
        expected = np.rint(120 * (1 - opacity) + np.array(CONTOUR) * opacity)
        np.testing.assert_array_equal(drawn[240, 250], expected)


def test_axes_join_their_ends():
    shape = (600, 600)
    mask = disc(shape, (300, 300), 120)
    drawn = overlay(flat(shape), mask, lesions=[lesion_of(mask)])
    line = (drawn == AXES).all(axis=2)
    assert line[300, 180:421].all()
    assert line[180:421, 300].all()
    assert not line[200, 200]


def test_labels_depend_on_unit_number_and_confidence():
    shape = (600, 600)
    mask = disc(shape, (200, 300), 60)
    variants = [
        lesion_of(mask),
        lesion_of(mask, mm=0.1),
        lesion_of(mask, label=2),
        lesion_of(mask, confidence=0.5),
        lesion_of(mask, confidence=0.9),
    ]
    drawn = [overlay(flat(shape), mask, lesions=[lesion]).tobytes() for lesion in variants]
    assert len(set(drawn)) == len(variants)


@pytest.mark.parametrize("mm", [0.02, 0.1, 1.0])
def test_the_scale_bar_has_its_length(mm):
    shape = (600, 800)
    drawn = overlay(flat(shape, spacing=Spacing(0.5, mm)), np.zeros(shape, bool))
    corner = (drawn[400:, 400:] == 255).all(axis=2)
    bar = int(corner.sum(axis=1).max())
    lengths = [length / mm for length in (50, 20, 10, 5, 2, 1, 0.5) if length / mm <= 200]
    assert bar == round(lengths[0])


def test_there_is_no_scale_bar_without_a_spacing_and_one_for_each_scan():
    shape, mask = (600, 800), np.zeros((600, 800), bool)
    plain, scaled = flat(shape), flat(shape, spacing=Spacing.square(0.1))
    assert not changed(plain, overlay(plain, mask))[:, 400:].any()
    assert changed(scaled, overlay(scaled, mask))[:, 400:].any()
    halves = Image(
        plain.pixels,
        regions=(
            Region((0, 0, 300, 800), Spacing.square(0.1)),
            Region((300, 0, 600, 800), Spacing.square(0.05)),
        ),
    )
    drawn = changed(halves, overlay(halves, mask))
    assert drawn[200:300, 400:].any()
    assert drawn[500:, 400:].any()


def test_a_caption_is_written_and_cut():
    shape = (600, 800)
    image, mask = flat(shape), np.zeros(shape, bool)
    top = changed(image, overlay(image, mask, caption="case\n 7"))[:40]
    assert top[:, :20].any()
    assert not changed(image, overlay(image, mask, caption="  "))[:40].any()
    long = overlay(image, mask, caption="word " * 100)
    np.testing.assert_array_equal(long, overlay(image, mask, caption="word " * 200))


def test_the_notice_avoids_a_lesion():
    shape = (600, 800)
    mask = np.zeros(shape, bool)
    mask[400:, :400] = True
    image = flat(shape)
    assert changed(image, overlay(image, mask))[-20:, 500:].any()


@pytest.mark.parametrize("side", [56, 80, 120])
def test_small_images_have_the_notice(side):
    image = flat((side, side))
    empty = np.zeros((side, side), bool)
    assert changed(image, overlay(image, empty, enlarge=False)).any()
    assert (overlay(image, empty) != 120).any()


def test_what_does_not_fit_is_left_out():
    for shape in ((1, 1), (5, 300), (300, 5), (30, 30)):
        image = flat(shape)
        drawn = overlay(image, np.zeros(shape, bool), caption="a caption", enlarge=False)
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
    enlarge=st.booleans(),
)
def test_any_image_can_be_drawn(height, width, boxes, caption, enlarge):
    shape, mask, lesions = (height, width), np.zeros((height, width), bool), []
    for top, left, bottom, right in boxes:
        part = np.zeros(shape, bool)
        r, c = int(top * (height - 1)), int(left * (width - 1))
        part[r : r + 1 + int(bottom * height), c : c + 1 + int(right * width)] = True
        mask |= part
        lesions.append(lesion_of(part, label=len(lesions) + 1, mm=0.1))
    before = mask.copy()
    image = flat(shape, spacing=Spacing.square(0.1))
    drawn = overlay(image, mask, lesions=lesions, caption=caption, enlarge=enlarge)
    factor = max(1, -(-MIN_DISPLAY_PX // max(shape))) if enlarge else 1
    assert drawn.shape == (height * factor, width * factor, 3)
    np.testing.assert_array_equal(mask, before)
