"""Targets that are not the drawn mask: the mean over twins, and teachers."""

from dataclasses import replace

import numpy as np
import pytest

from suraksha.datasets.cache import open_cache
from suraksha.errors import TrainError
from suraksha.training.fit import split_of, train
from suraksha.training.soft_labels import near_duplicate_masks, soft_targets


@pytest.fixture
def cache(phantom_cache):
    return open_cache(phantom_cache)


def doubled(cache, *, group="pair"):
    """The cache with its second image made a twin of the first, whose mask is another."""
    images = np.array(cache.images)
    images[1] = np.clip(images[0].astype(int) + 3, 0, 255)
    items = tuple(replace(i, group=group) if n < 2 else i for n, i in enumerate(cache.items))
    return replace(cache, images=images, items=items)


def test_twins_fraction_the_mean_of_their_masks(cache):
    pair = doubled(cache)
    names = tuple(item.name for item in pair.items)
    found = near_duplicate_masks(pair, names, least=0.9)
    masks = pair.masks()
    expected = (masks[0].astype(float) + masks[1]) / 2
    assert set(found) == set(names[:2])
    for name in names[:2]:
        np.testing.assert_allclose(found[name], expected)
        assert found[name].dtype == np.float32


def test_images_of_a_group_that_do_not_look_alike_keep_their_masks(cache):
    items = tuple(replace(item, group="all") for item in cache.items)
    names = tuple(item.name for item in items)
    assert near_duplicate_masks(replace(cache, items=items), names, least=0.999) == {}
    assert near_duplicate_masks(cache, names, least=0.0) == {}, "each phantom is a group of its own"


def test_no_image_outside_the_training_part_gives_a_mask(cache):
    pair = doubled(cache)
    names = tuple(item.name for item in pair.items)
    assert near_duplicate_masks(pair, names[1:], least=0.9) == {}


@pytest.fixture(scope="module")
def teacher(tiny_config, phantom_cache, tmp_path_factory):
    """A run that held images back, of the fold that the student is tested on."""
    data = replace(tiny_config.data, protocol="clean", validation_fraction=0.4)
    short = replace(tiny_config, data=data, optim=replace(tiny_config.optim, epochs=1))
    return train(short, phantom_cache, out=tmp_path_factory.mktemp("teachers"), progress=False)


def taught(teacher, **fields):
    data = replace(teacher.config.data, validation_fraction=0.0, **fields)
    return replace(teacher.config, data=data)


def test_a_teacher_counts_only_for_what_it_did_not_train_on(teacher, cache):
    config = taught(teacher, teachers=(str(teacher.folder),), teacher_fraction=0.25)
    split = split_of(config, cache)
    found = soft_targets(config.data, cache, split=split)
    assert set(found) == set(teacher.split.validation)
    drawn = cache.masks()
    for name, row in zip(found, cache.select(list(found)), strict=True):
        off = np.abs(found[name] - drawn[row])
        assert 0 < off.max() <= 0.25 + 1e-6, "three quarters are the drawn mask"
    assert soft_targets(taught(teacher).data, cache, split=split) == {}


def test_a_taught_run_trains(teacher, phantom_cache, tmp_path):
    config = taught(teacher, teachers=(str(teacher.folder),), twins=0.9)
    run = train(config, phantom_cache, out=tmp_path, progress=False)
    assert run.finished["epochs"] == 1


def test_a_teacher_that_saw_the_test_part_is_refused(teacher, cache):
    config = taught(teacher, teachers=(str(teacher.folder),), number=1)
    with pytest.raises(TrainError, match=r"cannot teach.*is tested or watched on"):
        soft_targets(config.data, cache, split=split_of(config, cache))


def test_a_folder_that_is_no_run_is_refused(teacher, cache, tmp_path):
    config = taught(teacher, teachers=(str(tmp_path),))
    with pytest.raises(TrainError, match="is no run"):
        soft_targets(config.data, cache, split=split_of(config, cache))
