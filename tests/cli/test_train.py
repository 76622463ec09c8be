"""The verbs of the build side, in a row: phantom, check, pack, split, train, evaluate, export."""

import argparse
import json
import shutil

import pytest
import tomli_w

from suraksha.cli.app import main
from suraksha.cli.train import add_train, configured
from suraksha.datasets.splits import load_split
from suraksha.inference.bundle import read_bundle
from suraksha.runs.folder import open_run


def told(capsys, *words):
    code = main([str(word) for word in words])
    out = capsys.readouterr().out
    assert code == 0, out
    return json.loads(out)


def test_the_whole_way(tmp_path, capsys, tiny_config):
    root, cache, runs = tmp_path / "set", tmp_path / "cache", tmp_path / "runs"
    assert told(capsys, "data", "phantom", root, "--count", 12, "--json")["synthetic"]
    found = told(capsys, "data", "check", root, "--json")
    assert (found["images"], found["faults"]) == (12, [])
    assert told(capsys, "data", "pack", root, cache, "--size", 32, "--json")["images"] == 12
    split = told(capsys, "data", "split", cache, tmp_path / "s.json", "--fold", 1, "--json")
    assert load_split(tmp_path / "s.json").sha256 == split["sha256"]
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    train = ("train", recipe, "--out", runs, "--epochs", 2, "--protocol", "paper", "--seed", 3)
    trained = told(capsys, *train, "--data", cache, "--quiet", "--json")
    run = open_run(trained["run"])
    assert (run.config.data.split, run.config.optim.epochs, run.config.data.size) == (3, 2, 32)
    table = told(capsys, "evaluate", run.folder, root, "--json")
    assert table["grid"] == "native"
    assert set(table["models"]) == {"suraksha", "all background", "mean mask"}
    for suffix in (".json", ".md", "-images.jsonl"):
        assert (run.folder / f"evaluation-native{suffix}").is_file()
    bundle = tmp_path / "mine.busi"
    told(capsys, "export", run.folder, bundle, "--data", cache, "--json")
    assert read_bundle(bundle).card.name == "mine"
    scored = told(capsys, "evaluate", bundle, root, "--out", tmp_path / "e", "--json")
    mine = scored["models"]["mine"]["lesion"]["mean"]["dice"]["value"]
    theirs = table["models"]["suraksha"]["lesion"]["mean"]["dice"]["value"]
    assert mine == pytest.approx(theirs, abs=1e-3)
    assert main(["evaluate", str(bundle), str(root), "--out", str(tmp_path / "e")]) == 0
    assert "| mine | lesion |" in capsys.readouterr().out


def test_training_from_a_root_packs_it_first(phantom_root, tmp_path, capsys, tiny_config):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    words = ("train", recipe, "--data", phantom_root, "--out", tmp_path, "--epochs", 1)
    first = told(capsys, *words, "--quiet", "--json")
    assert (tmp_path / "cache-synthetic-32").is_dir()
    assert told(capsys, *words, "--quiet", "--json") == first


def test_models(tmp_path, capsys):
    found = told(capsys, "models", "--json", "--draw", tmp_path / "net.png")
    assert found[0]["parameters"] == 8_905_945
    assert (tmp_path / "net.png").stat().st_size > 10_000
    assert main(["models", "--size", "C1"]) == 0
    assert "| suraksha | 8,905,945 | 786,104,320 |" in capsys.readouterr().out


def test_check_fails_on_a_broken_set_and_names_every_fault(tmp_path, capsys):
    main(["data", "phantom", str(tmp_path / "set"), "--count", "6"])
    broken = sorted((tmp_path / "set" / "benign").glob("*_mask.png"))
    broken[0].unlink()
    broken[1].write_bytes(b"")
    capsys.readouterr()
    assert main(["data", "check", str(tmp_path / "set"), "--json"]) == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert {f["kind"] for f in faults} == {"missing-mask", "unreadable-mask"}
    assert main(["data", "check", str(tmp_path / "set")]) == 1
    out = capsys.readouterr().out
    assert all(f["image"] in out for f in faults)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "stron"], 2, "Did you mean 'strong'"),
        (["train", "strong", "--protocol", "paper", "--fold", "1"], 2, "--fold does not go with"),
        (["train", "strong"], 1, "suraksha data pack"),
        (["train", "strong", "--size", "50"], 1, "Give 48"),
        (["train", "strong", "--protocol", "community", "--size", "32"], 2, "needs its lists"),
    ],
)
def test_wrong_trainings_are_refused(phantom_cache, tmp_path, capsys, words, code, message):
    where = ["--data", str(phantom_cache), "--out", str(tmp_path / "runs"), "--quiet"]
    assert main([*words, *where]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_other_data_can_be_scored_whole(tiny_run, tmp_path, capsys):
    main(["data", "phantom", str(tmp_path / "other"), "--count", "4", "--seed", "9"])
    capsys.readouterr()
    words = (
        "evaluate",
        tiny_run.folder,
        tmp_path / "other",
        "--part",
        "all",
        "--out",
        tmp_path / "e",
    )
    table = told(capsys, *words, "--json")
    assert (table["images_scored"], table["seen_in_training"]) == (4, 0)
    assert table["scored_dataset"] == "synthetic"
    assert set(table["models"]) == {"suraksha", "all background"}
    assert table["models"]["suraksha"]["lesion"]["mean"]["hd95_mm"]["value"] > 0


def test_images_without_any_lesion_can_be_scored(tiny_run, phantom_root, tmp_path, capsys):
    place = tmp_path / "healthy"
    shutil.copytree(phantom_root / "normal", place / "normal")
    (place / "suraksha.toml").write_text(
        'name = "healthy"\nnormal = ["normal"]\n[classes]\nnormal = "normal"\n'
    )
    words = ("evaluate", tiny_run.folder, place, "--part", "all", "--out", tmp_path / "e", "--json")
    table = told(capsys, *words)
    assert table["models"]["suraksha"]["normal"]["normals"]["images"] == 3
    assert table["community_batches_of_8"] == {"iou": None, "f1": None}
    assert (tmp_path / "e" / "evaluation-native-all-healthy.json").is_file()


def test_a_changed_data_set_is_not_trained_on_from_an_old_cache(tmp_path, capsys, tiny_config):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    for name, seed in (("a", 1), ("b", 2)):
        main(["data", "phantom", str(tmp_path / name), "--count", "12", "--seed", str(seed)])
    words = ["train", str(recipe), "--out", str(tmp_path / "runs"), "--epochs", "1", "--quiet"]
    assert main([*words, "--data", str(tmp_path / "a")]) == 0
    assert main([*words, "--data", str(tmp_path / "b")]) == 1
    assert "holds another cache" in capsys.readouterr().err


def test_a_missing_extra_is_named(capsys, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError("No module named 'lightning'", name="lightning.pytorch")

    monkeypatch.setattr("suraksha.cli.app.import_module", absent)
    assert main(["train", "strong"]) == 1
    assert "pip install 'suraksha[train]'" in capsys.readouterr().err


@pytest.mark.busi
def test_check_on_busi(busi_root, capsys):
    found = told(capsys, "data", "check", busi_root, "--json")
    assert (found["images"], found["faults"]) == (780, [])
    assert found["classes"] == {"benign": 437, "malignant": 210, "normal": 133}
    assert len(found["multi_mask"]) == 17
    assert ["benign (433)", "malignant (145)"] in found["identical"]
    assert 140 <= len(found["duplicate_groups"]) <= 150
    assert 8 <= len(found["mixed_groups"]) <= 10


@pytest.mark.parametrize(
    ("words", "optim"),
    [
        (["--epochs", "17"], (17, 10, 128)),  # of 34, of which 20 see small images
        (["--size", "C1"], (34, 0, 0)),
        (["--size", "C2"], (34, 0, 0)),
        ([], (34, 20, 128)),
    ],
)
def test_small_epochs_follow_what_the_command_line_changes(words, optim):
    parser = argparse.ArgumentParser()
    add_train(parser)
    found = configured(parser.parse_args(["lite", "--data", "d", "--out", "o", *words])).optim
    assert (found.epochs, found.small_epochs, found.small_size) == optim
