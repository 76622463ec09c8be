"""The rules of the source tree: sizes of files and functions, calls, imports, tests, docs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "suraksha"
REPO = SOURCE.parents[1]
FILES = sorted(SOURCE.rglob("*.py"))
MAX_LINES, MAX_FUNCTION, MAX_PARAMETERS, MAX_POSITIONAL = 400, 50, 6, 2
FORBIDDEN_CALLS = ("print", "exit", "input")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}
PACKAGES = {module for module, path in MODULES.items() if path.name == "__init__.py"}


def functions(path: Path):
    """Every function of a file, and whether it is a method."""
    tree = tree_of(path)
    methods = {
        id(node)
        for parent in ast.walk(tree)
        if isinstance(parent, ast.ClassDef)
        for node in parent.body
    }
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node, id(node) in methods


# --- size -----------------------------------------------------------------------------------------


def test_files_are_short():
    lengths = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_are_short_and_take_few_parameters(path):
    for node, is_method in functions(path):
        where = f"{name_of(path)}:{node.lineno} {node.name}"
        assert node.end_lineno - node.lineno + 1 <= MAX_FUNCTION, where
        bound = int(is_method and bool(node.args.args) and node.args.args[0].arg in ("self", "cls"))
        positional = len(node.args.posonlyargs) + len(node.args.args) - bound
        assert positional + len(node.args.kwonlyargs) <= MAX_PARAMETERS, where
        if not node.name.startswith("_") and not is_method:
            assert node.args.kwarg is None, f"{where} takes **kwargs"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_public_functions_are_keyword_only_after_two(path):
    for node, is_method in functions(path):
        if is_method or node.name.startswith("_"):
            continue
        positional = len(node.args.posonlyargs) + len(node.args.args)
        assert positional <= MAX_POSITIONAL, f"{name_of(path)}:{node.lineno} {node.name}"


# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_print_exit_assert_or_bare_stub(path):
    for node in ast.walk(tree_of(path)):
        where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), where
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            allowed = name_of(path).startswith("cli/")
            assert allowed or node.func.id not in FORBIDDEN_CALLS, where
        if isinstance(node, ast.Raise):
            assert "NotImplementedError" not in ast.dump(node), where


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_starred_tuple_groups_elements(path):
    """``f(*(a, b), c=d)`` and ``(*("x", "y"), z)`` are to be written out."""
    starred = [
        f"{name_of(path)}:{node.lineno}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Starred) and isinstance(node.value, ast.Tuple | ast.List)
    ]
    assert starred == []


# --- imports --------------------------------------------------------------------------------------


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def runtime_nodes(tree: ast.AST):
    """Every node but those that only a type checker reads."""
    for child in ast.iter_child_nodes(tree):
        if is_type_checking(child):
            for node in child.orelse:
                yield node
                yield from runtime_nodes(node)
            continue
        yield child
        yield from runtime_nodes(child)


def imports_of(module: str) -> set[str]:
    """The modules of Suraksha that a module imports, in functions too; packages by their module."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in runtime_nodes(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            submodules = {f"{base}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= submodules or {base}
    return found & MODULES.keys() - {module}


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """The strongly connected components of more than one module, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(" <-> ".join(sorted(group)))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def test_cycles_are_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a <-> b <-> c"]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_import_cycle_even_inside_functions():
    graph = {module: imports_of(module) for module in MODULES if module != "suraksha"}
    # Importing any module runs the package `suraksha`, which imports its own modules by name.
    assert cycles({module: targets - {"suraksha"} for module, targets in graph.items()}) == []


def test_packages_do_not_re_export():
    """Whatever an ``__init__`` imports it uses itself; only the public API is an exception."""
    for package in sorted(PACKAGES - {"suraksha"}):
        nodes = list(ast.walk(tree_of(MODULES[package])))
        imported = {
            alias.asname or alias.name.partition(".")[0]
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        assert imported - used - {"annotations"} == set(), package


def test_no_function_has_the_name_of_its_package():
    """``suraksha.x`` is either a package or a function, never both."""
    public = set(__import__("suraksha").__all__)
    assert public & {package.rpartition(".")[2] for package in PACKAGES} == set()
    assert public & {path.stem for path in SOURCE.glob("*.py")} == set()


def test_import_directions():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- tests and docs -------------------------------------------------------------------------------


def test_every_package_has_tests():
    packages = {p.name for p in SOURCE.iterdir() if p.is_dir() and list(p.rglob("[!_]*.py"))}
    tested = {p.name for p in (REPO / "tests").iterdir() if list(p.rglob("test_*.py"))}
    assert packages - tested == set()


def public_nodes(body: list[ast.stmt], prefix: str = ""):
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public_nodes(node.body, f"{node.name}.")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_public_name_has_a_docstring(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree), f"{name_of(path)} has none"
    missing = [
        f"{name_of(path)}:{node.lineno} {name}"
        for name, node in public_nodes(tree.body)
        if not ast.get_docstring(node)
    ]
    assert missing == []
