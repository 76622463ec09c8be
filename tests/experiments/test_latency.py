"""The table of the whole path: every row timed, ratios to the first, memory of a fresh process."""

import json

import pytest

from suraksha.cli.app import main
from suraksha.experiments import latency
from suraksha.inference.bundle import BUNDLES, DEFAULT_BUNDLE


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """One size and one small network parallel the bundles; the shape of the table is the same."""
    monkeypatch.setattr(latency, "PATCH_SIZES", (64,))
    monkeypatch.setattr(latency, "OTHER_NETWORKS", (("small", "suraksha", {"width": 4}),))
    monkeypatch.setattr(latency, "SHAPE", (120, 160))


def test_everything_is_timed_and_written(tmp_path, capsys):
    assert main(["bench", "speed", "--rounds", "2", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "speed.json").read_text())
    rows = record["rows"]
    whole = [row for row in rows if row["what"] == "whole path"]
    parallel = [row for row in rows if row["what"] == "whole path, in parallel"]
    alone = [row for row in rows if row["what"] == "network alone"]
    engines = {row["engine"] for row in whole}
    assert {"onnxruntime", "openvino"} <= engines
    assert len(whole) == len(BUNDLES) * len(engines) * 2
    assert len(parallel) == len(BUNDLES) * len(engines)
    assert {row["network"] for row in alone} == {*BUNDLES, f"{DEFAULT_BUNDLE}, 8 bits", "small"}
    assert "torch eager" in {row["engine"] for row in alone}
    assert {row["threads"] for row in rows} == {1, 2}
    assert all(row["milliseconds"] >= row["min_milliseconds"] > 0 for row in rows)
    assert 20 < record["peak_memory_mib"] < 2000
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(rows) + 4, "title, empty line, head, rule, rows"
    written = (tmp_path / "speed.md").read_text()
    assert written.splitlines()[0] == lines[0]
    assert written.count("\n| ") == len(rows) + 2
    first = written.split("\n| ")[3]
    assert first.rstrip(" |\n").endswith("1.00")
