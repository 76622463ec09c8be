import hashlib
import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from suraksha.datasets.folds import clean_table
from suraksha.datasets.items import CacheItem
from suraksha.datasets.split_file import Split, load_split
from suraksha.datasets.splits import (
    PROTOCOLS,
    clean_split,
    community_split,
    hold_out,
    make_split,
    paper_split,
)
from suraksha.errors import DataError, UnknownNameError, UsageError

LABELS = ("benign", "malignant", "normal")


def item(name, label, group, **other):
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    values = {"image_sha256": sha256, "mask_sha256": sha256, "consistent": True, **other}
    return CacheItem(
        name=name, label=label, normal=label == "normal", group=group, height=9, width=9, **values
    )


def toy(labels, groups):
    pairs = zip(labels, groups, strict=True)
    return [item(f"toy {n} ({k})", k, f"g{g}") for n, (k, g) in enumerate(pairs)]


@st.composite
def data_sets(draw):
    count = draw(st.integers(30, 90))
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=count, max_size=count))
    groups = draw(st.lists(st.integers(0, count), min_size=count, max_size=count))
    labels[:10] = ["benign"] * 5 + ["malignant"] * 5
    groups[:10] = range(1000, 1010)
    return toy(labels, groups)


def busi_items():
    return [
        item(
            name,
            name.split()[0],
            row.group,
            image_sha256=row.image_sha256,
            mask_sha256=row.mask_sha256,
            consistent=row.consistent,
        )
        for name, row in clean_table().items()
    ]


def is_partition(split, items):
    everything = [*split.train, *split.validation, *split.test]
    return sorted(everything) == sorted(i.name for i in items) and split.images == {
        i.name: i.image_sha256 for i in items
    }


@settings(deadline=None, max_examples=25)
@given(items=data_sets(), seed=st.integers(0, 5), shuffle=st.randoms())
def test_paper_is_a_stratified_partition_of_the_lesions(items, seed, shuffle):
    lesions = [i for i in items if not i.normal]
    split = paper_split(items, seed=seed)
    assert is_partition(split, lesions)
    assert split.validation == ()
    test = set(split.test)
    for label in ("benign", "malignant"):
        names = [i.name for i in lesions if i.label == label]
        assert abs(sum(name in test for name in names) - 0.2 * len(names)) <= 0.5
    again = list(items)
    shuffle.shuffle(again)
    assert paper_split(again, seed=seed) == split
    assert paper_split(again, seed=seed).sha256 == split.sha256


def test_seeds_differ():
    splits = [paper_split(busi_items(), seed=seed) for seed in range(3)]
    assert len({split.sha256 for split in splits}) == 3
    common = len(set(splits[0].test) & set(splits[1].test))
    assert 10 < common < 45  # 129 of 647 twice at random: 26 in common
    with pytest.raises(UsageError):
        paper_split(busi_items(), seed=-1)


def test_paper_draw_is_pinned():
    """A change here changes every published number of the protocol."""
    split = paper_split(busi_items(), seed=0)
    assert (len(split.train), len(split.test), split.parameter) == (518, 129, "seed=0")
    order = sorted(
        (i.name for i in busi_items() if i.label == "malignant"),
        key=lambda name: hashlib.sha256(f"class malignant\n0\n{name}".encode()).digest(),
    )
    assert {name for name in split.test if name.startswith("m")} == set(order[:42])


@settings(deadline=None, max_examples=25)
@given(items=data_sets(), shuffle=st.randoms())
def test_no_group_crosses_a_fold(items, shuffle):
    splits = [clean_split(items, fold=fold) for fold in range(5)]
    group = {i.name: i.group for i in items}
    for split in splits:
        assert is_partition(split, items)
        assert not {group[n] for n in split.train} & {group[n] for n in split.test}
    assert sorted(n for split in splits for n in split.test) == sorted(group)
    again = list(items)
    shuffle.shuffle(again)
    assert clean_split(again, fold=2).sha256 == splits[2].sha256


def test_folds_of_single_images_are_even():
    items = toy([LABELS[n % 7 % 3] for n in range(103)], range(103))
    label = {i.name: i.label for i in items}
    counts = [Counter(label[n] for n in clean_split(items, fold=f).test) for f in range(5)]
    for name in LABELS:
        values = [count[name] for count in counts]
        assert max(values) - min(values) <= 1


def unevenness(folds, labels):
    fractions = [[np.mean(folds[labels == k] == f) for f in range(5)] for k in LABELS]
    return float(np.var(fractions, axis=1).sum())


def test_folds_are_as_even_as_those_of_scikit_learn():
    rng = random.Random(0)
    groups = [rng.randrange(60) for _ in range(200)]
    labels = [LABELS[(g + rng.randrange(2)) % 3] for g in groups]
    items = toy(labels, groups)
    number = {i.name: n for n, i in enumerate(items)}
    ours, theirs = np.empty(200, int), np.empty(200, int)
    for fold in range(5):
        ours[[number[n] for n in clean_split(items, fold=fold).test]] = fold
    for fold, (_, test) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
        theirs[test] = fold
    assert unevenness(ours, np.array(labels)) <= 1.5 * unevenness(theirs, np.array(labels))


def test_shipped_table():
    table = clean_table()
    assert len(table) == 780
    assert Counter(name.split()[0] for name in table) == {
        "benign": 437, "malignant": 210, "normal": 133,
    }  # fmt: skip
    folds = {}
    for row in table.values():
        folds.setdefault(row.group, set()).add(row.fold)
    assert len(folds) == 599
    assert all(len(fold) == 1 for fold in folds.values())
    assert sum(not row.consistent for row in table.values()) == 55
    assert sum(not row.consistent for row in table.values() if row.fold == 0) == 23
    a, b = table["benign (433)"], table["malignant (145)"]
    assert a.image_sha256 == b.image_sha256
    assert len({row.image_sha256 for row in table.values()}) == 779


def test_clean_of_busi_is_the_shipped_one():
    items = busi_items()
    for fold in range(5):
        split = clean_split(items, fold=fold)
        assert is_partition(split, items)
        assert all((clean_table()[name].fold == fold) == (name in split.test) for name in table())
    with pytest.raises(UsageError, match="fold 5"):
        clean_split(items, fold=5)


def table():
    return clean_table().keys()


@pytest.mark.parametrize("dataset", [None, "busi"])
def test_altered_busi_is_refused_with_names_and_count(dataset):
    items = busi_items()
    items[3] = replace(items[3], image_sha256="0" * 64)
    items[7] = replace(items[7], mask_sha256="0" * 64)
    del items[20]
    items.append(item("extra (1)", "benign", "x"))
    with pytest.raises(DataError, match=r"4 faults") as error:
        clean_split(items, fold=0, dataset=dataset)
    for message in (
        "'benign (4)' has other pixels",
        "'benign (8)' has another mask",
        "'benign (21)' is missing",
        "'extra (1)' is not in BUSI",
    ):
        assert message in str(error.value)


def test_names_like_those_of_busi_may_be_another_data_set():
    items = [item(f"benign ({n})", "benign", f"{n}") for n in range(1, 30)]
    with pytest.raises(DataError):
        clean_split(items, fold=0)
    assert len(clean_split(items, fold=0, dataset="phantom").test) in (5, 6)


@settings(deadline=None, max_examples=25)
@given(items=data_sets(), fraction=st.floats(0.1, 0.6), seed=st.integers(0, 3))
def test_hold_out_moves_whole_groups_within_the_fraction(items, fraction, seed):
    split = clean_split(items, fold=1)
    held = hold_out(split, items, fraction=fraction, seed=seed)
    by_name = {i.name: i for i in items}
    assert held.test == split.test
    assert sorted((*held.train, *held.validation)) == sorted(split.train)
    assert not {by_name[n].group for n in held.train} & {by_name[n].group for n in held.validation}
    assert held.sha256 != split.sha256
    before = Counter(by_name[n].label for n in split.train)
    moved = Counter(by_name[n].label for n in held.validation)
    assert all(moved[label] <= round(fraction * before[label]) for label in LABELS)
    assert hold_out(split, items[::-1], fraction=fraction, seed=seed) == held


def test_hold_out_reaches_its_fraction_on_busi():
    items = busi_items()
    held = hold_out(clean_split(items, fold=0), items, fraction=0.1, seed=0)
    counts = Counter(name.split()[0] for name in held.validation)
    train = Counter(name.split()[0] for name in (*held.train, *held.validation))
    assert all(abs(counts[k] - 0.1 * train[k]) <= 1 for k in LABELS)


def test_hold_out_refuses():
    items = busi_items()
    split = clean_split(items, fold=0)
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(UsageError):
            hold_out(split, items, fraction=fraction, seed=0)
    with pytest.raises(DataError, match="not in the data"):
        hold_out(split, items[5:], fraction=0.1, seed=0)
    with pytest.raises(DataError, match="already"):
        hold_out(hold_out(split, items, fraction=0.1, seed=0), items, fraction=0.1, seed=0)
    lump = toy(["benign"] * 20, [0] * 10 + [1] * 10)
    with pytest.raises(DataError, match="all groups are larger"):
        hold_out(paper_split(lump, seed=0), lump, fraction=0.1, seed=0)


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "my lists (1)"
    folder.mkdir()
    items = [i for i in busi_items() if not i.normal]
    (folder / "busi_train2.txt").write_text("\n".join(i.name for i in items[::2]) + "\n\n")
    (folder / "busi_val2.txt").write_text("\r\n".join(i.name for i in items[1::2]))
    return folder


def test_community_takes_the_lists(lists):
    split = make_split(busi_items(), protocol="community", number=2, lists=lists)
    assert split.parameter == "list=2"
    assert split.validation == ()
    assert is_partition(split, [i for i in busi_items() if not i.normal])
    assert len(split.train) == 324


def test_community_names_every_fault(lists):
    train, val = lists / "busi_train2.txt", lists / "busi_val2.txt"
    names = train.read_text().split("\n")
    lines = [*names[1:], "benign (999)", "normal (1)", names[5], "benign (2)"]
    train.write_text("\n".join(lines))
    with pytest.raises(DataError) as error:
        community_split(busi_items(), train_list=train, val_list=val)
    message = str(error.value)
    assert "unknown: benign (999), normal (1)" in message
    assert "in both lists: benign (2)" in message
    assert f"twice in a list: {names[5]}" in message
    assert f"in neither list: {names[0]}" in message
    with pytest.raises(DataError, match="cannot be read"):
        community_split(busi_items(), train_list=lists / "none.txt", val_list=val)


def test_make_split_dispatches_over_the_table():
    items = busi_items()
    assert set(PROTOCOLS) == {"paper", "community", "clean", "hospitals"}
    assert make_split(items, protocol="paper", number=1) == paper_split(items, seed=1)
    assert make_split(items, protocol="clean", number=1) == clean_split(items, fold=1)
    with pytest.raises(UnknownNameError, match="Did you mean 'clean'"):
        make_split(items, protocol="claen", number=0)
    with pytest.raises(UsageError, match="lists"):
        make_split(items, protocol="community", number=1)


def test_saved_and_loaded(tmp_path):
    items = busi_items()
    split = hold_out(clean_split(items, fold=3), items, fraction=0.1, seed=0)
    path = tmp_path / "new folder" / "split (3).json"
    split.save(path)
    assert load_split(path) == split
    assert load_split(path).sha256 == split.sha256 == json.loads(path.read_bytes())["sha256"]
    assert [p.name for p in path.parent.iterdir()] == ["split (3).json"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"fold=3"', '"fold=2"'),
        ("benign (10)", "benign (9999)"),
        ('"format": 1', '"format": 2'),
        ('"protocol"', '"protocoll"'),
        ('"train"', '"trains"'),
        ('"protocol"', '"more": 1, "protocol"'),
        ("{", ""),
    ],
)
def test_altered_files_are_refused(tmp_path, old, new):
    path = tmp_path / "split.json"
    clean_split(busi_items(), fold=3).save(path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError):
        load_split(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"sha256": 1, "format": 1}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(DataError):
        load_split(path)
    with pytest.raises(DataError):
        load_split(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("train", "test", "images"),
    [
        (("a",), ("a",), {"a": "1"}),
        ((), ("a",), {"a": "1"}),
        (("a",), (), {"a": "1"}),
        (("a",), ("b",), {"a": "1"}),
        (("a",), ("b",), {"a": "1", "b": "1", "c": "1"}),
    ],
)
def test_a_split_is_checked_where_it_is_made(train, test, images):
    with pytest.raises(DataError):
        Split("paper", "seed=0", train, (), test, images)


@pytest.mark.busi
def test_community_lists_of_the_project(busi_root):
    folder = busi_root.parent / "splits"
    if not folder.is_dir():
        pytest.skip("the public lists are not beside BUSI")
    for number in (1, 2, 3):
        split = make_split(busi_items(), protocol="community", number=number, lists=folder)
        assert (len(split.train), len(split.test)) == (452, 195)
