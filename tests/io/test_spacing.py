"""Millimetres from a header, or the reason why there are none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from suraksha.io.spacing import read_spacing
from suraksha.types import Region, Spacing

SHAPE = (200, 250)


def item(**other):
    values = {
        "RegionSpatialFormat": 1, "RegionDataType": 1,
        "RegionLocationMinX0": 20, "RegionLocationMinY0": 10,
        "RegionLocationMaxX1": 219, "RegionLocationMaxY1": 189,
        "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.01, "PhysicalDeltaY": 0.02,
    }  # fmt: skip
    made = Dataset()
    for name, value in {**values, **other}.items():
        if value is not None:
            setattr(made, name, value)
    return made


def header(*items, **other):
    made = Dataset()
    if items:
        made.SequenceOfUltrasoundRegions = list(items)
    for name, value in other.items():
        setattr(made, name, value)
    return made


def test_bounds_are_inclusive_and_deltas_are_centimetres():
    found = read_spacing(header(item()), SHAPE)
    spacing = Spacing(0.2, 0.1, "dicom-region")
    assert found.regions == (Region((10, 20, 190, 220), spacing),)
    assert (found.spacing, found.unscaled) == (spacing, "")


def test_the_sign_of_a_delta_is_the_direction_of_an_axis():
    found = read_spacing(header(item(PhysicalDeltaY=-0.02)), SHAPE)
    assert found.spacing == Spacing(0.2, 0.1, "dicom-region")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"PhysicalUnitsXDirection": 4}, "not calibrated in centimetres"),
        ({"PhysicalUnitsYDirection": None}, "not calibrated in centimetres"),
        ({"PhysicalDeltaX": None}, "missing or not a number"),
        ({"PhysicalDeltaX": math.nan}, "missing or not a number"),
        ({"PhysicalDeltaX": math.inf}, "missing or not a number"),
        ({"PhysicalDeltaX": 0.0}, "not plausible"),
        ({"PhysicalDeltaX": 3.0}, "not plausible"),
        ({"PhysicalDeltaX": 0.002, "PhysicalDeltaY": 0.02}, "not plausible"),
    ],
)
def test_a_region_without_usable_millimetres_is_kept(other, why):
    found = read_spacing(header(item(**other)), SHAPE)
    assert found.spacing is None
    assert why in found.unscaled
    assert [(r.box, r.spacing, r.unscaled) for r in found.regions] == [
        ((10, 20, 190, 220), None, found.unscaled)
    ]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"RegionSpatialFormat": 2}, "two-dimensional"),  # M-mode
        ({"RegionDataType": 3}, "two-dimensional"),  # pulsed Doppler
        ({"RegionSpatialFormat": None}, "two-dimensional"),
        ({"RegionLocationMaxX1": 251}, "not inside"),
        ({"RegionLocationMaxY1": 5}, "not inside"),
        ({"RegionLocationMinY0": None}, "not inside"),
    ],
)
def test_other_regions_are_ignored(other, why):
    found = read_spacing(header(item(**other), PixelSpacing=[0.1, 0.1]), SHAPE)
    assert (found.regions, found.spacing) == ((), None)
    assert why in found.unscaled


def test_a_bound_equal_to_the_size_is_clipped():
    found = read_spacing(header(item(RegionLocationMaxX1=250, RegionLocationMaxY1=200)), SHAPE)
    assert found.regions[0].box == (10, 20, 200, 250)


def test_a_region_slightly_beyond_the_edge_is_clipped():
    shape = (600, 800)
    found = read_spacing(header(item(RegionLocationMaxX1=803, RegionLocationMaxY1=602)), shape)
    assert found.regions[0].box == (10, 20, 600, 800)
    assert read_spacing(header(item(RegionLocationMaxX1=805)), shape).regions == ()


def test_if_one_of_two_scans_is_outside_the_whole_image_is_used():
    left = item(RegionLocationMinX0=0, RegionLocationMaxX1=100)
    right = item(RegionLocationMinX0=101, RegionLocationMaxX1=300)
    found = read_spacing(header(left, right), SHAPE)
    assert (found.regions, found.spacing) == ((), None)
    assert "not inside" in found.unscaled


def test_two_scans_side_by_side_have_separate_spacings():
    left = item(RegionLocationMinX0=0, RegionLocationMaxX1=100)
    right = item(RegionLocationMinX0=101, RegionLocationMaxX1=249, PhysicalDeltaX=0.02)
    found = read_spacing(header(left, right), SHAPE)
    assert [r.box for r in found.regions] == [(10, 101, 190, 250), (10, 0, 190, 101)]
    assert [r.spacing.col_mm for r in found.regions] == [0.2, 0.1]
    assert found.spacing is None
    assert "different sizes" in found.unscaled


def test_a_box_of_colour_flow_inside_a_scan_is_not_a_scan():
    colour = item(
        RegionDataType=2, RegionLocationMinX0=60, RegionLocationMaxX1=120,
        RegionLocationMinY0=50, RegionLocationMaxY1=90,
    )  # fmt: skip
    found = read_spacing(header(colour, item()), SHAPE)
    assert [r.box for r in found.regions] == [(10, 20, 190, 220)]


def test_the_spacing_of_the_user_overrides_the_file_and_keeps_the_regions():
    mine = Spacing.square(0.5)
    found = read_spacing(header(item(PhysicalDeltaX=math.nan)), SHAPE, given=mine)
    assert found.regions == (Region((10, 20, 190, 220), mine),)
    assert (found.spacing, found.unscaled) == (mine, "")


@pytest.mark.parametrize("values", [[0.0, 0.1], [0.1, 30.0], [math.nan, 0.1], [0.1], "0.1"])
def test_an_unusable_pixel_spacing_is_ignored(values):
    made = Dataset()
    with disable_value_validation():
        texts = values if isinstance(values, str) else [str(value) for value in values]
        made.add_new("PixelSpacing", "DS", texts)
    found = read_spacing(made, SHAPE)
    assert found.spacing is None
    assert found.unscaled


def test_without_calibration_the_reason_is_given():
    assert read_spacing(header(), SHAPE).unscaled == "the file does not contain the pixel size"


def test_per_frame_groups_precede_shared_groups():
    frames = [header(item(PhysicalDeltaX=0.01 * n)) for n in (1, 2)]
    made = header(item(PhysicalDeltaX=0.05), PerFrameFunctionalGroupsSequence=frames)
    widths = [read_spacing(made, SHAPE, frame=n).spacing.col_mm for n in range(3)]
    assert widths == pytest.approx([0.1, 0.2, 0.5])


@given(
    st.tuples(*[st.integers(-300, 70_000)] * 4),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_the_result_is_plausible_for_any_region(bounds, delta_x, delta_y):
    names = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    values = {f"RegionLocation{n}": abs(b) for n, b in zip(names, bounds, strict=True)}
    found = read_spacing(
        header(item(**values, PhysicalDeltaX=delta_x, PhysicalDeltaY=delta_y)), SHAPE
    )
    for region in found.regions:
        top, left, bottom, right = region.box
        assert 0 <= top < bottom <= SHAPE[0]
        assert 0 <= left < right <= SHAPE[1]
    if found.spacing is None:
        assert found.unscaled
    else:
        assert 0.002 <= found.spacing.row_mm <= 2
        assert found.spacing.row_mm == 10 * abs(delta_y)
