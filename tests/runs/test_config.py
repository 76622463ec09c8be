"""Recipes, their errors, and the identity of a run."""

from dataclasses import replace

import pytest

from suraksha.errors import ModelError, TrainError, UnknownNameError
from suraksha.runs.config import (
    ModelConfig,
    OptimConfig,
    TrainConfig,
    config_from_dict,
    list_recipes,
    load_recipe,
)


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_survive_a_round_trip_through_tables(name):
    config = load_recipe(name)
    assert config.name == name
    assert config_from_dict(config.to_dict()) == config
    assert config_from_dict(config.to_dict()).sha256 == config.sha256


def test_the_paper_recipe_is_bce_alone_without_augmentation():
    config = load_recipe("paper")
    assert (config.loss.bce, config.loss.dice) == (1.0, 0.0)
    amounts = config.to_dict()["augment"]
    del amounts["chance"]  # of each change, where there is one
    assert set(amounts.values()) == {0.0}
    assert config.optim.ema_decay == 0


FRACTIONS = {"validation_fraction", "ema_decay", "warmup_epochs", "encoder_rate"}


def test_the_config_hash_covers_every_field():
    """Each field in turn gets another value, and each gives another hash."""
    base = TrainConfig(model=ModelConfig(options={"width": 16}), optim=OptimConfig(small_size=32))
    other = {
        "pretrained": True,
        "protocol": "paper",
        "schedule": "cosine",
        "channels": 3,
        "size": 128,
    }
    seen = {base.sha256}
    for part, values in base.to_dict().items():
        for key, value in (values if isinstance(values, dict) else {part: values}).items():
            table = base.to_dict()
            kept = isinstance(value, str | dict)
            new = other.get(key, value if kept else value + 1)
            if part == "augment" or key in FRACTIONS:
                new = 0.25
            if key == "options":
                new = {"width": 8}
            if isinstance(values, dict):
                table[part][key] = new
            else:
                table[part] = new
            if (part, key) in (("name", "name"), ("model", "name")):
                continue
            seen.add(config_from_dict(table).sha256)
    assert len(seen) == 1 + 1 + 2 + 7 + 11 + 8 + 21


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"optim": {"epoch": 3}}, "Did you mean 'optim.epochs'"),
        ({"optims": {}}, "Did you mean 'optim'"),
        ({"optim": {"epochs": "3"}}, "optim.epochs in the recipe .* of type int, got str"),
        ({"optim": {"epochs": True}}, "optim.epochs .* of type int, got bool"),
        ({"optim": {"epochs": 2.5}}, "optim.epochs .* of type int, got float"),
        ({"optim": {"epochs": 0}}, "epochs >= 1"),
        ({"optim": {"schedule": "cosin"}}, "Did you mean 'cosine'"),
        ({"optim": 3}, "optim in the recipe .* of type table, got int"),
        ({"loss": {"bce": 0.0}}, "one of the mask losses"),
        ({"augment": {"flip": 2.0}}, r"\[augment\]"),
        ({"data": {"validation_fraction": 1.0}}, "1 excluded"),
        ({"data": {"protocol": "papr"}}, "Did you mean 'paper'"),
        ({"data": {"teachers": ["run"]}}, "unknown key 'data.teachers'"),
        ({"data": {"size": True}}, "data.size .* of type int, got bool"),
        ({"optim": {"small_epochs": 3}}, "with a small_size"),
        ({"optim": {"small_epochs": 3, "small_size": 40}}, "Give 64 and 32"),
        ({"optim": {"encoder_rate": 0.0}}, "encoder_rate <= 1"),
        ({"loss": {"bce": 0.0, "classes": 1.0}}, "one of the mask losses"),
        ({"data": {"size": 50}}, "must be a multiple of 16. Give 48"),
        ({"data": {"size": 0}}, "Give 16"),
        ({"model": {"options": {"widht": 3}}}, "Did you mean 'width'"),
        ({"model": {"options": {"width": "a"}}}, "type str, not int"),
        ({"seed": -1}, "a seed must be 0 or more"),
        ({"data": {"split": -1}}, "split must be 0 or more"),
        ({"optim": {"ema_decay": 1.0}}, "ema_decay < 1"),
        ({"optim": {"learning_rate": float("nan")}}, "learning_rate > 0"),
        ({"optim": {"warmup_epochs": 40.0}}, "warmup_epochs < epochs"),
        ({"model": {"name": "surakha"}}, "Did you mean 'suraksha'"),
    ],
)
def test_invalid_recipes_are_refused(table, message):
    with pytest.raises(TrainError, match=message):
        config_from_dict(table)


def test_integers_are_accepted_as_floats():
    assert config_from_dict({"loss": {"bce": 2}}).loss.bce == 2.0


def test_recipe_files(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("seed = 3\n[optim]\nepochs = 2\n")
    config = load_recipe(path)
    assert (config.name, config.seed, config.optim.epochs) == ("mine", 3, 2)
    path.write_text("[optim]\nepochs = 'two'\n")
    with pytest.raises(TrainError, match=r"optim.epochs in .*mine\.toml is not valid"):
        load_recipe(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(TrainError, match="it is not valid TOML"):
        load_recipe(path)
    path.write_text("seed = \n")
    with pytest.raises(TrainError, match="it is not valid TOML"):
        load_recipe(path)
    with pytest.raises(TrainError, match="was not found"):
        load_recipe(tmp_path / "absent.toml")
    with pytest.raises(UnknownNameError, match="Did you mean 'strong'"):
        load_recipe("stron")


def test_a_network_option_outside_its_range_is_named(tiny_config):
    with pytest.raises(ModelError, match=r"\[model\] part of the recipe"):
        replace(tiny_config, model=replace(tiny_config.model, options={"width": 0}))


def test_learning_rate_by_hand():
    from suraksha.training.module import learning_rate_factor

    optim = OptimConfig(epochs=11, schedule="cosine", warmup_epochs=1.0)
    factors = [learning_rate_factor(optim, at) for at in (0.5, 1.0, 6.0, 11.0)]
    assert factors == pytest.approx([0.5, 1.0, 0.5, 0.0])
    flat = OptimConfig(epochs=11)
    assert [learning_rate_factor(flat, at) for at in (0.0, 5.0, 11.0)] == [1.0, 1.0, 1.0]
