"""Fixtures for all tests."""

import importlib.util
import os
from collections import Counter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SHARED = REPO.parent / "shared" / "data"
OFFICIAL = "Dataset_BUSI_with_GT"


def _busi() -> Path | None:
    given = os.environ.get("SURAKSHA_BUSI")
    for place in [Path(given)] if given else [SHARED]:
        for folder in (place / OFFICIAL, place):
            if (folder / "benign").is_dir():
                return folder
    return None


BUSI = _busi()


def pytest_collection_modifyitems(items):
    if BUSI is None:
        skip = pytest.mark.skip(reason="BUSI is not here: set SURAKSHA_BUSI to its folder")
        for item in items:
            if item.get_closest_marker("busi"):
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter):
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.items():
        terminalreporter.write_sep("=", f"{count} tests LEFT OUT: {reason}", bold=True)


@pytest.fixture(scope="session")
def busi_root() -> Path:
    """The folder of the real BUSI; only for tests marked busi."""
    return BUSI


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
