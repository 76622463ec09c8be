"""Print the shape of the source: sizes, import cycles, ``Any``, forbidden words, documentation.

Usage: python tools/shape.py [--root FOLDER] [--json]

Exits with 1 where a file is longer than 400 lines, modules import each other in a cycle (imports
inside functions count, those under ``if TYPE_CHECKING`` do not), or a word is forbidden
(``words.py``).
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from words import HERE, check

PACKAGE = "suraksha"
MAX_LINES = 400
NO_CODE = {"COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER", "ENCODING"}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Shape:
    """What is measured.

    Args:
        files: Number of Python files of the package.
        code_lines: Their lines without blank lines, comments and docstrings.
        statements: Their statements; unlike lines, these do not depend on the formatting.
        largest_file: The longest file, relative to the package.
        largest_file_lines: All of its lines.
        cycles: Groups of modules that import each other.
        any_count: Number of ``Any`` in annotations and type aliases.
        forbidden_words: Hits of the word list in the whole repository.
        public_names: Number of public functions, classes and methods.
        documented_percent: How many of these have a docstring.
    """

    files: int
    code_lines: int
    statements: int
    largest_file: str
    largest_file_lines: int
    cycles: list[list[str]]
    any_count: int
    forbidden_words: int
    public_names: int
    documented_percent: float

    @property
    def faults(self) -> list[str]:
        """What must not be."""
        found = []
        if self.largest_file_lines > MAX_LINES:
            found.append(f"{self.largest_file} has more than {MAX_LINES} lines")
        found += [f"import cycle: {' -> '.join([*cycle, cycle[0]])}" for cycle in self.cycles]
        if self.forbidden_words:
            found.append(f"{self.forbidden_words} forbidden words: make words lists them")
        return found


def measure_shape(root: Path, *, tools: Path = HERE) -> Shape:
    """Measure the package in ``src`` of a repository.

    Args:
        root: The repository.
        tools: The folder of the word list.
    """
    source = root / "src" / PACKAGE
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(source.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    lengths = {path: len(text.splitlines()) for path, text in texts.items()}
    largest = max(lengths, key=lengths.__getitem__)
    documented = [ast.get_docstring(node) is not None for node in _all_public(trees)]
    return Shape(
        files=len(texts),
        code_lines=sum(code_lines(text) for text in texts.values()),
        statements=sum(map(count_statements, trees.values())),
        largest_file=largest.relative_to(source).as_posix(),
        largest_file_lines=lengths[largest],
        cycles=find_cycles({module_name(path, source): tree for path, tree in trees.items()}),
        any_count=sum(map(count_any, trees.values())),
        forbidden_words=len(check(root, folder=tools)[0]),
        public_names=len(documented),
        documented_percent=100 * sum(documented) / max(len(documented), 1),
    )


def code_lines(text: str) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if tokenize.tok_name[token.type] not in NO_CODE:
            used |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | Definition) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            used -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(used)


def count_statements(tree: ast.Module) -> int:
    """Statements at any depth, docstrings among them."""
    return sum(isinstance(node, ast.stmt) for node in ast.walk(tree))


def count_any(tree: ast.Module) -> int:
    """Uses of ``Any``, its import apart."""
    return sum(
        (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
        for node in ast.walk(tree)
    )


def _all_public(trees: dict[Path, ast.Module]) -> Iterator[Definition]:
    for tree in trees.values():
        yield from public_definitions(tree)


def public_definitions(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Public functions, classes and their public methods, not those inside functions."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


def module_name(path: Path, source: Path) -> str:
    """The dotted name of a file; that of a package for ``__init__.py``."""
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_cycles(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Groups of modules that reach each other by imports, each in an order in which they do."""
    graph = {name: sorted(set(_imports(tree, trees)) - {name}) for name, tree in trees.items()}
    found: list[list[str]] = []
    in_cycle: set[str] = set()
    for name in sorted(graph):
        way = None if name in in_cycle else _way_back(name, graph)
        if way:
            found.append(way)
            in_cycle |= set(way)
    return found


def _way_back(start: str, graph: dict[str, list[str]]) -> list[str] | None:
    """The shortest way from a module to itself."""
    came_from = dict.fromkeys(graph[start], start)
    waiting = list(graph[start])
    for name in waiting:  # grows as it runs
        if start in graph[name]:
            way = [name]
            while way[0] != start:
                way.insert(0, came_from[way[0]])
            return way
        for target in graph[name]:
            if target not in came_from:
                came_from[target] = name
                waiting.append(target)
    return None


def _imports(tree: ast.AST, modules: dict[str, ast.Module]) -> Iterator[str]:
    """The package's modules that a module imports, at any depth but for type checking."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield from _imports(other, modules)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                target = submodule if submodule in modules else node.module or ""
                if target in modules:
                    yield target
        else:
            yield from _imports(node, modules)


def main(arguments: list[str] | None = None) -> int:
    """Print the shape; 1 where something must not be."""
    parser = argparse.ArgumentParser(description="Print the shape of the source.")
    parser.add_argument("--root", type=Path, default=HERE.parent, help="the repository")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    shape = measure_shape(options.root.resolve())
    if options.json:
        print(json.dumps({**asdict(shape), "faults": shape.faults}, indent=2))
        return 1 if shape.faults else 0
    rows = {
        "files": shape.files,
        "code lines": shape.code_lines,
        "statements": shape.statements,
        "largest file": f"{shape.largest_file}, {shape.largest_file_lines} lines",
        "import cycles": len(shape.cycles),
        "Any in annotations": shape.any_count,
        "forbidden words": shape.forbidden_words,
        "public names": shape.public_names,
        "with docstring": f"{shape.documented_percent:.1f} %",
    }
    for name, value in rows.items():
        print(f"{name:20} {value}")
    for fault in shape.faults:
        print(f"FAULT {fault}")
    return 1 if shape.faults else 0


if __name__ == "__main__":
    sys.exit(main())
