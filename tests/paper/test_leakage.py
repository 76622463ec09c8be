"""The leak: test images with a near-duplicate in training, against values computed by hand."""

from types import SimpleNamespace

import pytest

from suraksha.datasets.folds import clean_table
from suraksha.metrics.bootstrap import Estimate
from suraksha.paper.leakage import leak_table, near_duplicates_of, split_by_near_duplicate
from suraksha.paper.models_compared import ComparedModel, unpaired_difference


def pair_and_two_alone():
    """Two lesion images of one group, and two without near-duplicates."""
    groups = {}
    for name, row in clean_table().items():
        if not name.startswith("normal"):
            groups.setdefault(row.group, []).append(name)
    pair = next(names for names in groups.values() if len(names) == 2)
    alone = [names[0] for names in groups.values() if len(names) == 1]
    return (*pair, *alone[:2])


def run(name, dice):
    """A finished run that tested images with these Dice."""
    table = clean_table()
    scores = [SimpleNamespace(name=n, group=table[n].group, dice=d) for n, d in dice.items()]
    return SimpleNamespace(
        planned=SimpleNamespace(name=name),
        native=SimpleNamespace(scored_dataset="busi"),
        lesion_scores=lambda part="lesion": scores,
    )


def test_a_near_duplicate_in_training_is_found_by_its_group():
    a, duplicate, alone, other = pair_and_two_alone()
    tested = run("paper", {a: 0.9, alone: 0.6})
    assert near_duplicates_of(tested, [duplicate, other]) == {a}
    assert near_duplicates_of(tested, [other]) == set()
    with_duplicate, without = split_by_near_duplicate([tested], {"paper": [duplicate, other]})
    assert {n: d for n, (_, d) in with_duplicate.items()} == {a: 0.9}
    assert {n: d for n, (_, d) in without.items()} == {alone: 0.6}


def test_an_image_counts_with_its_mean_and_on_either_side():
    a, duplicate, _, other = pair_and_two_alone()
    runs = [run("one", {a: 0.9}), run("two", {a: 0.7}), run("three", {a: 0.5})]
    trained = {"one": [duplicate], "two": [duplicate], "three": [other]}
    with_duplicate, without = split_by_near_duplicate(runs, trained)
    assert with_duplicate[a][1] == pytest.approx(0.8)
    assert without[a][1] == 0.5


def test_the_table_pairs_each_image_with_clean():
    a, duplicate, alone, other = pair_and_two_alone()
    paper = (run("p", {a: 0.9, alone: 0.65}),)
    clean = (run("c", {a: 0.7, alone: 0.6, other: 0.1}),)
    rows = [ComparedModel("net", {"paper": paper, "clean": clean}, {"paper": 1, "clean": 1})]
    table = leak_table(rows, "recipe x", train_images={"p": [duplicate, other], "c": []})
    (line,) = table.rows
    found = dict(zip(table.head, line, strict=True))
    assert found["test images"] == "2"
    assert found["near-duplicate in training"] == "1 (50 %)"
    assert found["paper: with near-duplicate"].value == pytest.approx(0.9)
    assert found["paper minus clean: with near-duplicate"].value == pytest.approx(0.2)
    assert found["paper minus clean: without"].value == pytest.approx(0.05)
    assert found["effect of near-duplicates"].value == pytest.approx(0.15)


def test_without_both_protocols_there_is_no_table():
    a, *_ = pair_and_two_alone()
    rows = [ComparedModel("net", {"paper": (run("p", {a: 0.9}),)}, {"paper": 1})]
    assert leak_table(rows, "recipe x", train_images={"p": []}) is None


def test_the_difference_of_two_parts_has_an_interval_over_groups():
    ours = {f"a{n}": (f"g{n}", 0.8 + 0.01 * (n % 3)) for n in range(40)}
    theirs = {f"b{n}": (f"h{n}", 0.6 + 0.01 * (n % 5)) for n in range(40)}
    found = unpaired_difference(ours, theirs)
    expected = sum(v for _, v in ours.values()) / 40 - sum(v for _, v in theirs.values()) / 40
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.02
    same = {name: (group, value) for name, (group, value) in ours.items()}
    assert unpaired_difference(ours, same) == Estimate(0.0, 0.0, 0.0), "one group is drawn for both"
    assert unpaired_difference({}, ours).value != unpaired_difference({}, ours).value
