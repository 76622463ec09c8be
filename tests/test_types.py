import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suraksha.errors import InputError
from suraksha.types import Image, Lesion, Result, Spacing


@dataclasses.dataclass(frozen=True)
class Card:
    name: str = "c1"
    model_sha256: str = "0" * 64


def lesion(contour):
    return Lesion(
        label=1,
        area_px=1,
        bbox=(0, 0, 1, 1),
        centroid=(0.5, 0.5),
        contour=contour,
        long_axis_px=1.0,
        short_axis_px=1.0,
        long_axis_ends=((0.0, 0.0), (0.0, 1.0)),
        short_axis_ends=((0.0, 0.0), (1.0, 0.0)),
        perimeter_px=4.0,
        depth_px=0.0,
        circularity=1.0,
        solidity=1.0,
        taller_than_wide=False,
    )


def result(mask_shape=(3, 4), probability_shape=(3, 4)):
    return Result(
        mask=np.zeros(mask_shape, bool),
        probability=np.zeros(probability_shape, np.float32),
        lesions=(),
        image=Image(np.zeros((3, 4), np.uint8)),
        card=Card(),
    )


VALUES = [
    Spacing(0.1, 0.2),
    Image(np.zeros((2, 2), np.uint8)),
    lesion(np.zeros((1, 2))),
    result(),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_frozen_and_slotted(value):
    assert not hasattr(value, "__dict__")
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


# --- Spacing --------------------------------------------------------------------------------------


@given(st.floats(1e-4, 10.0))
def test_spacing_of_square_pixels(mm):
    assert Spacing.square(mm) == Spacing(mm, mm, "user")
    assert Spacing.square(mm, "dicom-region").source == "dicom-region"


@pytest.mark.parametrize("wrong", [0.0, -0.1, 0.99e-4, 10.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["row_mm", "col_mm"])
def test_invalid_spacings_are_refused(wrong, name):
    with pytest.raises(InputError, match=name) as caught:
        Spacing(**{"row_mm": 0.1, "col_mm": 0.1, name: wrong})
    assert str(wrong) in caught.value.what
    assert "mm" in caught.value.why
    assert "0.08" in caught.value.fix


# --- Image ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (3, 5, 3)])
def test_images_of_all_types(kind, shape):
    pixels = np.ones(shape, kind)
    image = Image(pixels)
    assert image.shape == shape[:2]
    assert image.pixels.dtype == kind
    assert (image.spacing, image.name) == (None, "image")
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize(
    ("pixels", "fix"),
    [
        (np.zeros(4, np.uint8), "read_image"),
        (np.zeros((4, 4, 4), np.uint8), "[..., :3]"),
        (np.zeros((4, 4, 1), np.uint8), "[..., 0]"),
        (np.zeros((1, 4, 4, 3), np.uint8), "one image at a time"),
        (np.zeros((0, 4), np.uint8), "read_image"),
        (np.zeros((4, 0, 3), np.uint8), "read_image"),
        (np.zeros((4, 4), np.float32), "as_image"),
        (np.zeros((4, 4), np.int16), "uint8"),
        (np.zeros((4, 4), bool), "255"),
    ],
)
def test_arrays_that_are_not_images_are_refused_with_a_fix(pixels, fix):
    with pytest.raises(InputError) as caught:
        Image(pixels)
    assert str(pixels.shape) in caught.value.what
    assert str(pixels.dtype) in caught.value.what
    assert fix in caught.value.fix


def test_pixels_are_a_read_only_copy():
    pixels = np.zeros((3, 4), np.uint8)
    image = Image(pixels)
    pixels[0, 0] = 9
    assert image.pixels[0, 0] == 0
    assert pixels.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 1


def test_a_read_only_view_is_copied_because_its_base_can_change():
    base = np.zeros((3, 4), np.uint8)
    view = base[:]
    view.flags.writeable = False
    image = Image(view)
    base[0, 0] = 9
    assert image.pixels[0, 0] == 0


def test_read_only_pixels_are_shared():
    image = Image(np.zeros((3, 4), np.uint8))
    assert Image(image.pixels).pixels is image.pixels


# --- Lesion and Result ----------------------------------------------------------------------------


def test_millimetres_are_none_without_a_spacing():
    values = dataclasses.asdict(lesion(np.zeros((1, 2))))
    named = [name for name in values if name.endswith(("_mm", "_mm2"))]
    assert len(named) == 5
    assert all(values[name] is None for name in named)
    assert values["confidence"] is None


def test_the_contour_is_a_read_only_copy():
    contour = np.zeros((5, 2))
    made = lesion(contour)
    contour[0, 0] = 9
    assert made.contour[0, 0] == 0
    assert not made.contour.flags.writeable


def test_a_result_has_read_only_maps():
    made = result()
    assert not made.mask.flags.writeable
    assert not made.probability.flags.writeable
    assert made.latency_ms == {}


@pytest.mark.parametrize("name", ["mask", "probability"])
def test_maps_of_another_size_are_refused(name):
    with pytest.raises(InputError, match=name) as caught:
        result(**{f"{name}_shape": (4, 3)})
    assert "(4, 3)" in caught.value.what
    assert "(3, 4)" in caught.value.why
    assert caught.value.fix
