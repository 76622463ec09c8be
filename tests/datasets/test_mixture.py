"""Several data sets at once: names, groups, splits, sampling, near-duplicates."""

from collections import Counter

import numpy as np
import pytest

from suraksha.datasets.cache import pack
from suraksha.datasets.catalogue import known_datasets
from suraksha.datasets.loaders import CacheDataset, EpochShuffle, classes_of, quotas_of
from suraksha.datasets.mixture import mix
from suraksha.datasets.names import dataset_of_name, local_name
from suraksha.datasets.samples import check_hashes, read_mixture, read_samples
from suraksha.datasets.splits import hold_out, make_split
from suraksha.errors import DataError, UnknownNameError, UsageError
from suraksha.preprocessing import Preparation

SMALL = Preparation(24, 20)


@pytest.fixture
def caches(busbra, breast, tmp_path):
    return [
        pack(busbra.root, tmp_path / "c1", preparation=SMALL),
        pack(breast.root, tmp_path / "c2", preparation=SMALL),
    ]


@pytest.fixture
def mixed(caches):
    return mix(caches)


def test_images_keep_their_pixels_masks_and_facts(mixed, caches):
    assert mixed.dataset == "breast+bus-bra"
    assert len(mixed.items) == 28 + 12
    masks = mixed.masks()
    for cache in caches:
        own = cache.masks()
        for row, item in enumerate(cache.items):
            (place,) = mixed.select([f"{cache.dataset}/{item.name}"])
            joined = mixed.items[place]
            assert joined.group == f"{cache.dataset}/{item.group}"
            assert (joined.label, joined.image_sha256) == (item.label, item.image_sha256)
            np.testing.assert_array_equal(mixed.images[place], cache.images[row])
            np.testing.assert_array_equal(masks[place], own[row])
    assert not mixed.images.flags.writeable
    assert classes_of(mixed) == ("benign", "malignant", "normal")


def test_the_order_in_which_sets_are_given_does_not_matter(mixed, caches):
    again = mix(caches[::-1])
    assert (again.sha256, again.truth_sha256) == (mixed.sha256, mixed.truth_sha256)
    assert again.items == mixed.items
    assert mix(caches[:1]) is caches[0]


def test_the_hash_covers_every_set(mixed, caches, breast, tmp_path):
    breast.save("BrEaST-Lesions_USG-images_and_masks/case001_tumor.png", breast.disc(radius=7))
    other = pack(breast.root, tmp_path / "c3", preparation=SMALL)
    assert mix([caches[0], other]).sha256 != mixed.sha256


def test_what_does_not_fit_together_is_refused(caches, busbra, tmp_path):
    with pytest.raises(DataError, match="more than one is named bus-bra"):
        mix([caches[0], caches[1], caches[0]])
    with pytest.raises(DataError, match="no cache was given"):
        mix([])
    other = pack(busbra.root, tmp_path / "c3", preparation=Preparation(24, 24))
    with pytest.raises(DataError, match="Pack all of them with the same size"):
        mix([other, caches[1]])


def test_near_duplicates_across_sets_are_refused_by_name(caches, busbra, tmp_path):
    busbra.save("Images/bus_0005-l.png", busbra.texture(503))  # the texture of case003
    other = pack(busbra.root, tmp_path / "c3", preparation=SMALL)
    with pytest.raises(DataError, match=r"1 pairs .*: breast/case003 = bus-bra/bus_0005-l\."):
        mix([caches[1], other])


def test_clean_gives_each_set_its_own_fold(mixed, caches):
    split = make_split(mixed.items, protocol="clean", number=2, dataset=mixed.dataset)
    for cache in caches:
        own = make_split(cache.items, protocol="clean", number=2, dataset=cache.dataset)
        for part in ("train", "test"):
            names = [n for n in getattr(split, part) if dataset_of_name(n) == cache.dataset]
            assert [local_name(name) for name in names] == list(getattr(own, part))
    assert (split.protocol, split.parameter) == ("clean", "fold=2")
    assert split.images == {i.name: i.image_sha256 for i in mixed.items}


def test_hospitals_leaves_one_set_out(mixed):
    for number, name in enumerate(("breast", "bus-bra"), start=1):
        split = make_split(mixed.items, protocol="hospitals", number=number)
        assert split.parameter == f"left-out={name}"
        assert {dataset_of_name(n) for n in split.test} == {name}
        assert {dataset_of_name(n) for n in split.train} == {"breast", "bus-bra"} - {name}
        assert len(split.train) + len(split.test) == len(mixed.items)


def test_hospitals_all_together_tests_a_part_of_each(mixed):
    split = make_split(mixed.items, protocol="hospitals", number=0)
    clean = make_split(mixed.items, protocol="clean", number=0)
    assert (split.train, split.test) == (clean.train, clean.test)
    assert (split.protocol, split.parameter) == ("hospitals", "all, fold=0")


def test_hospitals_needs_several_sets(mixed, caches):
    with pytest.raises(UsageError, match="needs several data sets"):
        make_split(caches[0].items, protocol="hospitals", number=0)
    with pytest.raises(UsageError, match="1 holds out breast, 2 holds out bus-bra"):
        make_split(mixed.items, protocol="hospitals", number=3)


def test_each_set_gives_validation_images_and_no_patient_is_torn(mixed):
    split = make_split(mixed.items, protocol="clean", number=0)
    held = hold_out(split, mixed.items, fraction=0.3, seed=1)
    assert {dataset_of_name(name) for name in held.validation} == {"breast", "bus-bra"}
    group = {item.name: item.group for item in mixed.items}
    parts = [{group[n] for n in part} for part in (held.train, held.validation, held.test)]
    assert not parts[0] & parts[1]
    assert not parts[2] & (parts[0] | parts[1])


def test_weights_say_how_often_an_epoch_takes_each_image(mixed):
    names = [item.name for item in mixed.items]
    quotas = quotas_of(names, {"breast": 2.5, "bus-bra": 0.5})
    order = EpochShuffle(len(names), 3, quotas=quotas)
    epochs = []
    for epoch in range(2):
        order.set_epoch(epoch)
        epochs.append(list(order))
        counts = Counter(names[row] for row in epochs[-1])
        assert len(epochs[-1]) == len(order) == 30 + 14
        breast = [counts[n] for n in names if n.startswith("breast/")]
        assert (sorted(breast), sum(breast)) == ([2] * 6 + [3] * 6, 30)
        assert all(counts[n] <= 1 for n in names if n.startswith("bus-bra/"))
    assert epochs[0] != epochs[1]
    order.set_epoch(0)
    assert list(order) == epochs[0]


def test_a_weight_of_zero_leaves_a_set_out_and_none_means_once(mixed):
    names = [item.name for item in mixed.items]
    quotas = quotas_of(names, {"breast": 0})
    rows = list(EpochShuffle(len(names), 0, quotas=quotas))
    assert sorted(names[row] for row in rows) == sorted(n for n in names if n[:4] == "bus-")


def test_without_weights_the_order_is_that_of_one_set():
    order = EpochShuffle(20, 7)
    order.set_epoch(4)
    assert list(order) == np.random.default_rng((7, 4)).permutation(20).tolist()


@pytest.mark.parametrize(
    ("weights", "kind"),
    [
        ({"brest": 1.0}, UnknownNameError),
        ({"breast": -1.0}, UsageError),
        ({"breast": float("nan")}, UsageError),
        ({"breast": 0.0, "bus-bra": 0.0}, UsageError),
    ],
)
def test_weights_that_cannot_be_used(mixed, weights, kind):
    with pytest.raises(kind):
        quotas_of([item.name for item in mixed.items], weights)


def test_a_mixture_is_a_data_set_for_training(mixed):
    names = ["breast/case004", "bus-bra/bus_0003-l"]
    images, masks, classes = CacheDataset(mixed, names).__getitems__([0, 1])
    assert images.shape == (2, 1, 24, 20)
    assert masks.amax((1, 2, 3)).tolist() == [0, 255]
    assert classes.tolist() == [2, 1]


def test_samples_of_several_folders(busbra, breast, mixed):
    names = ["bus-bra/bus_0003-l", "breast/case002"]
    samples = read_mixture([busbra.root, breast.root], names)
    assert [sample.item.name for sample in samples] == names
    assert samples[1].item.group == "breast/2"
    assert samples[1].image.spacing is not None
    check_hashes(samples, {item.name: item.image_sha256 for item in mixed.items})
    np.testing.assert_array_equal(samples[1].truth, read_samples(breast.root, ["case002"])[0].truth)
    assert len(read_mixture([busbra.root, breast.root])) == 40
    assert [s.item.name for s in read_mixture([breast.root], ["breast/case001"])] == [
        "breast/case001"
    ]
    with pytest.raises(DataError, match="images of bus-bra were asked for"):
        read_mixture([breast.root], names)
    with pytest.raises(DataError, match="2 folders hold 1 data sets"):
        read_mixture([breast.root, breast.root])


def test_the_data_sets_of_a_mixture_are_known_by_its_name(mixed):
    assert [spec.name for spec in known_datasets(mixed.dataset)] == ["bus-bra", "breast"]


@pytest.mark.realdata("busi")
@pytest.mark.realdata("bus-bra")
@pytest.mark.realdata("breast")
def test_the_real_sets_mix(real_roots, tmp_path):
    caches = [
        pack(root, tmp_path / name, preparation=Preparation(32, 32))
        for name, root in real_roots.items()
    ]
    cache = mix(caches)
    assert len(cache.items) == 780 + 1499 + 256
    assert Counter(item.label for item in cache.items) == {
        "benign": 437 + 1014 + 154, "malignant": 210 + 485 + 98, "normal": 133 + 4,
    }  # fmt: skip
    split = make_split(cache.items, protocol="clean", number=0)
    counts = Counter(dataset_of_name(name) for name in split.test)
    assert counts["busi"] == 158
    assert abs(counts["bus-bra"] - 300) <= 3
    assert abs(counts["breast"] - 51) <= 1
