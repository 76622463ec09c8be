"""The command table: start-up, options that every command has, and errors in the command line."""

import argparse
import json
import os
import subprocess
import sys

import pytest

import suraksha
from suraksha.cli import arguments, bench, commands, data, evaluate, export, segment, serve
from suraksha.cli.app import main

HEAVY = ("numpy", "torch", "lightning", "pydantic", "pydicom", "onnxruntime", "PIL", "tqdm")
NAMES = [command.name for command in commands.COMMANDS]


def run(*words, **settings):
    return subprocess.run(
        [sys.executable, "-m", "suraksha.cli.app", *words],
        capture_output=True,
        text=True,
        check=False,
        **settings,
    )


@pytest.mark.parametrize("name", ["", *commands.GROUPS, *NAMES])
def test_help_imports_nothing_heavy(name):
    code = (
        "import sys\nfrom suraksha.cli.app import main\n"
        f"try:\n    main({[*name.split(), '--help']!r})\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: suraksha {name}".rstrip())
    assert "Research use only" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [["train", "strnog", "--data", "x"], ["export", "a", "b.busi"]])
def test_errors_in_arguments_need_no_torch(words):
    code = (
        "import sys\nfrom suraksha.cli.app import main\n"
        f"try:\n    code = main({words!r})\nexcept SystemExit as stop:\n    code = stop.code\n"
        "assert code == 2, code\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_check_published_needs_no_torch():
    code = (
        "import sys\nfrom suraksha.cli.app import main\n"
        "assert main(['bench', 'check-published', '--json']) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) > 5


@pytest.mark.parametrize("command", commands.COMMANDS, ids=NAMES)
def test_every_command_takes_json_and_version(command, capsys):
    parser = argparse.ArgumentParser()
    commands._add_arguments(parser, command)
    assert {"--json", "--version"} <= set(parser._option_string_actions)
    assert all(action.help for action in parser._actions), "every argument is explained"
    assert callable(command.function("run"))
    with pytest.raises(SystemExit):
        main([*command.name.split(), "--version"])
    assert capsys.readouterr().out.strip() == suraksha.__version__


def test_one_spelling_for_one_idea():
    flags = {}
    for command in commands.COMMANDS:
        parser = argparse.ArgumentParser()
        commands._add_arguments(parser, command)
        flags[command.name] = {f for f in parser._option_string_actions if f.startswith("--")}
    everything = set().union(*flags.values())
    old = {"--also", "--any-image", "--patch", "--size", "--fold", "--list-number"}
    old |= {"--training-seed", "--fits-from", "--max-upload", "--beyond-loopback"}
    assert not everything & old
    assert {name for name in NAMES if "--seed" in flags[name]} == {"train", "data phantom"}
    assert {name for name in NAMES if "--split" in flags[name]} == {"train", "data split"}


@pytest.mark.parametrize(
    ("words", "usage", "message"),
    [
        ([], "suraksha", "COMMAND"),
        (["segmnt"], "suraksha", "segmnt"),
        (["segment"], "suraksha segment", "PATH"),
        (["segment", "x", "--agian"], "suraksha segment", "did you mean --again?"),
        (["data"], "suraksha data", "ACTION"),
        (["data", "check", "x", "--nothing"], "suraksha data check", "--nothing"),
        (["train", "strong", "--data", "x", "--split", "-1"], "suraksha train", "--split"),
        (["train", "strong", "--data", "x", "--input-size", "C9"], "suraksha train", "C1, C2, C3"),
    ],
)
def test_wrong_usage_shows_the_usage_of_that_command(words, usage, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"usage: {usage} [-h]")
    assert message in err


def test_a_missing_extra_is_named(capsys, monkeypatch, tmp_path):
    def absent(self, prefix):
        def run(options):
            raise ModuleNotFoundError("No module named 'lightning'", name="lightning.pytorch")

        return run if prefix == "run" else commands_function(self, prefix)

    commands_function = commands.Command.function
    monkeypatch.setattr(commands.Command, "function", absent)
    assert main(["train", "strong", "--data", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "'suraksha train' is not available" in err
    assert "[train]" in err


def test_shell_completion_offers_options_and_names(tmp_path):
    def complete(line):
        out = tmp_path / "completions"
        environment = {
            **os.environ,
            "_ARGCOMPLETE": "1",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        }
        run(env=environment)
        return set(out.read_text().replace("\x0b", "\n").split())

    assert complete("suraksha seg") == {"segment"}
    assert {"--formats", "--again"} <= complete("suraksha segment --")
    assert {"check", "init"} <= complete("suraksha data ")


def test_names_of_the_parser_are_those_of_the_tables():
    """The parser lists them itself, so that --help need not import the tables."""
    pytest.importorskip("torch", reason="torch is not installed")
    from suraksha.compute.base import EXECUTORS
    from suraksha.datasets.catalogue import DATASETS
    from suraksha.datasets.splits import PROTOCOLS
    from suraksha.evaluation.export import FLOAT_BITS
    from suraksha.evaluation.summaries import PARTS
    from suraksha.experiments.formats import FORMATS
    from suraksha.inference.bundle import DEFAULT_BUNDLE, SUFFIX
    from suraksha.inference.card import NOT_STATED
    from suraksha.inference.engines import AUTO, ENGINES
    from suraksha.preprocessing import PATCH_SIZES
    from suraksha.runs.config import list_recipes
    from suraksha.web.settings import LOOPBACK, RequestLimits

    assert tuple(ENGINES) == arguments.ENGINES
    assert arguments.AUTO == AUTO
    assert arguments.DEFAULT_BUNDLE == DEFAULT_BUNDLE
    assert dict(arguments.INPUT_SIZES) == dict(PATCH_SIZES)
    assert set(arguments.PROTOCOLS) == set(PROTOCOLS) == set(arguments.FIRST_SPLIT)
    assert arguments.recipe_names() == list_recipes()
    assert tuple(spec.name for spec in DATASETS) == data.DATASETS
    assert evaluate.PARTS == PARTS
    assert (export.SUFFIX, export.NOT_STATED, export.FLOAT_BITS) == (SUFFIX, NOT_STATED, FLOAT_BITS)
    assert tuple(EXECUTORS) == bench.COMPUTE
    assert tuple(FORMATS) == bench.TABLE_FORMATS
    assert serve.LOOPBACK == LOOPBACK
    defaults = {name: default for name, (_, _, _, default) in serve.LIMITS.items()}
    assert RequestLimits(**defaults) == RequestLimits()
    assert set(segment.FORMATS) == {"seg", "sr", "sc", "rtstruct", "geojson", "nrrd"}
