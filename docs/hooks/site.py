"""MkDocs hook: adds pages to the site that must never be out of date.

* A page of the Python API for every name of ``suraksha.__all__``, and an index of them. The names
  and the modules that define them are read from the source: nothing is imported, and torch is not
  needed.
* The notebook of ``examples/``, executed as the site is built. A cell that fails stops the build.
* The changelog.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CellExecutionError, ExecutePreprocessor

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "suraksha"
API = "api"
NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"
NOTEBOOK_PAGE = "tutorial/first_steps"
CHANGELOG = ROOT / "CHANGELOG.md"
CELL_SECONDS = 300
INDEX = """\
# Python API

Every public name is an attribute of the package:

```python
import suraksha as su
```

Names are loaded on first use, so the import itself is fast and needs neither torch nor numpy.

| name | what it is |
|---|---|
{rows}
"""
PAGE = """\
# su.{name}

::: {path}
"""


@dataclass(frozen=True)
class PublicName:
    """A name of ``suraksha.__all__``, the dotted path of its definition and its first sentence."""

    name: str
    path: str
    summary: str


def public_names(source: Path = SOURCE) -> list[PublicName]:
    """Read the public names of the package from its source.

    Raises:
        ValueError: A name of ``__all__`` has no import or definition, or no docstring.
    """
    tree = ast.parse((source / "__init__.py").read_text(encoding="utf-8"))
    places = _imports(tree, source.name)
    found = []
    for name in _all(tree):
        if name not in places:
            raise ValueError(f"suraksha.__all__ names {name}, which __init__.py does not import")
        module, original = places[name]
        summary = _summary(_file(source, module), original)
        if not summary:
            raise ValueError(f"{module}.{original} has no docstring")
        found.append(PublicName(name, f"{module}.{original}", summary))
    return found


def _all(tree: ast.Module) -> list[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(one, ast.Name) and one.id == "__all__" for one in targets):
            return list(ast.literal_eval(node.value))
    raise ValueError("__init__.py has no __all__")


def _imports(tree: ast.Module, package: str) -> dict[str, tuple[str, str]]:
    """Module and original name of all that is imported from or defined in ``__init__.py``."""
    places = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            places |= {one.asname or one.name: (node.module, one.name) for one in node.names}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            places[node.name] = (package, node.name)
    return places


def _file(source: Path, module: str) -> Path:
    stem = source.parent.joinpath(*module.split("."))
    file = stem.with_suffix(".py")
    return file if file.exists() else stem / "__init__.py"


def _summary(file: Path, name: str) -> str:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            text = ast.get_docstring(node) or ""
            return " ".join(text.split("\n\n")[0].split())
    return ""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the API pages to the navigation entry of that name."""
    try:
        names = public_names()
    except ValueError as error:
        raise PluginError(f"the API reference cannot be built: {error}") from error
    pages = [{one.name: f"{API}/{one.name}.md"} for one in names]
    for entry in config.nav or []:
        if "Python API" in entry:
            entry["Python API"] = [f"{API}/index.md", *pages]
            return config
    raise PluginError("mkdocs.yml has no navigation entry 'Python API'")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    names = public_names()
    rows = "\n".join(f"| [`su.{one.name}`]({one.name}.md) | {one.summary} |" for one in names)
    pages: dict[str, str | bytes] = {
        f"{API}/index.md": INDEX.format(rows=rows),
        **{f"{API}/{one.name}.md": PAGE.format(name=one.name, path=one.path) for one in names},
        **_notebook(),
        "changelog.md": CHANGELOG.read_text(encoding="utf-8"),
    }
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def _notebook() -> dict[str, str | bytes]:
    """The executed notebook as a Markdown page, and its figures."""
    exporter = MarkdownExporter()
    exporter.register_preprocessor(
        ExecutePreprocessor(timeout=CELL_SECONDS, kernel_name="python3"), enabled=True
    )
    resources = {
        "metadata": {"path": str(NOTEBOOK.parent)},
        "output_files_dir": f"{Path(NOTEBOOK_PAGE).name}_files",
    }
    try:
        text, found = exporter.from_filename(str(NOTEBOOK), resources=resources)
    except CellExecutionError as error:
        raise PluginError(f"{NOTEBOOK} cannot be executed:\n{error}") from error
    folder = Path(NOTEBOOK_PAGE).parent.as_posix()
    figures = {f"{folder}/{name}": content for name, content in found["outputs"].items()}
    return {f"{NOTEBOOK_PAGE}.md": text, **figures}
