"""The wheel contains the data files and depends on the run side only."""

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from suraksha.inference.bundle import BUNDLES
from suraksha.runs.config import list_recipes

REPO = Path(__file__).resolve().parents[2]
RUN_SIDE = {"argcomplete", "msgspec", "numpy", "onnxruntime", "pillow", "scipy", "tqdm"}
# popular packages of this field under the GPL or AGPL
COPYLEFT = {
    "pyqt5",
    "pyqt6",
    "ultralytics",
    "pymupdf",
    "albumentationsx",
    "dwv",
    "pylibjpeg-libjpeg",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*words, str(REPO)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as file:
        yield file


def test_the_wheel_contains_the_data_files(wheel):
    names = set(wheel.namelist())
    wanted = {
        "suraksha/py.typed",
        "suraksha/datasets/clean_folds.csv",
        "suraksha/dicom/deidentify/ps315.csv",
    }
    static = REPO / "src" / "suraksha" / "web" / "static"
    wanted |= {f"suraksha/web/static/{path.name}" for path in static.iterdir()}
    wanted |= {f"suraksha/bundles/{name}.busi" for name in BUNDLES}
    wanted |= {f"suraksha/runs/recipes/{name}.toml" for name in list_recipes()}
    assert wanted <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "examples"))]


def test_only_the_run_side_is_required(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    lines = Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist")
    plain = {re.split(r"[<>=!~ ;\[]", line)[0].lower() for line in lines if "extra ==" not in line}
    assert plain == RUN_SIDE
    every = {re.split(r"[<>=!~ ;\[]", line)[0].lower() for line in lines}
    assert not every & COPYLEFT


def test_every_dependency_is_documented_and_pinned():
    pages = (REPO / "docs" / "explanation" / "dependencies.md").read_text()
    pins = (REPO / "constraints.txt").read_text().lower().replace("_", "-")
    project = (REPO / "pyproject.toml").read_text()
    block = project[project.index("dependencies = [") : project.index("[project.scripts]")]
    for name in re.findall(r'^  "([A-Za-z0-9-]+)', block, flags=re.MULTILINE):
        assert re.search(rf"\b{re.escape(name)}\b", pages), name
        assert re.search(rf"^{re.escape(name)}==", pins, re.MULTILINE), name
    assert "torch==2.13.0" in pins
