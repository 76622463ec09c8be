"""Plans: what they hold, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import pytest

from suraksha.errors import SurakshaError, TrainError, UsageError
from suraksha.experiments.plan import load_plan, plan_from_dict
from suraksha.runs.config import load_recipe

REPO = Path(__file__).resolve().parents[2]
PLAN = """
name = "mine"
[[runs]]
recipe = "tiny.toml"
protocol = "clean"
splits = [2, 0]
seeds = [0, 7]
[[runs]]
recipe = "strong"
protocol = "paper"
splits = [1]
[runs.set]
name = "stronger"
data.validation_fraction = 0.25
model = { options = { width = 8 } }
"""


def test_a_plan_expands_in_order(write_plan, tiny_config):
    plan = load_plan(write_plan(PLAN))
    configs = [run.config for run in plan.runs]
    found = [(c.name, c.data.protocol, c.data.split, c.seed) for c in configs]
    assert found == [
        ("tiny", "clean", 2, 0),
        ("tiny", "clean", 2, 7),
        ("tiny", "clean", 0, 0),
        ("tiny", "clean", 0, 7),
        ("stronger", "paper", 1, 0),
    ]
    data = replace(tiny_config.data, protocol="clean", split=2)
    assert configs[1] == replace(tiny_config, seed=7, data=data)
    assert plan.runs[1].name == configs[1].run_name
    strong = load_recipe("strong")
    assert configs[-1].data.validation_fraction == 0.25
    assert configs[-1].data.size == strong.data.size, "the rest of a table stays"
    assert configs[-1].model.options == {"width": 8}
    assert (configs[-1].optim, configs[-1].augment) == (strong.optim, strong.augment)


def test_options_of_another_network_are_replaced_not_mixed(write_plan, tiny_config):
    changed = '[runs.set]\nmodel = { name = "suraksha-lite", options = { encoder = "lite1" } }\n'
    text = '[[runs]]\nrecipe = "tiny.toml"\nprotocol = "paper"\nsplits = [0]\n' + changed
    (run,) = load_plan(write_plan(text)).runs
    assert tiny_config.model.options == {"width": 4}
    assert run.config.model.options == {"encoder": "lite1"}


def test_the_hash_is_of_what_is_trained(write_plan):
    first = load_plan(write_plan(PLAN))
    renamed = load_plan(write_plan("# a remark\n" + PLAN.replace('"mine"', '"other"')))
    assert (first.sha256, first.name, renamed.name) == (renamed.sha256, "mine", "other")
    for old, new in (("[1]", "[2]"), ("0.25", "0.2"), ("[2, 0]", "[0, 2]"), ("[0, 7]", "[0]")):
        assert load_plan(write_plan(PLAN.replace(old, new))).sha256 != first.sha256


def test_without_a_name_the_file_gives_it(write_plan):
    text = '[[runs]]\nrecipe = "paper"\nprotocol = "paper"\nsplits = [0]\n'
    plan = load_plan(write_plan(text, name="small.toml"))
    assert (plan.name, [run.config.seed for run in plan.runs]) == ("small", [0])


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ((), [(2, 0), (2, 7), (0, 0), (0, 7), (1, 0)]),
        (("clean:0",), [(0, 0), (0, 7)]),
        (("paper", "clean:2"), [(2, 0), (2, 7), (1, 0)]),
    ],
)
def test_selecting(write_plan, only, expected):
    chosen = load_plan(write_plan(PLAN)).select(only)
    assert [(c.config.data.split, c.config.seed) for c in chosen] == expected


@pytest.mark.parametrize("choice", ["clean:1", "claen", "clean:", "community", ""])
def test_a_choice_that_fits_nothing_is_refused(write_plan, choice):
    with pytest.raises(UsageError, match="clean:0, clean:2, paper:1"):
        load_plan(write_plan(PLAN)).select(("paper", choice))


RUN = {"recipe": "paper", "protocol": "paper", "splits": [0]}


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"recpie": "paper"}, "Did you mean 'runs.recipe'"),
        ({"protocol": "papr"}, "Did you mean 'paper'"),
        ({"recipe": "stron"}, "Did you mean 'strong'"),
        ({"recipe": "absent.toml"}, "was not found"),
        ({"splits": 3}, r"runs\[0\].splits in .* is not valid: it must be of type array"),
        ({"splits": []}, "no splits or no seeds"),
        ({"splits": [True]}, "it must be of type int, got bool"),
        ({"splits": [-1]}, "split must be 0 or more"),
        ({"seeds": ["a"]}, "it must be of type int, got str"),
        ({"set": 3}, "runs.*set in .* is not valid: it must be of type"),
        ({"set": {"dat": {}}}, "Did you mean 'data'"),
        ({"set": {"data": {"sise": 3}}}, "Did you mean 'data.size'"),
        ({"set": {"data": 3}}, "data in .* is not valid"),
        ({"set": {"data": {"size": 50}}}, "multiple of 16"),
        ({"set": {"seed": 1}}, "has the key seed"),
        ({"set": {"data": {"split": 1, "protocol": "clean"}}}, "has the key protocol, split"),
        ({"splits": [0, 1, 0]}, "more than once"),
        ({"seeds": [4, 4]}, "more than once"),
    ],
)
def test_wrong_runs_are_refused(tmp_path, run, message):
    with pytest.raises(SurakshaError, match=message):
        plan_from_dict({"name": "x", "runs": [{**RUN, **run}]}, tmp_path)


@pytest.mark.parametrize("key", RUN)
def test_a_run_needs_its_keys(tmp_path, key):
    run = {name: value for name, value in RUN.items() if name != key}
    with pytest.raises(TrainError, match=rf"missing required field {key}"):
        plan_from_dict({"name": "x", "runs": [run]}, tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "x"}, "missing required field runs"),
        ({"name": "x", "run": []}, "Did you mean 'runs'"),
        ({"name": 3, "runs": []}, "name in .* is not valid"),
        ({"name": "x", "runs": []}, "it has no run"),
        ({"name": "x", "runs": [3]}, "it must be of type"),
        ({"name": "x", "part": "tset", "runs": [RUN]}, "Did you mean 'test'"),
        ({"name": "x", "part": "all", "runs": [RUN]}, "no part named 'all'|part 'all'"),
        ({"name": "x", "part": "validation", "runs": [RUN]}, "holds no images out"),
        ({"name": "x", "runs": [RUN, RUN]}, "paper-suraksha-64-paper-0-[0-9a-f]{8} more than once"),
    ],
)
def test_wrong_plans_are_refused(tmp_path, table, message):
    with pytest.raises(SurakshaError, match=message):
        plan_from_dict(table, tmp_path)


def test_plan_files_that_cannot_be_read(write_plan, tmp_path):
    with pytest.raises(TrainError, match="cannot be read"):
        load_plan(write_plan("name = \n"))
    with pytest.raises(TrainError, match="cannot be read"):
        load_plan(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(TrainError, match="cannot be read"):
        load_plan(tmp_path / "bytes.toml")
    with pytest.raises(TrainError, match="Did you mean 'name'"):
        load_plan(write_plan("nam = 'x'\n"))


def test_the_flagship_plan():
    plan = load_plan(REPO / "plans" / "flagship.toml")
    data = [run.config.data for run in plan.runs]
    by_protocol = {
        name: [part.split for part in data if part.protocol == name]
        for name in ("clean", "community", "paper")
    }
    assert by_protocol == {
        "clean": [0, 1, 2, 3, 4, *[0] * 8],
        "community": [1, 2, 3],
        "paper": [0, 1, 2],
    }
    assert all(part.validation_fraction == 0 for part in data if part.protocol != "clean")
    first, whole = plan.runs[0].config, plan.runs[5].config
    assert (first.name, whole.name, whole.data.validation_fraction) == ("lite", "lite-whole", 0)
    data = replace(whole.data, validation_fraction=first.data.validation_fraction)
    assert replace(whole, name="lite", data=data) == first, "it can use the fits of the first"
    small = [run.config for run in plan.runs if run.config.data.size == 128]
    lite, reference, *parts = small
    assert (lite.model.name, reference.model.name) == ("suraksha-lite", "suraksha")
    assert reference.model.options == {"width": 32}
    assert (lite.data, lite.data.size) == (reference.data, 128)
    assert replace(lite.loss, classes=0.0) == reference.loss
    for config in parts:
        assert replace(config, name=lite.name, model=lite.model) == lite
    kinds = [(config.model.pretrained, len(config.model.options)) for config in (lite, *parts)]
    assert kinds == [(True, 4), (True, 3), (True, 5), (False, 3), (False, 4), (False, 5)]
    assert lite.model == load_recipe("lite").model, "the first is the recipe's own network"


def test_a_plan_may_choose_on_the_validation_part(tmp_path):
    run = {**RUN, "set": {"data": {"validation_fraction": 0.3}}}
    runs = [
        plan_from_dict({"name": "x", "runs": [run], **part}, tmp_path).runs[0]
        for part in ({}, {"part": "validation"})
    ]
    assert [run.part for run in runs] == ["test", "validation"]
    assert runs[0].name == runs[1].name


MATRIX = """
title = "two networks"
[[models]]
name = "unet"
options = { width = 4 }
[[models]]
name = "suraksha-lite"
pretrained = true
size = 64
[[runs]]
recipe = "tiny.toml"
protocol = "paper"
splits = [0, 1]
[runs.set]
optim.epochs = 2
[[runs]]
recipe = "tiny.toml"
protocol = "clean"
splits = [0]
"""


def test_models_cross_all_runs(write_plan, tiny_config):
    plan = load_plan(write_plan(MATRIX))
    assert (plan.name, plan.title) == ("plan", "two networks")
    configs = [run.config for run in plan.runs]
    assert [(c.model.name, c.data.size, c.data.protocol, c.data.split) for c in configs] == [
        ("unet", 32, "paper", 0),
        ("unet", 32, "paper", 1),
        ("suraksha-lite", 64, "paper", 0),
        ("suraksha-lite", 64, "paper", 1),
        ("unet", 32, "clean", 0),
        ("suraksha-lite", 64, "clean", 0),
    ]
    assert [c.optim.epochs for c in configs] == [2, 2, 2, 2, 6, 6]
    assert (configs[0].model.pretrained, configs[2].model.pretrained) == (False, True)
    assert configs[2].model.options == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MATRIX.replace("pretrained", "pretrain"), "models.pretrain"),
        (MATRIX.replace('name = "unet"', ""), "missing required field name"),
        (MATRIX.replace("optim.epochs = 2", 'model.name = "unet"'), "has the key model"),
        (MATRIX.replace("size = 64", "size = 65"), "multiple of 32"),
    ],
)
def test_wrong_models_are_refused(write_plan, text, message):
    with pytest.raises(SurakshaError, match=message):
        load_plan(write_plan(text))


@pytest.mark.parametrize("name", ["benchmark", "benchmark-cpu"])
def test_the_benchmark_plans_hold_the_papers_experiment(name):
    plan = load_plan(REPO / "plans" / f"{name}.toml")
    networks = {(c.config.model.name, c.config.data.size) for c in plan.runs}
    sizes = sorted(size for model, size in networks if model == "suraksha")
    assert [size / sizes[-1] for size in sizes] == [0.25, 0.5, 1]
    others = {"unet", "unet++", "segnet", "refinenet", "fcn-8s", "attention-unet", "segresnet"}
    others |= {"swin-unetr", "suraksha-lite"}
    assert networks == {(one, sizes[-1]) for one in others} | {("suraksha", s) for s in sizes}
    assert {c.config.data.protocol for c in plan.runs} == {"paper", "clean"}
    whole = name == "benchmark"
    assert {c.config.name for c in plan.runs} == ({"paper", "strong"} if whole else {"strong"})
    assert len(plan.runs) == (12 * 2 * 8 if whole else 12 * 2)
    if not whole:
        assert len({c.config.optim.epochs for c in plan.runs}) == 1
