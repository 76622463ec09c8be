"""The commands that build a bundle: phantom, check, pack, split, train, evaluate, export."""

import argparse
import json
import re
import shutil

import pytest
import tomli_w
from PIL import Image as PilImage

from suraksha.cli.app import main
from suraksha.cli.train import add_train, configured
from suraksha.datasets.phantom import sample_phantom
from suraksha.datasets.split_file import load_split
from suraksha.inference.bundle import read_bundle
from suraksha.runs.folder import open_run


def run_json(capsys, *words):
    code = main([str(word) for word in words])
    out = capsys.readouterr().out
    assert code == 0, out
    return json.loads(out)


def test_from_images_to_a_bundle(tmp_path, capsys, tiny_config):
    root, cache, runs = tmp_path / "set", tmp_path / "cache", tmp_path / "runs"
    assert run_json(capsys, "data", "phantom", root, "--count", 12, "--json")["synthetic"]
    found = run_json(capsys, "data", "check", root, "--json")
    assert (found["images"], found["faults"]) == (12, [])
    assert (
        run_json(capsys, "data", "pack", root, cache, "--input-size", 32, "--json")["images"] == 12
    )
    split = run_json(capsys, "data", "split", cache, tmp_path / "s.json", "--split", 1, "--json")
    assert load_split(tmp_path / "s.json").sha256 == split["sha256"]
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    train = ("train", recipe, "--out", runs, "--epochs", 2, "--protocol", "paper", "--split", 3)
    trained = run_json(capsys, *train, "--data", cache, "--quiet", "--json")
    run = open_run(trained["run"])
    assert (run.config.data.split, run.config.optim.epochs, run.config.data.size) == (3, 2, 32)
    table = run_json(capsys, "evaluate", run.folder, root, "--json")
    assert table["grid"] == "native"
    assert set(table["models"]) == {"suraksha", "all background", "mean mask"}
    for suffix in (".json", ".md", "-images.jsonl"):
        assert (run.folder / f"evaluation-native{suffix}").is_file()
    bundle = tmp_path / "mine.busi"
    run_json(capsys, "export", run.folder, bundle, "--data", cache, "--json")
    assert read_bundle(bundle).card.name == "mine"
    scored = run_json(capsys, "evaluate", bundle, root, "--out", tmp_path / "e", "--json")
    mine = scored["models"]["mine"]["lesion"]["mean"]["dice"]["value"]
    theirs = table["models"]["suraksha"]["lesion"]["mean"]["dice"]["value"]
    assert mine == pytest.approx(theirs, abs=1e-3)
    assert main(["evaluate", str(bundle), str(root), "--out", str(tmp_path / "e")]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) <= 6
    assert printed.out.startswith("Dice: mean ")
    assert "scored 2 images of synthetic (test part)" in printed.err


def test_training_from_a_root_packs_it_first(phantom_root, tmp_path, capsys, tiny_config):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    words = ("train", recipe, "--data", phantom_root, "--out", tmp_path, "--epochs", 1)
    first = run_json(capsys, *words, "--quiet", "--json")
    assert (tmp_path / "cache-synthetic-32").is_dir()
    assert run_json(capsys, *words, "--quiet", "--json") == first


def test_models(tmp_path, capsys):
    found = run_json(capsys, "models", "--json", "--draw", tmp_path / "net.png")
    assert found[0]["parameters"] == 8_905_945
    assert (tmp_path / "net.png").stat().st_size > 10_000
    assert main(["models", "--input-size", "C1"]) == 0
    assert re.search(r"suraksha +8,905,945 +786,104,320 ", capsys.readouterr().out)


def test_check_fails_on_a_data_set_with_faults_and_names_them(tmp_path, capsys):
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
        (["train", "strong"], 1, "suraksha data pack"),
        (["train", "strong", "--input-size", "50"], 1, "Give 48"),
        (
            ["train", "strong", "--protocol", "community", "--input-size", "32"],
            2,
            "needs its lists",
        ),
    ],
)
def test_wrong_usage_of_train_is_refused(phantom_cache, tmp_path, capsys, words, code, message):
    where = ["--data", str(phantom_cache), "--out", str(tmp_path / "runs"), "--quiet"]
    assert main([*words, *where]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_all_images_of_other_data_can_be_scored(tiny_run, tmp_path, capsys):
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
    table = run_json(capsys, *words, "--json")
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
    table = run_json(capsys, *words)
    assert table["models"]["suraksha"]["normal"]["normals"]["images"] == 3
    assert table["community_batches_of_8"] == {"iou": None, "f1": None}
    assert (tmp_path / "e" / "evaluation-native-all-healthy.json").is_file()


def test_an_old_cache_of_a_changed_data_set_is_refused(tmp_path, capsys, tiny_config):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    for name, seed in (("a", 1), ("b", 2)):
        main(["data", "phantom", str(tmp_path / name), "--count", "12", "--seed", str(seed)])
    words = ["train", str(recipe), "--out", str(tmp_path / "runs"), "--epochs", "1", "--quiet"]
    assert main([*words, "--data", str(tmp_path / "a")]) == 0
    assert main([*words, "--data", str(tmp_path / "b")]) == 1
    assert "another cache" in capsys.readouterr().err


def test_train_ends_with_a_score_a_warning_and_the_next_command(
    phantom_cache, tmp_path, capsys, tiny_config
):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    words = ["train", str(recipe), "--data", str(phantom_cache), "--out", str(tmp_path / "runs")]
    assert main([*words, "--epochs", "1", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"score on \d+ test images?, at 32 x 32 px", printed.out)
    assert "Dice: mean " in printed.out
    assert "next: suraksha evaluate" in printed.out
    # one epoch does not beat the mean mask
    assert "is not better than the mean training mask" in printed.err


def test_seed_is_the_random_seed_and_split_the_split(phantom_cache, tmp_path, tiny_config):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    parser = argparse.ArgumentParser()
    add_train(parser)
    words = [str(recipe), "--data", "d", "--protocol", "clean", "--split", "2", "--seed", "5"]
    config = configured(parser.parse_args(words))
    assert (config.seed, config.data.protocol, config.data.split) == (5, "clean", 2)


def test_data_init_describes_a_folder_that_data_check_accepts(tmp_path, capsys):
    for number in range(3):
        phantom = sample_phantom(4, number, shape=(60, 80))
        for kind, pixels in (("images", phantom.image.pixels), ("masks", phantom.mask)):
            (tmp_path / "own" / kind).mkdir(parents=True, exist_ok=True)
            PilImage.fromarray(pixels).save(tmp_path / "own" / kind / f"{number}.png")
    assert main(["data", "init", str(tmp_path / "own")]) == 0
    out = capsys.readouterr().out
    assert "masks: 3" in out
    assert "next: suraksha data check" in out
    assert main(["data", "init", str(tmp_path / "own")]) == 1
    assert "suraksha.toml" in capsys.readouterr().err
    found = run_json(capsys, "data", "init", tmp_path / "own", "--force", "--json")
    assert sum(found["classes"].values()) == 3
    assert main(["data", "check", str(tmp_path / "own")]) == 0


def test_data_check_prints_a_table(phantom_root, capsys):
    assert main(["data", "check", str(phantom_root)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^class +images +lesion area, mean +median$", out, re.M)
    assert re.search(r"^all +18 +[\d.]+ % +[\d.]+ %$", out, re.M)
    assert "faults: 0" in out
    assert "{" not in out


@pytest.mark.busi
def test_check_on_busi(busi_root, capsys):
    found = run_json(capsys, "data", "check", busi_root, "--json")
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
        (["--input-size", "C1"], (34, 0, 0)),
        (["--input-size", "C2"], (34, 0, 0)),
        ([], (34, 20, 128)),
    ],
)
def test_epochs_on_small_images_follow_the_command_line(words, optim):
    parser = argparse.ArgumentParser()
    add_train(parser)
    found = configured(parser.parse_args(["lite", "--data", "d", "--out", "o", *words])).optim
    assert (found.epochs, found.small_epochs, found.small_size) == optim
