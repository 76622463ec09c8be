"""The modules that are imported at start, in a fresh process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as PilImage

from suraksha.datasets.phantom import sample_phantom

BUILD = ("torch", "lightning", "monai", "kornia", "ray", "matplotlib", "sklearn")
BUILD_PACKAGES = (
    "suraksha.datasets",
    "suraksha.networks",
    "suraksha.runs",
    "suraksha.training",
    "suraksha.evaluation",
    "suraksha.experiments",
    "suraksha.paper",
    "suraksha.compute",
)


def modules_after(code: str, home: Path | None = None) -> set[str]:
    environment = dict(os.environ)
    if home is not None:
        environment |= {"HOME": str(home), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_import_loads_neither_numpy_nor_torch():
    loaded = modules_after("import suraksha")
    assert "suraksha" in loaded
    assert not loaded & {"numpy", "scipy", "PIL", "onnxruntime", *BUILD}


def test_every_public_name_can_be_imported():
    code = (
        "import suraksha\n"
        "for name in suraksha.__all__: getattr(suraksha, name)\n"
        "assert set(suraksha.__all__) <= set(dir(suraksha))\n"
        "try:\n    suraksha.nothing\nexcept AttributeError as e: assert 'nothing' in str(e)\n"
        "else: raise SystemExit(3)"
    )
    assert "torch" in modules_after(code)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    PilImage.fromarray(sample_phantom(4, 1).image.pixels).save(path)
    return path


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_run_side_never_loads_the_build_side_and_writes_nothing_to_home(
    tmp_path, image, engine
):
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import suraksha as su\n"
        f"image = su.as_image({str(image)!r}, spacing=0.1)\n"
        f"segment = su.load_segmenter(engine={engine!r})\n"
        "result = segment(image)\n"
        "su.measure(result.mask, image.spacing)\n"
        "result.to_dict(), result.overlay(), result._repr_html_()"
    )
    loaded = modules_after(code, home)
    assert engine in loaded
    assert not loaded & {*BUILD, *BUILD_PACKAGES, "openvino_telemetry"}
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("verb", ["segment", "info", "--help"])
def test_the_command_line_runs_without_torch(tmp_path, image, verb):
    home = tmp_path / "home"
    home.mkdir()
    words = {
        "segment": ["segment", str(image), "--out", str(tmp_path / "out")],
        "info": ["info", "--json"],
        "--help": ["segment", "--help"],
    }[verb]
    code = (
        "from suraksha.cli.app import main\n"
        f"try: code = main({words!r})\nexcept SystemExit as e: code = e.code\n"
        "assert code == 0, code"
    )
    loaded = modules_after(code, home)
    assert not loaded & {*BUILD, *BUILD_PACKAGES}
    assert list(home.rglob("*")) == []


def test_listings_need_no_torch(tmp_path):
    code = "import suraksha as su\nsu.list_bundles(), su.list_models(), su.list_datasets()"
    assert not modules_after(code) & {*BUILD}


def test_the_build_side_writes_nothing_to_home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import os; os.environ.pop('MPLCONFIGDIR', None)\n"
        "import suraksha.training.fit, suraksha.evaluation.export, suraksha.evaluation.curves\n"
        "from pathlib import Path\n"
        f"suraksha.evaluation.curves.draw_curves([], Path({str(tmp_path / 'c.png')!r}), title='')"
    )
    assert "matplotlib" in modules_after(code, home)
    assert list(home.rglob("*")) == []


def test_the_data_verbs_run_without_torch(tmp_path):
    code = (
        "from suraksha.cli.app import main\n"
        f"assert main(['data', 'phantom', {str(tmp_path / 'set')!r}, '--count', '4']) == 0\n"
        f"assert main(['data', 'check', {str(tmp_path / 'set')!r}]) == 0"
    )
    assert not modules_after(code) & {*BUILD}
