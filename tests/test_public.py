"""The public names: one table, all documented, loaded on first use."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import suraksha
from suraksha import errors
from suraksha.errors import MissingExtraError, SurakshaError

EXCEPTIONS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, SurakshaError)
}


def test_the_lists_agree():
    tree = ast.parse(Path(suraksha.__file__).read_text())
    typed = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.If)
        for line in node.body
        for alias in line.names
    }
    assert typed == suraksha._LAZY.keys()
    assert {*suraksha.__all__} == {*suraksha._LAZY, *EXCEPTIONS}
    assert suraksha.__all__ == sorted(suraksha.__all__)
    assert suraksha._EXTRA.keys() <= suraksha._LAZY.keys()


def test_dir_shows_public_names_only():
    assert dir(suraksha) == sorted([*suraksha.__all__, "__version__"])


@pytest.mark.torch
@pytest.mark.parametrize("name", suraksha.__all__)
def test_every_public_name_is_documented(name):
    value = getattr(suraksha, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        for attribute, member in vars(value).items():
            if not attribute.startswith("_") and (callable(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{name}.{attribute}"


def test_the_listings_name_what_is_there():
    assert suraksha.list_bundles()[0] == "suraksha-lite"
    assert "busi" in suraksha.list_datasets()
    assert {"suraksha", "unet"} <= set(suraksha.list_models())
    assert "paper" in suraksha.list_recipes()


@pytest.mark.torch
def test_functions_are_not_shadowed_by_modules():
    code = (
        "import numpy, suraksha as su\n"
        "mask = numpy.ones((3, 4), bool)\n"
        "assert su.measure(mask)[0].area_px == 12\n"
        "import suraksha.measurement.measure, suraksha.training.fit, suraksha.evaluation.evaluate\n"
        "assert su.measure(mask, su.Spacing.square(2.0))[0].area_mm2 == 48\n"
        "try: su.train()\nexcept TypeError as error: assert 'config' in str(error), error\n"
        "else: raise SystemExit(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_missing_extra_is_named(monkeypatch):
    def without_torch(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(suraksha, "_import_module", without_torch)
    monkeypatch.delitem(vars(suraksha), "train", raising=False)
    with pytest.raises(MissingExtraError, match=r"suraksha\[train\]"):
        suraksha.__getattr__("train")
    with pytest.raises(ModuleNotFoundError):
        suraksha.__getattr__("read_image")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        suraksha.__getattr__("nothing")


def test_the_import_is_fast():
    """Processor time, the best of several runs, less the start of Python itself."""

    def best(code):
        seconds = []
        for _ in range(7):
            before = os.times()
            subprocess.run([sys.executable, "-c", code], check=True)
            after = os.times()
            user, system = (after[kind] - before[kind] for kind in (2, 3))  # of child processes
            seconds.append(user + system)
        return min(seconds)

    assert best("import suraksha") - best("pass") < 0.05
