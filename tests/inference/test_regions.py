"""Images with several scans: each is segmented and measured separately, nothing outside."""

from dataclasses import replace

import numpy as np
import pytest

from suraksha import load_segmenter
from suraksha.datasets.phantom import sample_phantom
from suraksha.errors import InputError
from suraksha.inference.bundle import read_bundle
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.engines import Logits
from suraksha.inference.postprocessing import PostProcessing
from suraksha.inference.segmenter import Segmenter
from suraksha.measurement.measure import measure, measure_image
from suraksha.types import Image, Region, Spacing


@pytest.fixture(scope="module", params=[None, "auto", 128])
def segment(request):
    return load_segmenter(threads=1, patch=request.param)


@pytest.fixture(scope="module")
def two_scans():
    """Two phantoms side by side below a banner, of different pixel sizes."""
    pixels = np.full((460, 820), 255, np.uint8)
    left, right = (sample_phantom(4, n, shape=(400, 400)).image.pixels for n in (1, 2))
    pixels[40:440, 5:405], pixels[40:440, 410:810] = left, right
    regions = (
        Region((40, 5, 440, 405), Spacing.square(0.1)),
        Region((40, 410, 440, 810), Spacing(0.2, 0.1)),
    )
    return Image(pixels, regions=regions)


def test_each_scan_is_segmented_as_if_it_were_alone(segment, two_scans):
    result = segment(two_scans)
    outside = np.ones(two_scans.shape, bool)
    alone = []
    for region in two_scans.regions:
        outside[region.slices] = False
        one = segment(Image(two_scans.pixels[region.slices], region.spacing))
        assert np.array_equal(result.mask[region.slices], one.mask)
        assert np.array_equal(result.probability[region.slices], one.probability)
        alone += one.lesions
    assert not result.mask[outside].any()
    assert not result.probability[outside].any()
    assert len(alone) >= 2
    key = lambda lesion: (-lesion.area_px, lesion.long_axis_mm)  # noqa: E731
    together = sorted(result.lesions, key=key)
    for one, other in zip(together, sorted(alone, key=key), strict=True):
        for name in ("area_px", "area_mm2", "long_axis_mm", "perimeter_mm", "depth_mm", "solidity"):
            assert getattr(one, name) == pytest.approx(getattr(other, name))
    assert [lesion.label for lesion in result.lesions] == list(range(1, len(alone) + 1))
    starts = {region.box[:2] for region in two_scans.regions}
    assert {patch.box[:2] for patch in result.patches} >= starts


class Bright:
    """An engine that marks bright pixels; P(lesion) is a function of the brightest one."""

    name, threads = "bright", 1

    def __init__(self, lesion_probability):
        self.lesion_probability = lesion_probability

    def run(self, batch):
        top = float(batch.max())
        mask = np.where(batch[:, :1] > 0.5, 8.0, -8.0).astype(np.float32)
        chance = self.lesion_probability(top)
        return Logits(mask, np.log([[1 - chance, chance]]).astype(np.float32))


def side_by_side(*levels):
    """Two black scans with a square of these grey levels in each."""
    pixels = np.zeros((100, 210), np.uint8)
    boxes = [(0, 0, 100, 100), (0, 110, 100, 210)]
    for (top, left, _, _), level in zip(boxes, levels, strict=True):
        pixels[top + 40 : top + 60, left + 40 : left + 60] = level
    return Image(pixels, regions=tuple(Region(box) for box in boxes))


def segmenter_of(engine):
    bundle = read_bundle()
    card = replace(
        bundle.card,
        classes=("normal", "lesion"),
        normal_classes=("normal",),
        class_temperature=1.0,
        class_metrics={},
        postprocessing=PostProcessing(min_image_probability=0.4),
        confidence_calibration=ConfidenceCalibration(review_unmarked_above=0.3),
    )
    return Segmenter(replace(bundle, card=card), engine)


@pytest.mark.parametrize("levels", [(0, 255), (255, 0)])
def test_a_normal_scan_does_not_empty_the_mask_of_another(levels):
    result = segmenter_of(Bright(lambda top: 0.9 if top > 0.5 else 0.1))(side_by_side(*levels))
    half = result.image.regions[levels.index(255)].slices
    assert result.mask[half].any()
    assert len(result.lesions) == 1
    assert result.classes["lesion"] == pytest.approx(0.9), "of the scan that shows it"
    assert result.review == ()


def test_a_suspicious_scan_without_a_lesion_asks_for_review_beside_one_with():
    # the mask of the darker square is empty, but the classification head suspects a lesion
    result = segmenter_of(Bright(lambda top: 0.9 if top > 0.5 else 0.35))(side_by_side(255, 60))
    assert len(result.lesions) == 1
    assert result.review == (
        "no lesion in one of the scans, but the classification head gives a lesion probability of "
        "at least 0.30",
    )


def test_a_lesion_of_a_region_has_image_coordinates():
    mask = np.zeros((100, 120), bool)
    mask[50:60, 80:100] = True
    image = Image(
        np.zeros((100, 120), np.uint8),
        regions=(Region((30, 70, 100, 120), Spacing.square(0.5)),),
    )
    (found,), (plain,) = measure_image(mask, image), measure(mask, Spacing.square(0.5))
    assert found.bbox == plain.bbox == (50, 80, 60, 100)
    assert found.centroid == plain.centroid
    assert np.array_equal(found.contour, plain.contour)
    assert found.long_axis_ends == plain.long_axis_ends
    assert (found.depth_px, found.depth_mm) == (20.0, 10.0)
    assert (plain.depth_px, plain.area_mm2) == (50.0, found.area_mm2)


def test_lesions_outside_all_regions_are_not_measured():
    mask = np.zeros((100, 120), bool)
    mask[5:15, 5:15] = True
    image = Image(np.zeros((100, 120), np.uint8), regions=(Region((30, 70, 100, 120)),))
    assert measure_image(mask, image) == ()


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 11, 5), (-1, 0, 5, 5), (5, 5, 4, 9)])
def test_a_region_outside_the_image_is_refused(box):
    with pytest.raises(InputError, match="is not inside an image"):
        Image(np.zeros((10, 10), np.uint8), regions=(Region(box),))


def test_an_image_without_regions_is_one_scan():
    image = Image(np.zeros((10, 12), np.uint8), Spacing.square(0.3))
    (scan,) = image.scans
    assert scan == Region((0, 0, 10, 12), Spacing.square(0.3))
    assert image.cut(scan) is image
    assert replace(image, regions=(Region((2, 3, 6, 9)),)).scans[0].spacing is None
