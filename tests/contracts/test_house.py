"""The shape of the house: sizes of files and functions, import directions, no cycles."""

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "suraksha"
REPO = SOURCE.parents[1]
FILES = sorted(SOURCE.rglob("*.py"))
MAX_LINES, MAX_MEDIAN, MAX_FUNCTION, MAX_PARAMETERS, MAX_POSITIONAL = 400, 120, 50, 6, 2
FORBIDDEN_CALLS = ("print", "exit", "input")


def functions(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    methods = {
        id(node)
        for parent in ast.walk(tree)
        if isinstance(parent, ast.ClassDef)
        for node in parent.body
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, id(node) in methods


def names(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_files_are_short():
    lengths = {names(p): len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert {n: count for n, count in lengths.items() if count > MAX_LINES} == {}
    assert median(lengths.values()) <= MAX_MEDIAN


@pytest.mark.parametrize("path", FILES, ids=names)
def test_functions_are_short_and_take_few_parameters(path):
    for node, is_method in functions(path):
        where = f"{names(path)}:{node.lineno} {node.name}"
        assert node.end_lineno - node.lineno + 1 <= MAX_FUNCTION, where
        bound = int(is_method and bool(node.args.args) and node.args.args[0].arg in ("self", "cls"))
        positional = len(node.args.posonlyargs) + len(node.args.args) - bound
        assert positional + len(node.args.kwonlyargs) <= MAX_PARAMETERS, where
        if not node.name.startswith("_") and not is_method:
            assert node.args.kwarg is None, f"{where} takes **kwargs"


def positional_limit(node: ast.FunctionDef) -> int:
    """Private functions, and hooks whose signature another library fixes, have none."""
    return MAX_PARAMETERS if node.name.startswith("_") else MAX_POSITIONAL


@pytest.mark.parametrize("path", FILES, ids=names)
def test_public_functions_are_keyword_only_after_two(path):
    for node, is_method in functions(path):
        if is_method or node.name.startswith("_"):
            continue
        positional = len(node.args.posonlyargs) + len(node.args.args)
        assert positional <= positional_limit(node), f"{names(path)}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", FILES, ids=names)
def test_no_print_exit_assert_or_bare_stub(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        where = f"{names(path)}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), where
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            allowed = names(path).startswith("cli/")
            assert allowed or node.func.id not in FORBIDDEN_CALLS, where
        if isinstance(node, ast.Raise):
            assert "NotImplementedError" not in ast.dump(node), where


def test_every_room_of_the_source_has_tests():
    rooms = {p.name for p in SOURCE.iterdir() if p.is_dir() and list(p.glob("[!_]*.py"))}
    tested = {p.name for p in (REPO / "tests").iterdir() if list(p.glob("test_*.py"))}
    assert rooms <= tested


def imports_of(path: Path) -> set[str]:
    """Modules of Suraksha that a module imports when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("suraksha"):
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("suraksha.")}
    return found


def test_no_import_cycle():
    def module(path: Path) -> str:
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    graph = {module(p): imports_of(p) for p in FILES}
    done: set[str] = set()

    def visit(node: str, trail: tuple[str, ...]) -> None:
        assert node not in trail, " -> ".join((*trail, node))
        if node in done:
            return
        for target in sorted(graph[node] & graph.keys() - {node}):
            visit(target, (*trail, node))
        done.add(node)

    for node in graph:
        visit(node, ())
    assert done == graph.keys()


def test_import_directions():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
