"""The word list finds what it must, where it must, and spares what is allowed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def load(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


words = load("words")


@pytest.fixture
def check(tmp_path):
    """Write one file into an empty repository; what the check says of it: (line, word)."""

    def run(name: str, text: str) -> list[tuple[int, str]]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        rules, scopes = words.read_rules(TOOLS / "words.toml")
        return [(hit.line, hit.word) for hit in words.find_hits(tmp_path, rules, scopes)]

    return run


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Segments one picture.", "picture"),
        ("What the network told.", "told"),
        ("The card tells how.", "tells"),
        ("It is trained anew.", "anew"),
        ("Nobody waits.", "Nobody"),
        ("How it looks like ultrasound.", "looks"),
        ("Somebody must look at it.", "look at it"),
        ("The presence rule.", "presence"),
        ("A trusted score.", "trusted"),
        ("It stands beside the file.", "stands"),
        ("The score lies above.", "lies"),
        ("This is no mask.", "is no mask"),
        ("It cannot be gone on with.", "gone on with"),
        ("A normal image gets a mark.", "gets a mark"),
        ("Every house has rules.", "house"),
        ("Rooms of the code.", "Rooms"),
        ("Twins of test images.", "Twins"),
        ("The eye of the network.", "eye"),
        ("A cooled probability.", "cooled"),
        ("A tempered probability.", "tempered"),
        ("The least area.", "least"),
        ("The greatest axis.", "greatest"),
        ("Go on whilst it runs.", "whilst"),
        ("The parts thereof.", "thereof"),
        ("As described herein.", "herein"),
        ("The share of pixels.", "share of"),
        ("It goes to the desk.", "desk"),
        ("The archive keeps it.", "keeps it"),
        ("As the runs of old.", "of old"),
        ("A thread of its own.", "of its own"),
        ("The rule such as it is.", "such as it is"),
    ],
)
@pytest.mark.parametrize("name", ["docs/page.md", "README.md", "src/suraksha/file.py"])
def test_each_expression_is_found_in_docs_and_docstrings(check, name, text, word):
    content = f'"""{text}"""\n' if name.endswith(".py") else f"{text}\n"
    assert check(name, content) == [(1, word)]


@pytest.mark.parametrize(
    "text",
    [
        "There is no mask, and there are no lesions.",
        "It is no longer needed and is no more than 400 lines long.",
        "At least one image, such as a sample.",
        "A least squares fit.",
        "Trusted publishing is prepared.",
        "What the letter stands for. A stand-alone program.",
        "An untrusted file, two shares, an outlook, a tellurium compound.",
        "Contrast in the presence of noise.",
    ],
)
def test_normal_english_is_allowed(check, text):
    assert check("docs/page.md", f"{text}\n") == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("least_area = 1\n", [(1, "least")]),
        ("x = 1\nclass PictureScore:\n    pass\n", [(2, "Picture")]),
        ("\nresult = segment.tell(image)\n", [(2, "tell")]),
        ("from a.b import Seen\n", [(1, "Seen")]),
        ("seen = set()\n", []),
        ("lesion_share = 0.5\n", [(1, "share")]),
        ("identity = np.eye(3)\n", []),
        ("lies = stands = 0\n", []),  # prose only
        ("# one\n# a house\nx = 1\n", [(2, "house")]),
        ("# this is\n# no mask\n", [(1, "is no mask")]),
        ('message = (\n    "this is "\n    "no mask"\n)\n', [(2, "is no mask")]),
        ('x = "the network tells"; y = told\n', [(1, "tells"), (1, "told")]),
        ('text = f"{told.count} pictures"\n', [(1, "pictures"), (1, "told")]),
        ('"""One.\n\nTwo of the\ntwins.\n"""\n', [(4, "twins")]),
        ("is_ = no = mask = 1\n", []),
    ],
)
def test_python_is_split_into_text_and_identifiers(check, code, found):
    assert check("src/suraksha/file.py", code) == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/suraksha/web/static/index.html", "<p>Drop a picture</p>\n"),
        ("src/suraksha/web/static/page.js", "const text = 'Drop a picture';\n"),
        ("tests/io/test_read.py", "def test_a_picture():\n    pass\n"),
        ("src/suraksha/recipes/lite.toml", "# small picture first\n"),
        ("docs/how-to/page.md", "A `PictureScore`.\n"),
        ("examples/a.ipynb", '{"cells": [{"cell_type": "code", "source": ["picture = 1"]}]}'),
        ("src/suraksha/picture.py", "x = 1\n"),
    ],
)
def test_every_scope_is_read(check, name, text):
    (hit,) = check(name, text)
    assert hit == (1, hit[1])
    assert hit[1].lower() == "picture"


@pytest.mark.parametrize("name", ["docs/results/run/evaluation.md", "notes/page.md", "data.csv"])
def test_other_files_are_not_read(check, name):
    assert check(name, "a picture\n") == []


def rules_in(folder: Path, allowed: str) -> Path:
    (folder / "words.toml").write_text((TOOLS / "words.toml").read_text(encoding="utf-8"))
    (folder / "words-allowed.toml").write_text(allowed, encoding="utf-8")
    return folder


def test_an_exception_spares_its_file_and_words_alone(tmp_path):
    table = '[[allow]]\npath = "docs/dicom.md"\nwords = "pictures?"\nreason = "a keyword"\n'
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "dicom.md").write_text("The picture of a twin.\n")
    (tmp_path / "docs" / "other.md").write_text("The picture.\n")
    hits, unused = words.check(tmp_path, folder=rules_in(tmp_path, table))
    assert [(hit.path, hit.word) for hit in hits] == [
        ("docs/dicom.md", "twin"),
        ("docs/other.md", "picture"),
    ]
    assert unused == []


def test_an_exception_that_is_not_needed_is_reported(tmp_path):
    table = '[[allow]]\npath = "docs/dicom.md"\nwords = "pictures?"\nreason = "a keyword"\n'
    hits, unused = words.check(tmp_path, folder=rules_in(tmp_path, table))
    assert hits == []
    assert [one.path for one in unused] == ["docs/dicom.md"]


@pytest.mark.parametrize(
    "rule",
    [
        'pattern = "x"',
        'pattern = "x"\nuse = "y"\nwhere = "here"',
        'pattern = "x"\nuse = "y"\nscopes = ["nowhere"]',
        'pattern = "x"\nuse = "y"\nparts = ["code"]',
    ],
)
def test_an_invalid_rule_is_refused(tmp_path, rule):
    path = tmp_path / "words.toml"
    path.write_text(f'[scopes.docs]\npaths = ["*.md"]\n[[words]]\n{rule}\n')
    with pytest.raises(ValueError, match="invalid rule"):
        words.read_rules(path)


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(TOOLS / "words.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_file_line_word_and_suggestion(tmp_path):
    (tmp_path / "README.md").write_text("One.\nTwo pictures, a picture.\n")
    done = run("--root", tmp_path, tmp_path / "README.md")
    assert done.returncode == 1
    assert 'README.md:2: "picture" -> image(s)' in done.stdout.splitlines()
    assert 'README.md:2: "pictures" -> image(s)' in done.stdout.splitlines()
    assert "2 forbidden words in 1 files" in done.stdout
    assert "     1 picture" in run("--root", tmp_path, "--counts").stdout


def test_the_command_passes_without_a_hit(tmp_path):
    (tmp_path / "README.md").write_text("An image.\n")
    done = run("--root", tmp_path, tmp_path / "README.md")
    assert (done.returncode, done.stdout) == (0, "0 forbidden words in 0 files\n")
