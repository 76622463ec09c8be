"""The synthetic data set is a data set like any other."""

import numpy as np
import pytest

from suraksha.datasets.audit import audit
from suraksha.datasets.cache import open_cache
from suraksha.datasets.layouts import find_cases, load_case
from suraksha.datasets.phantom_set import write_phantoms
from suraksha.datasets.samples import read_samples
from suraksha.errors import DataError, UsageError


def test_audit_finds_no_fault(phantom_root):
    found = audit(phantom_root)
    assert found.faults == ()
    assert (found.images, found.classes) == (18, {"benign": 9, "malignant": 6, "normal": 3})


def test_names_say_that_it_is_synthetic_and_the_spacing_is_known(phantom_root):
    for case in find_cases(phantom_root):
        image, mask = load_case(case)
        assert case.name.startswith("synthetic-")
        assert image.spacing is not None
        assert mask.any() is not np.bool_(case.normal)


def test_the_same_seed_gives_the_same_files(tmp_path):
    for name in ("a", "b"):
        write_phantoms(tmp_path / name, 4, seed=5, shape=(60, 80))
    files = {p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert len(files) == 9
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_invalid_arguments_are_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(DataError, match="is not empty"):
        write_phantoms(tmp_path, 6)
    with pytest.raises(UsageError, match="all kinds"):
        write_phantoms(tmp_path / "new", 3)
    with pytest.raises(UsageError, match="below 0"):
        write_phantoms(tmp_path / "new", 4, seed=-1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_set_leaves_nothing(tmp_path):
    def stop(numbers):
        yield from list(numbers)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "set", 6, shape=(40, 60), progress=stop)
    assert not (tmp_path / "set").exists()
    write_phantoms(tmp_path / "set", 4, shape=(40, 60))
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_samples_of_a_root_and_of_its_cache_are_the_same_images(phantom_root, phantom_cache):
    own, packed = read_samples(phantom_root), read_samples(phantom_cache)
    assert [s.item for s in own] == [s.item for s in packed]
    assert all(s.image.shape == (96, 120) for s in own)
    assert all(s.image.shape == s.truth.shape == (32, 32) for s in packed)
    row = open_cache(phantom_cache).select([packed[3].item.name])[0]
    assert (packed[3].image.pixels == open_cache(phantom_cache).images[row]).all()
