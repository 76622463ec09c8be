"""What the first call of a user can be, and what each refusal says."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as PilImage

import suraksha as su
from suraksha.io.inputs import as_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
RGB = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (7, 5), dtype=np.uint16)


@pytest.mark.parametrize("pixels", [GREY, RGB, DEEP], ids=["grey", "rgb", "deep"])
def test_integer_arrays_are_used_as_they_are(pixels):
    image = as_image(pixels)
    assert image.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.spacing is None


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_floats_from_0_to_1_are_rounded_to_eight_bits(pixels, kind):
    np.testing.assert_array_equal(as_image((pixels / 255).astype(kind)).pixels, pixels)


def test_paths_are_read(tmp_path):
    path = tmp_path / "case.png"
    PilImage.fromarray(GREY).save(path)
    for value in (path, str(path)):
        image = as_image(value, spacing=0.08)
        np.testing.assert_array_equal(image.pixels, GREY)
        assert (image.name, image.spacing) == ("case", su.Spacing.square(0.08))


def test_pil_images_are_converted_like_files(tmp_path):
    path = tmp_path / "case.png"
    PilImage.fromarray(RGB).save(path)
    with PilImage.open(path) as opened:
        image = as_image(opened)
    assert image.name == "case"
    np.testing.assert_array_equal(image.pixels, RGB)
    np.testing.assert_array_equal(as_image(PilImage.fromarray(GREY)).pixels, GREY)
    alpha = np.dstack([RGB, np.full((7, 5), 255, np.uint8)])
    np.testing.assert_array_equal(as_image(PilImage.fromarray(alpha)).pixels, RGB)
    with pytest.raises(su.InputError, match="mode LAB"):
        as_image(PilImage.new("LAB", (4, 4)))


def test_a_truncated_pil_image_is_refused(tmp_path):
    path = tmp_path / "case.png"
    PilImage.fromarray(RNG.integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with PilImage.open(path) as opened, pytest.raises(su.InputError, match="cannot be decoded"):
        as_image(opened)


def test_a_pydicom_dataset_gives_what_the_file_gives(make_dicom, tmp_path):
    from pydicom import dcmread

    path = tmp_path / "us.dcm"
    make_dicom.us_image(path, regions=[make_dicom.region(10, 20, 189, 219)])
    expected = su.read_image(path)
    dataset = dcmread(path)
    image = as_image(dataset)
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    assert (image.name, image.regions) == ("us", expected.regions)
    assert image.origin.header.SOPInstanceUID == dataset.SOPInstanceUID
    path.unlink()
    assert as_image(dataset, spacing=0.3).spacing == su.Spacing.square(0.3)


def test_the_first_frame_of_an_encoded_dataset_is_used(make_dicom, tmp_path):
    from pydicom import dcmread
    from pydicom.uid import RLELossless

    path = tmp_path / "clip.dcm"
    make_dicom.us_cine(path, frames=3, syntax=RLELossless)
    np.testing.assert_array_equal(as_image(dcmread(path)).pixels, su.read_image(path).pixels)


def test_datasets_pass_the_checks_of_files(make_dicom, tmp_path):
    from pydicom import Dataset, dcmread

    path = tmp_path / "us.dcm"
    make_dicom.us_image(path)
    dataset = dcmread(path)
    dataset.Rows = 30000
    with pytest.raises(su.InputError, match="30000"):
        as_image(dataset)
    with pytest.raises(su.InputError, match="TransferSyntaxUID"):
        as_image(Dataset())


def test_images_are_returned_or_get_the_spacing():
    image = su.Image(GREY, name="x")
    assert as_image(image) is image
    scaled = as_image(image, spacing=0.1)
    assert (scaled.spacing, scaled.name) == (su.Spacing.square(0.1), "x")


@pytest.mark.parametrize("value", [None, [[1, 2]], 3, b"bytes", {"pixels": GREY}, object()])
def test_other_types_are_refused_with_what_is_accepted(value):
    with pytest.raises(su.InputError) as refused:
        as_image(value)
    message = str(refused.value)
    assert type(value).__name__ in message
    for accepted in ("path", "numpy array", "PIL image", "pydicom Dataset", "suraksha.Image"):
        assert accepted in message


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (GREY.astype(float), "/ 255|by 255"),
        (np.full((3, 4), np.nan), "from 0 to 1"),
        (-(GREY / 255), "from 0 to 1"),
        (GREY.astype(np.int64), "uint8"),
        (GREY > 3, "255"),
        (np.zeros((2, 7, 5, 3)), "one image at a time"),
        (np.zeros((0, 4)), "at least one pixel"),
    ],
)
def test_other_arrays_are_refused_with_a_conversion(value, says):
    with pytest.raises(su.InputError, match=says):
        as_image(value)


@pytest.mark.parametrize("spacing", [(0.08, 0.09), "0.08mm", "0.08", [0.1], True, {}])
def test_a_spacing_that_is_not_a_number_is_refused(spacing):
    for call in (lambda: as_image(GREY, spacing=spacing), lambda: su.Image(GREY, spacing)):
        with pytest.raises(su.InputError, match="spacing") as refused:
            call()
        assert "0.08" in refused.value.fix


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: su.Image(GREY, 0.08), "Spacing.square"),
        (lambda: su.Image(None), "NoneType"),
        (lambda: su.Image("case.png"), "as_image"),
        (lambda: su.Image(GREY / 255), "as_image"),
        (lambda: su.read_image(None), "NoneType is not a path"),
        (lambda: su.read_image(GREY), "as_image"),
        (lambda: su.Spacing("0.08", 0.08), "number"),
        (lambda: su.Spacing.square(None), "number"),
        (lambda: su.Spacing.square(-1), "from 0.0001 to 10"),
    ],
)
def test_first_mistakes_get_a_clear_error(call, says):
    with pytest.raises(su.InputError, match=says):
        call()


def test_neither_pydicom_nor_torch_is_imported_for_other_values():
    code = (
        "import numpy, sys, suraksha as su\n"
        "su.as_image(numpy.zeros((4, 4), numpy.uint8))\n"
        "try: su.as_image(object())\n"
        "except su.InputError: pass\n"
        "assert not {'pydicom', 'torch'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
