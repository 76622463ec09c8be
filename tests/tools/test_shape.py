"""The shape of small packages, counted by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHAPE = Path(__file__).resolve().parents[2] / "tools" / "shape.py"
ONE = '''"""A module.

Of two lines.
"""

from typing import Any

# a comment


def public(value: Any) -> dict[str, Any]:
    """It has one."""
    text = """two
    lines"""
    return {"a": value, "b": text}


def _private(value):
    return value


class Thing:
    """A thing."""

    def documented(self):
        """Yes."""
        return 1

    def undocumented(self):
        return 2

    def _hidden(self):
        return 3
'''


@pytest.fixture
def shape(tmp_path):
    """Write a package; the exit status and the JSON of its shape."""

    def run(files: dict[str, str], readme: str = "An image.\n"):
        (tmp_path / "README.md").write_text(readme)
        for name, text in files.items():
            path = tmp_path / "src" / "suraksha" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        command = [sys.executable, str(SHAPE), "--root", str(tmp_path), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def test_lines_names_and_any_are_counted(shape):
    code, found = shape({"one.py": ONE, "__init__.py": ""})
    assert code == 0
    assert found["files"] == 2
    # import, def public and its 3 lines, _private 2, class 1, three methods of 2
    assert found["code_lines"] == 1 + 4 + 2 + 1 + 6
    assert (found["largest_file"], found["largest_file_lines"]) == ("one.py", ONE.count("\n"))
    assert found["any_count"] == 2
    assert found["public_names"] == 4
    assert found["documented_percent"] == 75
    assert (found["cycles"], found["faults"], found["forbidden_words"]) == ([], [], 0)
    # module 2, public 4, _private 2, class 2, its methods 3 + 2 + 2
    assert found["statements"] == 2 + 4 + 2 + 2 + 3 + 2 + 2


def test_a_long_file_fails(shape):
    assert shape({"one.py": "x = 1\n" * 400})[0] == 0
    code, found = shape({"one.py": "x = 1\n" * 401})
    assert code == 1
    assert found["faults"] == ["one.py has more than 400 lines"]


def test_a_cycle_by_an_import_inside_a_function_fails(shape):
    code, found = shape(
        {
            "a.py": "from suraksha.b import x\n",
            "b.py": "import suraksha.c\nx = 1\n",
            "c.py": "def f():\n    if True:\n        from suraksha import a\n    return a\n",
            "d.py": "from suraksha.a import x\n",
        }
    )
    assert code == 1
    assert found["cycles"] == [["suraksha.a", "suraksha.b", "suraksha.c"]]
    (fault,) = found["faults"]
    assert fault == "import cycle: suraksha.a -> suraksha.b -> suraksha.c -> suraksha.a"


def test_two_cycles_are_two(shape):
    _, found = shape(
        {
            "a.py": "import suraksha.b\n",
            "b.py": "import suraksha.a\n",
            "p/__init__.py": "",
            "p/c.py": "from suraksha.p import d\n",
            "p/d.py": "from suraksha.p.c import x\n",
        }
    )
    assert found["cycles"] == [["suraksha.a", "suraksha.b"], ["suraksha.p.c", "suraksha.p.d"]]


def test_imports_for_type_checking_make_no_cycle(shape):
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from suraksha.b import x\n"
    code, found = shape({"a.py": guarded, "b.py": "import suraksha.a\nx = 1\n"})
    assert (code, found["cycles"]) == (0, [])


def test_a_forbidden_word_fails(shape):
    code, found = shape({"one.py": "x = 1\n"}, readme="One anew, two anew.\n")
    assert code == 1
    assert found["forbidden_words"] == 1  # per line and word
    assert found["faults"] == ["1 forbidden words: make words lists them"]


def test_the_table_is_printed(shape, tmp_path):
    shape({"one.py": ONE})
    command = [sys.executable, str(SHAPE), "--root", str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "code lines           14" in printed
    assert "with docstring       75.0 %" in printed
