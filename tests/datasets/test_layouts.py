import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.datasets.catalogue import DATASETS, find_dataset
from suraksha.datasets.description import load_description
from suraksha.datasets.hashes import image_sha256, mask_sha256
from suraksha.datasets.layouts import find_cases, load_case, locate
from suraksha.datasets.names import natural_key
from suraksha.errors import DataError, InputError, SurakshaError, UnknownNameError
from suraksha.types import Image

NAMES = [
    "benign (1)", "benign (2)", "benign (3)", "benign (10)",
    "malignant (1)", "malignant (2)", "normal (1)", "normal (2)",
]  # fmt: skip


def by_name(cases):
    return {case.name: case for case in cases}


def test_finds_all_in_natural_order(tree):
    cases = find_cases(tree.root)
    assert [case.name for case in cases] == NAMES
    assert [case.normal for case in cases] == [False] * 6 + [True] * 2
    assert {len(case.mask_paths) for case in cases} == {1, 2}


def test_parent_of_the_official_folder_is_accepted(tree):
    assert find_cases(tree.root.parent) == find_cases(tree.root) == find_cases(str(tree.root))


def test_truth_is_the_union_of_all_masks(tree):
    image, mask = load_case(by_name(find_cases(tree.root))["benign (10)"])
    expected = tree.disc(centre=(15, 15)) | tree.disc(centre=(40, 60))
    assert image.name == "benign (10)"
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, expected)


def test_colour_stays_and_rgba_masks_are_read(tree):
    image, mask = load_case(by_name(find_cases(tree.root))["benign (3)"])
    assert image.pixels.shape == (60, 80, 3)
    np.testing.assert_array_equal(mask, tree.disc())


def test_normal_without_mask_is_empty(tree):
    (tree.root / "normal" / "normal (2)_mask.png").unlink()
    image, mask = load_case(by_name(find_cases(tree.root))["normal (2)"])
    assert mask.shape == image.shape
    assert not mask.any()


def test_missing_mask_is_an_error(tree):
    (tree.root / "benign" / "benign (1)_mask.png").unlink()
    with pytest.raises(DataError, match=r"'benign \(1\)' has no mask"):
        load_case(find_cases(tree.root)[0])


def test_size_mismatch_names_both_sizes(tree):
    tree.save("benign/benign (1)_mask.png", tree.disc((61, 82)))
    with pytest.raises(DataError, match=r"mask is 61 x 82, the image 60 x 80"):
        load_case(find_cases(tree.root)[0])


def test_unreadable_image_is_an_input_error(tree):
    (tree.root / "benign" / "benign (1).png").write_bytes(b"\x89PNG no")
    with pytest.raises(InputError):
        load_case(find_cases(tree.root)[0])


def test_missing_class_folder(tree):
    for path in (tree.root / "malignant").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"malignant/\*\.png"):
        find_cases(tree.root)


@pytest.mark.parametrize("kind", ["absent", "empty"])
def test_folder_without_data_set_is_refused(tmp_path, kind):
    place = tmp_path / "x"
    if kind == "empty":
        place.mkdir()
    with pytest.raises(DataError):
        find_cases(place)


def test_natural_key():
    assert sorted(["a10", "a9b", "a9", "b1"], key=natural_key) == ["a9", "a9b", "a10", "b1"]


def test_image_hash_by_hand_and_grey_equals_rgb(tree):
    grey = tree.texture(5)
    rgb = np.stack([grey] * 3, axis=2)
    expected = hashlib.sha256(b"picture 60x80\n" + grey.tobytes()).hexdigest()
    assert image_sha256(Image(grey)) == image_sha256(Image(rgb)) == expected


def test_hashes_see_shape_and_every_pixel(tree):
    grey, mask = tree.texture(5), tree.disc()
    other, other_mask = grey.copy(), mask.copy()
    other[0, 0] ^= 1
    other_mask[59, 79] ^= True
    images = [grey, other, grey.reshape(80, 60)]
    assert len({image_sha256(Image(pixels)) for pixels in images}) == 3
    assert len({mask_sha256(m) for m in (mask, other_mask, mask.reshape(80, 60))}) == 3


def write_description(root: Path, text: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    path = root / "suraksha.toml"
    path.write_text(text, encoding="utf-8")
    return path


THYROID = """
name = "thyroid"
images = "*.bmp"
masks = "{stem}.png"
masks_folder = "truth/{class}"
normal = ["healthy"]
spacing_mm = 0.1
groups = "patients.csv"
[classes]
nodule = "a set/nodule"
healthy = "healthy/*.bmp"
"""


@pytest.fixture
def thyroid(tmp_path, tree):
    root = tmp_path / "thyroid [1]"
    write_description(root, THYROID)
    for place, stem in (
        ("a set/nodule", "case 1"),
        ("a set/nodule", "case 11"),
        ("healthy", "h[1]"),
    ):
        path = root / place / f"{stem}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.fromarray(tree.texture(len(stem))).save(path)
    truth = root / "truth" / "nodule"
    truth.mkdir(parents=True)
    for stem in ("case 1", "case 11"):
        PilImage.fromarray(tree.disc(radius=len(stem))).save(truth / f"{stem}.png")
    (root / "patients.csv").write_text("image,group\ncase 1,p\ncase 11,p\nh[1],q\n")
    return root


def test_any_folder_through_its_description(thyroid, tree):
    cases = find_cases(thyroid)
    assert [(c.name, c.label, c.normal, c.group) for c in cases] == [
        ("case 1", "nodule", False, "p"),
        ("case 11", "nodule", False, "p"),
        ("h[1]", "healthy", True, "q"),
    ]
    image, mask = load_case(cases[1])
    assert image.spacing is not None
    assert image.spacing.row_mm == 0.1
    np.testing.assert_array_equal(mask, tree.disc(radius=7))


def test_longest_stem_owns_a_mask(thyroid, tree):
    write_description(thyroid, THYROID.replace("{stem}.png", "{stem}*.png"))
    masks = {case.name: [p.name for p in case.mask_paths] for case in find_cases(thyroid)}
    assert masks == {"case 1": ["case 1.png"], "case 11": ["case 11.png"], "h[1]": []}


def test_groups_file_must_name_every_image(thyroid):
    (thyroid / "patients.csv").write_text("image,group\ncase 1,p\n")
    with pytest.raises(DataError, match=r"2 images have no group.*\n?.*case 11, h\[1\]"):
        find_cases(thyroid)
    (thyroid / "patients.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="image, group are missing"):
        find_cases(thyroid)


def test_description_takes_precedence_over_the_catalogue(tree):
    write_description(tree.root, 'name = "mine"\n[classes]\nbenign = "benign"\n')
    assert len(find_cases(tree.root)) == 4


def test_one_folder_of_everything(tmp_path, empty_tree):
    root = tmp_path / "flat"
    write_description(root, 'name = "flat"\n[classes]\nlesion = "."\n')
    PilImage.fromarray(empty_tree.texture(1)).save(root / "x.png")
    PilImage.fromarray(empty_tree.disc()).save(root / "x_mask.png")
    (case,) = find_cases(root)
    assert (case.name, [p.name for p in case.mask_paths]) == ("x", ["x_mask.png"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nclases = {a = "a"}', "Did you mean 'classes'"),
        ('name = "x"\nnormal = ["nromal"]\n[classes]\nnormal = "n"', "Did you mean 'normal'"),
        ('name = "x"', "missing required field `classes`"),
        ('[classes]\na = "a"', "missing required field `name`"),
        ("name = ", "Invalid value"),
        ('name = "x"\nclasses = ["a"]', "Expected `object`, got `array` - at `classes`"),
        ('name = "x"\nspacing_mm = "0.1"\n[classes]\na = "a"', "got `str` - at `spacing_mm`"),
        ('name = "x"\nspacing_mm = true\n[classes]\na = "a"', "got `bool` - at `spacing_mm`"),
        ('name = "x"\nspacing_mm = -1\n[classes]\na = "a"', "spacing"),
        ('name = "x"\nmasks = "mask.png"\n[classes]\na = "a"', "stem"),
        ('name = "x"\n[classes]\na = "../a"', "outside"),
        ('name = "x"\ngroups = "/etc/passwd"\n[classes]\na = "a"', "outside"),
    ],
)
def test_invalid_descriptions_are_refused(tmp_path, text, message):
    with pytest.raises(SurakshaError, match=message):
        load_description(write_description(tmp_path, text))


def test_catalogue():
    assert DATASETS[0].name == "busi"
    assert find_dataset("busi").doi == "10.1016/j.dib.2019.104863"
    assert len({spec.name for spec in DATASETS}) == len(DATASETS)
    with pytest.raises(UnknownNameError, match="'busi'"):
        find_dataset("bussi")


@pytest.mark.busi
def test_busi_is_whole(busi_root):
    cases = find_cases(busi_root)
    assert len(cases) == 780
    assert sum(len(case.mask_paths) for case in cases) == 798


def test_a_data_set_is_found_where_fetch_puts_it(tmp_path):
    place = tmp_path / "data" / "busi" / "Dataset_BUSI_with_GT"
    (place / "benign").mkdir(parents=True)
    (place / "benign" / "benign (1).png").write_bytes(b"")
    for root in (tmp_path / "data", tmp_path / "data" / "busi", place):
        assert locate(root)[0] == place
