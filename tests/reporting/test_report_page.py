"""The HTML report of ``segment``."""

import re

import pytest

from suraksha.reporting.report_page import report_page, size_text

LESION = {
    "label": 1,
    "long_axis_px": 137.0,
    "short_axis_px": 114.0,
    "long_axis_mm": 13.7,
    "short_axis_mm": 11.4,
    "confidence": 0.987,
    "taller_than_wide": True,
}


def record(name, *, lesions=(), **more):
    return {
        "image": name,
        "shape": [300, 400],
        "lesions": list(lesions),
        "overlay": f"{name}_overlay.png",
        "bundle": "b",
        "model_sha256": "0" * 64,
        **more,
    }


def test_totals_count_images_lesions_reviews_and_failures():
    records = [
        record("a", lesions=[LESION, LESION]),
        record("b", review=["the confidence is low"]),
        {"image": "c", "error": "unreadable"},
    ]
    page = report_page(records, intended_use="Research use only. Not a medical device.")
    for total in (
        "<b>3</b>images",
        "<b>2</b>lesions",
        "<b>1</b>image without a lesion",
        "<b>1</b>image to review",
        "<b>1</b>failed image",
    ):
        assert total in page
    assert page.count("Research use only.") == 1
    assert page.count("<tr data-state") == 3
    assert re.findall(r'data-state="([^"]+)"', page) == ["lesion", "none review", "failed"]


def test_a_row_shows_sizes_confidence_and_notes():
    clip = record(
        "clip.dcm",
        review=["no lesion was found, but <why>"],
        frame=7,
        why_no_spacing="the file has no pixel spacing",
        not_written={"rtstruct": "no position in the patient"},
    )
    page = report_page([record("a", lesions=[LESION]), clip], intended_use="")
    for text in (
        "13.7 x 11.4 mm",
        ">0.99<",
        "taller than wide: lesion 1",
        "review: no lesion was found, but &lt;why&gt;",
        "frame 7 of the clip",
        "measured in pixels: the file has no pixel spacing",
        "no rtstruct file: no position in the patient",
        "Bundle: b (network 000000000000).",
    ):
        assert text in page


def test_names_cannot_inject_markup():
    page = report_page(
        [
            record('x"><script>alert(1)</script>', lesions=[LESION]),
            {"image": "<b>", "error": "<i>"},
        ],
        intended_use="<u>",
    )
    assert page.count("<script>") == 1
    for text in ("<i>", "<u>", "alert(1)</script>"):
        assert text not in page


def test_hundreds_of_images_are_loaded_when_they_are_scrolled_into_view():
    page = report_page([record(f"{n}", lesions=[LESION]) for n in range(500)], intended_use="")
    assert page.count('<img loading="lazy"') == 500
    assert len(page) < 600_000
    assert "http:" not in page
    assert "https:" not in page


def test_columns_sort_by_number():
    small = {**LESION, "long_axis_mm": 9.9, "confidence": 0.4}
    page = report_page([record("a", lesions=[LESION, small]), record("b")], intended_use="")
    keys = re.findall(r'<td class="number" data-key="([^"]+)"', page)
    assert keys == ["2", "13.7", "0.40", "0", "-1.0", "-1"]


@pytest.mark.parametrize(("mm", "text"), [(13.7, "13.7 x 11.4 mm"), (None, "137 x 114 px")])
def test_sizes_in_mm_or_pixels(mm, text):
    assert size_text({**LESION, "long_axis_mm": mm}) == text
