"""`describe_folder` recognises common layouts, and what it writes can be trained on."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.datasets.audit import audit
from suraksha.datasets.cache import pack
from suraksha.datasets.description import load_description
from suraksha.datasets.init import describe_folder
from suraksha.datasets.layouts import find_cases, load_case
from suraksha.datasets.splits import make_split
from suraksha.errors import DataError
from suraksha.evaluation.export import export
from suraksha.inference.bundle import read_bundle
from suraksha.preprocessing import Preparation
from suraksha.training.fit import train

from .conftest import Tree


@pytest.fixture
def mine(tmp_path) -> Tree:
    return Tree(tmp_path / "my own+data")


def fill(tree, image, mask, count=12, empty=()):
    """Write images and masks under names with {n}; those of ``empty`` have an empty mask."""
    for n in range(1, count + 1):
        tree.save(image.format(n=n), tree.texture(900 + n))
        blank = np.zeros((60, 80), np.bool_)
        tree.save(mask.format(n=n), blank if n in empty else tree.disc(radius=6))


@pytest.mark.parametrize(
    ("image", "mask", "patterns", "prefix"),
    [
        ("images/p{n}.png", "masks/p{n}.png", ("{stem}.png",), ""),
        ("images/p{n}.png", "masks/p{n}_mask.png", ("{stem}_mask.png",), ""),
        ("Images/us_{n}.png", "Masks/mask_{n}.png", ("mask_{stem}.png",), "us_"),
        ("img/a [{n}].png", "gt/a [{n}]_seg.tif", ("{stem}_seg.tif",), ""),
        ("x_{n}.png", "x_{n}_mask.png", ("{stem}_mask.png",), ""),
    ],
)
def test_images_and_masks_are_paired(mine, image, mask, patterns, prefix):
    fill(mine, image, mask)
    found = describe_folder(mine.root)
    assert (found.layout.masks, found.layout.image_prefix) == (patterns, prefix)
    assert found.classes == {"lesion": 12}
    assert (found.masks, found.without_mask) == (12, ())
    assert audit(mine.root).faults == ()
    assert load_description(found.path).name == "my-own-data"
    _, truth = load_case(find_cases(mine.root)[0])
    np.testing.assert_array_equal(truth, mine.disc(radius=6))


def test_several_masks_of_an_image_are_united(mine):
    fill(mine, "images/p{n}.png", "masks/p{n}_mask.png")
    mine.save("masks/p3_mask_1.png", mine.disc(centre=(10, 10), radius=4))
    found = describe_folder(mine.root)
    assert found.layout.masks == ("{stem}_mask*.png",)
    assert found.masks == 13


def test_class_folders_with_masks_beside_the_images(mine):
    for label in ("cyst", "solid"):
        fill(mine, f"{label}/{label}{{n}}.jpg", f"{label}/{label}{{n}}_segmentation.jpg", count=6)
    for n in range(3):
        mine.save(f"healthy/h{n}.jpg", mine.texture(70 + n))
    found = describe_folder(mine.root)
    assert found.classes == {"cyst": 6, "healthy": 3, "solid": 6}
    assert found.layout.normal == ("healthy",)
    assert audit(mine.root).faults == ()


def test_class_folders_inside_images_and_masks(mine):
    for label in ("benign", "malignant"):
        fill(mine, f"images/{label}/{label}{{n}}.png", f"masks/{label}/{label}{{n}}.png", count=5)
    found = describe_folder(mine.root)
    assert found.layout.masks_folder == "masks/{class}"
    assert found.classes == {"benign": 5, "malignant": 5}


def test_an_empty_mask_makes_an_image_normal(mine):
    fill(mine, "images/p{n}.png", "masks/p{n}.png", empty=(2, 5))
    found = describe_folder(mine.root)
    assert found.layout.empty_masks
    assert found.classes == {"lesion": 10, "normal": 2}
    assert [case.name for case in find_cases(mine.root) if case.normal] == ["p2", "p5"]
    assert audit(mine.root).faults == ()
    assert audit(mine.root).classes == {"lesion": 10, "normal": 2}


def test_an_image_without_a_mask_is_named(mine):
    fill(mine, "images/p{n}.png", "masks/p{n}.png")
    (mine.root / "masks/p4.png").unlink()
    assert describe_folder(mine.root).without_mask == ("p4",)
    assert [f.kind for f in audit(mine.root).faults] == ["missing-mask"]


def test_a_groups_file_is_taken(mine):
    fill(mine, "images/p{n}.png", "masks/p{n}.png")
    rows = "".join(f"p{n},patient {n // 2}\n" for n in range(1, 13))
    (mine.root / "who.csv").write_text("image,group\n" + rows)
    assert describe_folder(mine.root).layout.groups == "who.csv"
    assert find_cases(mine.root)[2].group == "patient 1"


def test_what_is_described_packs_and_splits(mine, tmp_path):
    fill(mine, "images/p{n}.png", "masks/p{n}.png", empty=(2, 5))
    describe_folder(mine.root, name="clinic-7")
    cache = pack(mine.root, tmp_path / "cache", preparation=Preparation(24, 24))
    assert cache.dataset == "clinic-7"
    split = make_split(cache.items, protocol="clean", number=0, dataset=cache.dataset)
    assert len(split.train) + len(split.test) == 12


def test_what_is_described_trains_and_exports(mine, tiny_config, tmp_path):
    fill(mine, "images/p{n}.png", "masks/p{n}.png", count=20, empty=(2, 5))
    describe_folder(mine.root, name="clinic-7")
    config = replace(
        tiny_config,
        data=replace(tiny_config.data, protocol="clean"),
        optim=replace(tiny_config.optim, epochs=1),
    )
    run = train(config, mine.root, out=tmp_path / "runs", progress=False)
    export(run, tmp_path / "mine.busi", data=mine.root)
    card = read_bundle(tmp_path / "mine.busi").card
    assert card.training["dataset"] == "clinic-7"
    assert any("clinic-7" in limit for limit in card.limits)


def test_nothing_is_overwritten_unless_asked(mine):
    fill(mine, "images/p{n}.png", "masks/p{n}.png")
    path = describe_folder(mine.root).path
    path.write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        describe_folder(mine.root)
    assert path.read_text() == "mine"
    describe_folder(mine.root, overwrite=True)
    assert load_description(path).name == "my-own-data"
    assert {p.name for p in mine.root.iterdir()} == {"images", "masks", "suraksha.toml"}


def test_a_known_data_set_needs_no_description(tree, busbra):
    for root, name in ((tree.root, "busi"), (busbra.root, "bus-bra")):
        with pytest.raises(DataError, match=f"holds the data set '{name}'"):
            describe_folder(root)
        assert not (root / "suraksha.toml").exists()


def test_what_is_not_recognised_is_said(mine, tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        describe_folder(tmp_path / "absent")
    mine.save("a.png", mine.texture(1))
    with pytest.raises(DataError, match="no file is named as a mask"):
        describe_folder(mine.root)
    mine.save("images/b.png", mine.texture(1))
    mine.save("masks/zzz.png", mine.disc())
    with pytest.raises(DataError, match="no name in masks/ contains that of an image"):
        describe_folder(mine.root)
    mine.save("masks/b.png", mine.disc())
    PilImage.fromarray(mine.texture(2)).save(mine.root / "images/c.jpg")
    with pytest.raises(DataError, match=r"different suffixes \(\.jpg, \.png\)"):
        describe_folder(mine.root)
    assert not (mine.root / "suraksha.toml").exists()
