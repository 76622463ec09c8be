"""``suraksha info BUNDLE`` and its model card."""

import json
import shutil

import pytest

from suraksha.cli.app import main
from suraksha.inference.bundle import DEFAULT_BUNDLE, find_bundle, read_bundle
from suraksha.reporting.model_card import model_card


@pytest.fixture
def mine(tmp_path):
    """A bundle by path."""
    return shutil.copy(find_bundle(), tmp_path / "mine.busi")


def test_only_the_card_is_printed(mine, capsys):
    page = model_card(read_bundle().card)
    for words in ([], [DEFAULT_BUNDLE], [str(mine)]):
        assert main(["info", *words, "--card"]) == 0
        assert capsys.readouterr().out == page


def test_the_card_as_json(capsys):
    assert main(["info", DEFAULT_BUNDLE, "--card", "--json"]) == 0
    assert capsys.readouterr().out == read_bundle().card.to_json()


def test_info_of_one_bundle(mine, capsys):
    assert main(["info", str(mine), "--json"]) == 0
    (bundle,) = json.loads(capsys.readouterr().out)["bundles"]
    assert (bundle["name"], bundle["default"]) == (DEFAULT_BUNDLE, False)
    assert bundle["sha256"] == read_bundle().sha256


def test_a_missing_bundle(tmp_path, capsys):
    assert main(["info", str(tmp_path / "absent.busi"), "--card"]) == 1
    assert "was not found" in capsys.readouterr().err
    assert main(["info", DEFAULT_BUNDLE[:-1], "--card"]) == 2
    assert f"Did you mean '{DEFAULT_BUNDLE}'" in capsys.readouterr().err
