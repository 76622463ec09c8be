"""Fixtures for all tests."""

import ast
import importlib.util
import os
from collections import Counter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SHARED = REPO.parent / "shared" / "data"
# data set: (variable that names its folder, official folder, what the folder holds)
REAL_DATA = {
    "busi": ("SURAKSHA_BUSI", "Dataset_BUSI_with_GT", "benign"),
    "bus-bra": ("SURAKSHA_BUSBRA", "BUSBRA", "bus_data.csv"),
    "breast": ("SURAKSHA_BREAST", "BrEaST", "BrEaST-Lesions_USG-images_and_masks"),
}


def _real(name: str) -> Path | None:
    variable, official, content = REAL_DATA[name]
    given = os.environ.get(variable)
    for place in [Path(given)] if given else [SHARED]:
        for folder in (place / official, place):
            if (folder / content).exists():
                return folder
    return None


ROOTS = {name: _real(name) for name in REAL_DATA}


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "realdata(name): needs a real data set; see REAL_DATA in tests/conftest.py"
    )


# The run side is tested without torch too (`make test-run-side`). There, test files that import
# the build side or a package that is not installed are left out and counted in the summary.
HAS_TORCH = importlib.util.find_spec("torch") is not None
BUILD_SIDE = {"training", "networks", "evaluation", "experiments", "paper", "runs"}


def _imports(path: Path) -> set[str]:
    """What a test file, and those beside it that it imports, import when they are loaded."""
    found: set[str] = set()
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found |= _imports(path.with_name(f"{node.module}.py"))
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)
    return found


def _needs_the_build_side(name: str) -> bool:
    package, _, rest = name.partition(".")
    if package == "suraksha":
        return rest.partition(".")[0] in BUILD_SIDE
    return importlib.util.find_spec(package) is None


LEFT_OUT = [
    path
    for path in sorted(Path(__file__).parent.rglob("test_*.py"))
    if not HAS_TORCH and any(map(_needs_the_build_side, _imports(path)))
]


def pytest_ignore_collect(collection_path):
    return True if collection_path in LEFT_OUT else None


def pytest_collection_modifyitems(items):
    for item in items:
        wanted = [name for mark in item.iter_markers("realdata") for name in mark.args]
        if not HAS_TORCH and item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skip(reason="torch is not installed"))
        if item.get_closest_marker("busi"):
            wanted.append("busi")
        for name in wanted:
            if ROOTS[name] is None:
                variable = REAL_DATA[name][0]
                reason = f"{name} is not here: set {variable} to its folder"
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.items():
        terminalreporter.write_sep("=", f"{count} tests LEFT OUT: {reason}", bold=True)
    if LEFT_OUT:
        text = f"{len(LEFT_OUT)} test files LEFT OUT: they need the build side"
        terminalreporter.write_sep("=", text, bold=True)


@pytest.fixture(scope="session")
def busi_root() -> Path:
    """The folder of the real BUSI; only for tests marked busi."""
    return ROOTS["busi"]


@pytest.fixture(scope="session")
def real_roots() -> dict[str, Path]:
    """The folders of the real data sets by name; only for tests marked realdata."""
    return {name: root for name, root in ROOTS.items() if root is not None}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """No setting of the machine leaks into a test."""
    for name in ("ORT_DISABLE_TELEMETRY", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory) -> Path:
    """A small synthetic data set in BUSI's layout."""
    from suraksha.datasets.phantom_set import write_phantoms

    folder = tmp_path_factory.mktemp("phantoms") / "set"
    write_phantoms(folder, 18, seed=1, shape=(96, 120))
    return folder


@pytest.fixture(scope="session")
def phantom_cache(phantom_root, tmp_path_factory) -> Path:
    """The same, packed at 32 px."""
    from suraksha.datasets.cache import pack
    from suraksha.preprocessing import Preparation

    folder = tmp_path_factory.mktemp("packed") / "cache"
    pack(phantom_root, folder, preparation=Preparation(32, 32))
    return folder


@pytest.fixture(scope="session")
def tiny_config():
    """A recipe that trains in seconds."""
    pytest.importorskip("torch", reason="torch is not installed")
    from suraksha.runs.config import config_from_dict

    return config_from_dict(
        {
            "name": "tiny",
            "model": {"name": "suraksha", "options": {"width": 4}},
            "data": {"size": 32, "protocol": "paper"},
            "optim": {
                "epochs": 6,
                "batch_size": 4,
                "learning_rate": 0.01,
                "schedule": "cosine",
                "warmup_epochs": 0.5,
                "clip_norm": 1.0,
                "ema_decay": 0.9,
            },
            "loss": {"bce": 1.0, "dice": 1.0},
            "augment": {"flip": 0.5, "rotate_degrees": 10, "gamma": 0.2, "noise": 0.01},
        }
    )


@pytest.fixture(scope="session")
def tiny_run(tiny_config, phantom_cache, tmp_path_factory):
    """A finished run of that recipe."""
    from suraksha.training.fit import train

    return train(tiny_config, phantom_cache, out=tmp_path_factory.mktemp("runs"), progress=False)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run, phantom_root, tmp_path_factory) -> Path:
    """That run's bundle."""
    from suraksha.evaluation.export import export

    path = tmp_path_factory.mktemp("bundles") / "tiny.busi"
    export(tiny_run, path, data=phantom_root)
    return path


@pytest.fixture(scope="session")
def make_dicom():
    """The module that writes synthetic DICOM files."""
    path = Path(__file__).parent / "dicom" / "make.py"
    spec = importlib.util.spec_from_file_location("suraksha_make_dicom", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
