"""The commands and examples in the README and the documentation work as they are written.

Every ``suraksha`` command in a code block is parsed. Blocks marked ``sh`` are also run, except
that training is shortened (`SHORTER`); blocks that are only indented are not run, because they
need what a test does not have: other people's data, a camera, a PACS, a server or ``pip``.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suraksha.cli.commands import build_parser

REPO = Path(__file__).resolve().parents[2]
README, TUTORIAL = REPO / "README.md", REPO / "docs" / "tutorial" / "first-steps.md"
DOCUMENTS = [README, *sorted((REPO / "docs").rglob("*.md"))]
# what would take minutes -> what is run instead
SHORTER = {"--count 60": "--count 24", "train strong": "train strong --epochs 1"}
# the README runs the same commands
NOT_RUN_TWICE = ("suraksha train", "suraksha evaluate", "suraksha export", "suraksha data")
NEEDS_TRAINING = "--bundle mine.busi"


def blocks(path, language):
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S)


def commands(path):
    """Every ``suraksha`` command in fenced or indented code, continued lines joined."""
    text = path.read_text().replace("\\\n", " ")
    for line in re.findall(r"^(?:    )?(?:\$ )?(?:\.venv-demo/bin/)?(suraksha .*)$", text, re.M):
        words = shlex.split(line, comments=True)
        if "..." not in words and "VERB" not in words and "|" not in words:
            yield words[1:]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(REPO).as_posix())
def test_commands_in_the_documents_have_valid_arguments(path, capsys):
    for words in commands(path):
        if words in (["--version"], ["--help"]):
            continue
        try:
            _, unknown = build_parser(words).parse_known_args(words)
        except SystemExit as stop:
            assert stop.code == 0, f"{' '.join(words)}: {capsys.readouterr().err}"  # noqa: PT017
            continue
        assert not unknown, " ".join(words)


def sh(command, folder):
    """Run a command as the shell of a reader does, in a folder with the sample images."""
    program = f"{shlex.quote(sys.executable)} -m suraksha.cli.app"
    script = f'suraksha() {{ {program} "$@"; }}\n{command}'
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture
def place(tmp_path):
    shutil.copytree(REPO / "examples" / "images", tmp_path / "examples" / "images")
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="runs the commands in bash")
@pytest.mark.parametrize("number", range(2))
def test_the_commands_of_the_readme_run(place, number):
    found = blocks(README, "sh")
    assert len(found) == 2
    if number == 1:
        pytest.importorskip("torch")
    for command in found[number].strip().splitlines():
        for long, short in SHORTER.items():
            command = command.replace(long, short)
        sh(command, place)
    assert (place / "mine.busi").is_file() == (number == 1)


@pytest.mark.skipif(os.name == "nt", reason="runs the commands in bash")
def test_the_commands_of_the_tutorial_run(place):
    lines = [line for block in blocks(TUTORIAL, "sh") for line in block.strip().splitlines()]
    assert len(lines) == 8
    for command in lines:
        if not command.startswith(NOT_RUN_TWICE) and NEEDS_TRAINING not in command:
            sh(command, place)
    assert (place / "results" / "report.html").is_file()


def test_the_python_example_of_the_readme_runs(place, monkeypatch, capsys):
    (code,) = blocks(README, "python")
    monkeypatch.chdir(place)
    exec(compile(code, "README.md", "exec"), {})
    length, confidence, review = capsys.readouterr().out.split()
    assert 5 < float(length) < 30
    assert 0 < float(confidence) <= 1
    assert review in ("True", "False")
