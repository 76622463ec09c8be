"""Training, scoring and export of a run on several data sets."""

import shutil
from dataclasses import replace

import pytest

from suraksha.cli.app import main
from suraksha.datasets.phantom_set import write_phantoms
from suraksha.evaluation.evaluate import evaluate
from suraksha.inference.bundle import read_bundle
from suraksha.runs.folder import open_run
from suraksha.training.fit import cache_for, train


@pytest.fixture(scope="module")
def roots(phantom_root, tmp_path_factory):
    """Two data sets of phantoms with different names."""
    other = tmp_path_factory.mktemp("other") / "set"
    write_phantoms(other, 18, seed=7, shape=(96, 120))
    description = other / "suraksha.toml"
    text = description.read_text(encoding="utf-8")
    description.write_text(text.replace('name = "synthetic"', 'name = "other"'), encoding="utf-8")
    copy = other.parent / "first"
    shutil.copytree(phantom_root, copy)
    return copy, other


@pytest.fixture(scope="module")
def config(tiny_config):
    data = replace(tiny_config.data, protocol="hospitals", split=1)
    return replace(tiny_config, data=data)


@pytest.fixture(scope="module")
def run(config, roots, tmp_path_factory):
    return train(config, roots, out=tmp_path_factory.mktemp("several"), progress=False)


def test_the_data_set_that_is_left_out_is_the_test_part(run):
    assert {name.partition("/")[0] for name in run.split.train} == {"synthetic"}
    assert {name.partition("/")[0] for name in run.split.test} == {"other"}
    assert run.finished.dataset == "other+synthetic"


def test_the_saved_mixture_is_used_again(config, run, roots):
    cache = cache_for(config, roots, out=run.folder.parent, progress=False)
    assert cache.dataset == "other+synthetic"
    assert cache.folder.is_dir()
    assert cache.sha256 == run.finished.cache_sha256


def test_a_run_is_scored_at_the_size_of_the_images(run, roots):
    found = evaluate(run, roots)
    assert found.facts["grid"] == "native"
    assert found.facts["scored_dataset"] == "other+synthetic"
    assert {score.name.partition("/")[0] for score in found.scores} == {"other"}


def test_the_command_line_takes_data_more_than_once(run, roots, tmp_path, capsys):
    flags = [word for root in roots for word in ("--data", str(root))]
    assert main(["export", str(run.folder), str(tmp_path / "both.busi"), *flags]) == 0
    card = read_bundle(tmp_path / "both.busi").card
    assert card.training["dataset"] == "other+synthetic"
    assert main(["evaluate", str(run.folder), *map(str, roots)]) == 0
    assert "Dice" in capsys.readouterr().out
    assert open_run(run.folder).finished is not None
