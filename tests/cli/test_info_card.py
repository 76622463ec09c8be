"""``suraksha info BUNDLE`` and its model card."""

import json
import shutil
import subprocess
import sys

import pytest

from suraksha.cli.app import main
from suraksha.inference.bundle import DEFAULT_BUNDLE, find_bundle, read_bundle
from suraksha.reporting.model_card import model_card


@pytest.fixture
def mine(tmp_path):
    """A bundle by path."""
    return shutil.copy(find_bundle(), tmp_path / "mine.busi")


def test_the_page_is_printed_and_nothing_else(mine, capsys):
    page = model_card(read_bundle().card)
    for words in ([], [DEFAULT_BUNDLE], [str(mine)]):
        assert main(["info", *words, "--card"]) == 0
        assert capsys.readouterr().out == page


def test_as_json_it_is_the_card_itself(capsys):
    assert main(["info", DEFAULT_BUNDLE, "--card", "--json"]) == 0
    assert capsys.readouterr().out == read_bundle().card.to_json()


def test_info_of_one_bundle(mine, capsys):
    assert main(["info", str(mine), "--json"]) == 0
    (bundle,) = json.loads(capsys.readouterr().out)["bundles"]
    assert (bundle["name"], bundle["default"]) == (DEFAULT_BUNDLE, False)
    assert bundle["sha256"] == read_bundle().sha256


def test_a_bundle_that_is_not_there(tmp_path, capsys):
    assert main(["info", str(tmp_path / "absent.busi"), "--card"]) == 1
    assert "was not found" in capsys.readouterr().err
    assert main(["info", DEFAULT_BUNDLE[:-1], "--card"]) == 2
    assert f"Did you mean '{DEFAULT_BUNDLE}'" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m suraksha.cli.app info --card | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("# Model card")
    assert done.stderr == ""
