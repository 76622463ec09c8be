import shutil
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suraksha.datasets.audit import audit
from suraksha.datasets.cache import open_cache, pack
from suraksha.datasets.folds import clean_table
from suraksha.datasets.hashes import image_sha256, mask_sha256
from suraksha.datasets.items import CacheItem
from suraksha.datasets.layouts import find_cases, load_case
from suraksha.datasets.splits import clean_split
from suraksha.errors import DataError
from suraksha.preprocessing import Preparation, resize_image, resize_mask

SMALL = Preparation(24, 20)


@pytest.fixture
def packed(tree, tmp_path):
    return pack(tree.root, tmp_path / "caches (all)" / "my cache", preparation=SMALL)


@pytest.mark.parametrize("preparation", [SMALL, Preparation(16, 32, channels=3)])
def test_holds_what_prepare_makes_of_each_case(tree, tmp_path, preparation):
    cache = pack(tree.root, tmp_path / "c", preparation=preparation)
    masks = cache.masks()
    assert masks.dtype == np.bool_
    assert cache.dataset == "busi"
    assert cache.preparation == preparation
    for number, case in enumerate(find_cases(tree.root)):
        image, mask = load_case(case)
        item = cache.items[number]
        np.testing.assert_array_equal(cache.images[number], resize_image(image, preparation))
        np.testing.assert_array_equal(masks[number], resize_mask(mask, preparation.shape))
        assert (item.name, item.label, item.normal) == (case.name, case.label, case.normal)
        assert item.image_sha256 == image_sha256(image)
        assert item.mask_sha256 == mask_sha256(mask)
        assert (item.height, item.width) == image.shape


def test_cache_opens_after_it_was_moved(packed, tmp_path, tree):
    shutil.rmtree(tree.root)
    moved = tmp_path / "elsewhere"
    shutil.move(packed.folder, moved)
    again = open_cache(moved)
    assert again.sha256 == packed.sha256
    assert again.items == packed.items
    np.testing.assert_array_equal(again.masks(), packed.masks())
    assert isinstance(again.images, np.memmap)
    assert not again.images.flags.writeable


def test_groups_are_those_of_the_audit(packed, tree):
    groups = {}
    for item in packed.items:
        groups.setdefault(item.group, []).append(item.name)
    several = [group for group in groups.values() if len(group) > 1]
    assert several == [list(group) for group in audit(tree.root).duplicate_groups]
    assert all(item.consistent for item in packed.items)


def test_groups_file_takes_precedence(tree, tmp_path):
    names = [case.name for case in find_cases(tree.root)]
    rows = "\n".join(f"{name},patient {n // 3}" for n, name in enumerate(names))
    (tree.root / "who.csv").write_text(f"image,group\n{rows}\n")
    (tree.root / "suraksha.toml").write_text(
        'name = "mine"\ngroups = "who.csv"\nnormal = ["normal"]\n'
        '[classes]\nbenign = "benign"\nmalignant = "malignant"\nnormal = "normal"\n'
    )
    cache = pack(tree.root, tmp_path / "c", preparation=SMALL)
    assert cache.dataset == "mine"
    assert [item.group for item in cache.items] == [f"patient {n // 3}" for n in range(8)]


def test_select(packed):
    assert packed.select(["normal (1)", "benign (2)"]).tolist() == [6, 1]
    with pytest.raises(DataError, match=r"2 images.*(\n.*)?x, y"):
        packed.select(["x", "benign (1)", "y"])


def test_same_cache_is_kept_and_a_different_one_refused(packed, tree):
    before = (packed.folder / "index.json").stat()
    again = pack(tree.root, packed.folder, preparation=SMALL)
    assert again.sha256 == packed.sha256
    assert (packed.folder / "index.json").stat().st_ino == before.st_ino
    with pytest.raises(DataError, match="another cache"):
        pack(tree.root, packed.folder, preparation=replace(SMALL, mean=0.5))
    tree.save("normal/normal (1).png", tree.texture(99))
    with pytest.raises(DataError, match="another cache"):
        pack(tree.root, packed.folder, preparation=SMALL)
    assert open_cache(packed.folder).sha256 == packed.sha256
    assert [p.name for p in packed.folder.parent.iterdir()] == ["my cache"]


def test_never_overwrites_what_is_no_cache(tree, tmp_path):
    other = tmp_path / "letters"
    other.mkdir()
    (other / "dear.txt").write_text("x")
    with pytest.raises(DataError):
        pack(tree.root, other, preparation=SMALL)
    with pytest.raises(DataError):
        pack(tree.root, other / "dear.txt", preparation=SMALL)
    assert (other / "dear.txt").read_text() == "x"


def test_empty_folder_is_used(tree, tmp_path):
    (tmp_path / "c").mkdir()
    assert len(pack(tree.root, tmp_path / "c", preparation=SMALL).items) == 8


def test_packing_is_deterministic(packed, tree, tmp_path):
    assert pack(tree.root, tmp_path / "b", preparation=SMALL).sha256 == packed.sha256


class KilledError(Exception):
    pass


def test_interrupted_pack_leaves_no_cache(tree, tmp_path):
    place = tmp_path / "caches"
    refused = []

    def stop(cases):
        for number, case in enumerate(cases):
            if number == 5:
                for folder in place.iterdir():  # what a kill at this moment would leave
                    with pytest.raises(DataError):
                        open_cache(folder)
                    refused.append(folder.name)
                raise KilledError
            yield case

    with pytest.raises(KilledError):
        pack(tree.root, place / "c", preparation=SMALL, progress=stop)
    assert sorted(name.rpartition(".")[2] for name in refused) == ["lock", "part"]
    assert list(place.iterdir()) == []


def test_data_set_with_faults_is_not_packed(tree, tmp_path):
    (tree.root / "benign/benign (2)_mask.png").unlink()
    with pytest.raises(DataError, match=r"benign \(2\)"):
        pack(tree.root, tmp_path / "c", preparation=SMALL)
    assert not (tmp_path / "c").exists()


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["images.npy", "masks.npy", "index.json"]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_every_altered_byte_is_detected(packed, name, place, bit):
    path = packed.folder / name
    sound = path.read_bytes()
    altered = bytearray(sound)
    altered[int(place * len(sound))] ^= 1 << bit
    path.write_bytes(altered)
    try:
        with pytest.raises(DataError):
            open_cache(packed.folder)
    finally:
        path.write_bytes(sound)
    assert open_cache(packed.folder).sha256 == packed.sha256


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.json"])
def test_missing_or_cut_files_are_refused(packed, name):
    path = packed.folder / name
    sound = path.read_bytes()
    for content in (sound[:-1], sound + b" ", b""):
        path.write_bytes(content)
        with pytest.raises(DataError):
            open_cache(packed.folder)
    path.unlink()
    with pytest.raises(DataError):
        open_cache(packed.folder)


def test_item_fields():
    assert [field.name for field in fields(CacheItem)] == [
        "name", "label", "normal", "group", "image_sha256", "mask_sha256",
        "height", "width", "consistent",
    ]  # fmt: skip


@pytest.mark.busi
def test_busi_at_256_is_small_and_matches_the_table(busi_root, tmp_path):
    cache = pack(busi_root, tmp_path / "busi 256", preparation=Preparation(256, 256))
    assert sum(path.stat().st_size for path in cache.folder.iterdir()) < 64 * 2**20
    assert cache.images.shape == (780, 256, 256)
    assert len(clean_split(cache.items, fold=0, dataset=cache.dataset).test) == 158
    table = clean_table()
    for item in cache.items:
        row = asdict(table[item.name])
        row.pop("fold")
        assert row == {name: getattr(item, name) for name in row}
