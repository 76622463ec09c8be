"""The parts of a table, and the bands of lesion size by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suraksha.metrics.overlap import Counts
from suraksha.metrics.subsets import CONSISTENT, LESION, SIZE_BANDS, in_order, parts_of


def truth(lesion, pixels):
    """Half of the lesion found, and some of the background marked."""
    return Counts(lesion // 2, (pixels - lesion) // 3, lesion - lesion // 2, 0) + Counts(
        tn=pixels - lesion - (pixels - lesion) // 3
    )


@pytest.mark.parametrize(
    ("lesion", "pixels", "part"),
    [
        (1, 1000, "lesion under 2 %"),
        (19, 1000, "lesion under 2 %"),
        (20, 1000, "lesion 2 to 5 %"),
        (49, 1000, "lesion 2 to 5 %"),
        (50, 1000, "lesion 5 to 15 %"),
        (149, 1000, "lesion 5 to 15 %"),
        (150, 1000, "lesion 15 % or more"),
        (1000, 1000, "lesion 15 % or more"),
        (7, 140, "lesion 5 to 15 %"),  # 7 / 140 is 0.05, which floats may miss
    ],
)
def test_bands_by_hand(lesion, pixels, part):
    assert truth(lesion, pixels).pixels == pixels
    found = parts_of(truth(lesion, pixels), label="benign", normal=False, consistent=True)
    assert found == (LESION, CONSISTENT, part, "benign")


@given(pixels=st.integers(1, 10**7), data=st.data())
def test_every_lesion_is_in_one_band_and_normals_in_none(pixels, data):
    lesion = data.draw(st.integers(1, pixels))
    assert sum(band.holds(truth(lesion, pixels)) for band in SIZE_BANDS) == 1
    assert not any(band.holds(truth(0, pixels)) for band in SIZE_BANDS)


def test_the_bands_leave_no_gap():
    edges = [(band.low, band.high) for band in SIZE_BANDS]
    assert (edges[0][0], edges[-1][1]) == (0, 100)
    assert all(a[1] == b[0] for a, b in pairwise(edges))


def test_subsets_of_normal_and_contradicted_images():
    none = truth(0, 100)
    assert parts_of(none, label="normal", normal=True, consistent=True) == ("normal",)
    some = parts_of(truth(1, 100), label="malignant", normal=False, consistent=False)
    assert some == (LESION, "lesion under 2 %", "malignant")
    empty = parts_of(none, label="benign", normal=False, consistent=True)
    assert empty == (LESION, CONSISTENT, "benign"), "a lesion image whose mask is empty"
    assert parts_of(none, label="lesion", normal=False, consistent=False) == (LESION,)


def test_subsets_are_in_the_order_of_the_tables():
    parts = ["normal", "lesion 5 to 15 %", "benign", "lesion", "lesion under 2 %", "consistent"]
    assert in_order(parts) == [
        "lesion",
        "consistent",
        "lesion under 2 %",
        "lesion 5 to 15 %",
        "benign",
        "normal",
    ]
