"""The public names: three lists that must agree."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import suraksha
from suraksha.errors import MissingExtraError


def test_the_lists_agree():
    tree = ast.parse(Path(suraksha.__file__).read_text())
    typed = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.If)
        for line in node.body
        for alias in line.names
    }
    lazy = {**suraksha._RUN_SIDE, **suraksha._BUILD_SIDE}
    assert typed == lazy.keys()
    assert {*suraksha.__all__} == {*lazy, "SurakshaError"}
    assert suraksha.__all__ == sorted(suraksha.__all__)


@pytest.mark.torch
def test_names_of_functions_are_importable():
    code = (
        "import numpy, suraksha as su\n"
        "mask = numpy.ones((3, 4), bool)\n"
        "assert su.measure(mask)[0].area_px == 12\n"
        "import suraksha.measurement.calipers, suraksha.training.fit, suraksha.inference.segmenter\n"
        "assert su.measure(mask, su.Spacing.square(2.0))[0].area_mm2 == 48\n"
        "assert suraksha.measurement.calipers.hull and suraksha.training.fit.train\n"
        "try: su.train()\nexcept TypeError as error: assert 'config' in str(error), error\n"
        "else: raise SystemExit(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_missing_extra_is_named(monkeypatch):
    def without_torch(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(suraksha, "import_module", without_torch)
    monkeypatch.delitem(vars(suraksha), "train", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'suraksha\[train\]'"):
        suraksha.__getattr__("train")
    with pytest.raises(ModuleNotFoundError):
        suraksha.__getattr__("read_image")
