"""Connected components: order, partition, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suraksha.errors import InputError, UsageError
from suraksha.measurement.components import as_mask, components

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


def flood(mask):
    """An oracle that shares no code: sets of 8-connected pixels by flood fill."""
    left = {(int(r), int(c)) for r, c in np.argwhere(mask)}
    regions = []
    while left:
        region, todo = set(), [left.pop()]
        while todo:
            r, c = todo.pop()
            region.add((r, c))
            near = {(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            todo.extend(near)
        regions.append(frozenset(region))
    return regions


def pixels_of(component):
    top, left = component.bbox[:2]
    return frozenset((int(r) + top, int(c) + left) for r, c in np.argwhere(component.pixels))


@given(MASKS)
@settings(deadline=None, max_examples=80)
def test_components_are_the_flood_filled_regions_and_partition_the_mask(mask):
    found = components(mask)
    assert {pixels_of(c) for c in found} == set(flood(mask))
    assert sum(c.area_px for c in found) == mask.sum()
    assert [c.area_px for c in found] == sorted((c.area_px for c in found), reverse=True)
    for c in found:
        assert c.pixels.any(axis=1)[[0, -1]].all()
        assert c.pixels.any(axis=0)[[0, -1]].all()
        assert c.area_px == c.pixels.sum()


@given(MASKS, st.integers(1, 6))
@settings(deadline=None, max_examples=40)
def test_min_area_drops_only_smaller_regions(mask, smallest):
    areas = [c.area_px for c in components(mask)]
    kept = [c.area_px for c in components(mask, min_area_px=smallest)]
    assert kept == [a for a in areas if a >= smallest]


def test_equal_regions_keep_reading_order():
    mask = np.zeros((5, 9), bool)
    mask[0, 6] = mask[2, 0] = mask[4, 4] = True
    assert [c.bbox[:2] for c in components(mask)] == [(0, 6), (2, 0), (4, 4)]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
@pytest.mark.parametrize("top", [1, 255])
def test_integer_masks_are_accepted(dtype, top):
    truth = np.eye(4, dtype=bool)
    assert np.array_equal(as_mask(truth.astype(dtype) * top), truth)
    assert not as_mask(np.zeros((2, 2), dtype)).any()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((2, 3, 3), bool), "one plane"),
        (np.zeros(4, bool), "one plane"),
        (np.zeros((0, 4), bool), "at least one pixel"),
        (np.zeros((2, 2), np.float32), "threshold"),
        (np.array([[0, 2]]), "mask == 2"),
        (np.array([[0, 1, 255]]), "mask == 2"),
        (np.array([[0, -1, 1]]), "mask == 2"),
    ],
)
def test_other_arrays_are_refused_with_a_fix(bad, said):
    with pytest.raises(InputError, match=said):
        components(bad)


def test_min_area_below_one_is_refused():
    with pytest.raises(UsageError, match="min_area_px = 0"):
        components(np.ones((2, 2), bool), min_area_px=0)
