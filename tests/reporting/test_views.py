"""How a result displays, plots and saves itself."""

import json
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.errors import MissingExtraError
from suraksha.inference.segmenter import load_segmenter
from suraksha.measurement.measure import measure
from suraksha.types import Image, Result, Spacing


class Card:
    name, model_sha256 = "card", "0" * 64


@pytest.fixture
def result():
    rows, columns = np.ogrid[:120, :150]
    mask = (rows - 60) ** 2 + (columns - 70) ** 2 < 30**2
    image = Image(np.where(mask, 60, 140).astype(np.uint8), Spacing.square(0.2), "a/b<1>")
    lesions = measure(mask, image.spacing, probability=mask * 0.75)
    return Result(mask, mask.astype(np.float32), lesions, image, Card(), review=("few pixels",))


def pixels_of(png):
    with PilImage.open(BytesIO(png)) as image:
        return np.asarray(image)


def test_the_repr_is_short(result):
    assert repr(result.image) == (
        "Image('a/b<1>', 120 x 150 grey uint8, Spacing(0.2 x 0.2 mm, user))"
    )
    assert repr(result.lesions[0]).startswith("Lesion(1, 12")
    assert repr(result.lesions[0]).endswith("mm, confidence 0.75)")
    assert repr(result).startswith("Result('a/b<1>', 1 lesion, 12")
    assert repr(result).endswith("needs review)")
    assert len(repr(result)) < 80


def test_save_writes_mask_overlay_and_values(result, tmp_path):
    out = tmp_path / "new" / "folder"
    result.save(out)
    names = ["a_b_1__mask.png", "a_b_1__overlay.png", "a_b_1_.json"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    mask = pixels_of((out / names[0]).read_bytes())
    np.testing.assert_array_equal(mask == 255, result.mask)
    np.testing.assert_array_equal(pixels_of((out / names[1]).read_bytes()), result.overlay())
    assert json.loads((out / names[2]).read_text()) == result.to_dict()


def test_to_dict_is_json_and_has_no_arrays(result):
    values = result.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["image"] == "a/b<1>"
    assert values["lesions"][0]["long_axis_mm"] == pytest.approx(12.0, abs=0.3)
    assert values["review"] == ["few pixels"]
    assert not {"mask", "probability", "contour"} & values.keys()


def test_notebooks_show_the_overlay_and_a_table(result):
    np.testing.assert_array_equal(pixels_of(result._repr_png_()), result.overlay())
    page = result._repr_html_()
    assert "a/b&lt;1&gt;" in page
    assert "<1>" not in page
    assert result.lesions[0].size_text in page
    assert "few pixels" in page
    assert page.count("<tr>") == 2


def test_an_overlay_can_be_filled(result):
    assert (result.overlay(opacity=0.5) != result.overlay()).any()


def test_plot_draws_the_contour_on_given_or_new_axes(result):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, given = pyplot.subplots()
    assert result.plot(given) is given
    contour = given.lines[0].get_xydata()
    np.testing.assert_array_equal(contour[:, ::-1], result.lesions[0].contour)
    assert result.plot() is not given
    pyplot.close("all")
    assert figure is not None


def test_plot_names_the_missing_extra(result, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="matplotlib"):
        result.plot()


def test_a_real_result_displays_itself(make_dicom, tmp_path):
    image = Image(make_dicom.image(), name="phantom")
    found = load_segmenter()(image)
    assert found.to_dict()["bundle"] == found.card.name
    assert "phantom" in found._repr_html_()
