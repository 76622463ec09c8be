"""A plan on a local Ray: the same results, also where a worker is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w

from suraksha.cli.app import main

PLAN = '[[runs]]\nrecipe = "tiny.toml"\nprotocol = "paper"\nsplits = [0, 1]\n'
EPOCHS = 40


@pytest.fixture
def plan(tmp_path, tiny_config):
    tables = tiny_config.to_dict()
    tables["optim"]["epochs"] = EPOCHS
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(tables))
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path / "plan.toml"


@pytest.fixture
def start(tmp_path, plan, phantom_root):
    """Start the plan as a user would; one thread, so that sums are made in one order."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    running = []

    def begin(*words):
        command = ["bench", "run", plan, "--data", phantom_root, *words]
        process = subprocess.Popen(
            [sys.executable, "-m", "suraksha.cli.app", *map(str, command)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def worker_of(run: str) -> int | None:
    """The process of the Ray worker that trains a run: its title holds the run's name."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = place.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if title.startswith("ray::") and run in title:
            return int(place.parent.name)
    return None


def figures(out: Path):
    """A report without what the clock says."""
    report = json.loads((out / "report.json").read_bytes())
    for group in report["groups"]:
        for row in group["rows"]:
            del row["seconds"]
    return report


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker process in /proc")
def test_a_plan_on_ray_gives_what_it_gives_here_and_a_killed_worker_is_replaced(start, tmp_path):
    there, here = tmp_path / "ray", tmp_path / "local"
    process = start("--out", there, "--compute", "ray", "--workers", "2", "--quiet")
    killed = None
    while process.poll() is None and killed is None:
        for half in there.glob("tiny-*/last.ckpt"):
            if not half.with_name("finished.json").exists():
                killed = worker_of(half.parent.name)
                break
        time.sleep(0.02)
    assert killed is not None, process.communicate()
    os.kill(killed, signal.SIGKILL)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    process = start("--out", here, "--quiet")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert figures(there) == figures(here)
    assert (figures(there)["missing"], figures(there)["failed"]) == ([], {})
    for run in there.glob("tiny-*/metrics.csv"):
        assert len(run.read_text().splitlines()) == EPOCHS + 1


def test_an_unreachable_cluster_is_an_error(plan, phantom_root, tmp_path, capsys):
    words = ["bench", "run", plan, "--data", phantom_root, "--out", tmp_path / "out"]
    code = main([*map(str, words), "--compute", "ray", "--address", "127.0.0.1:9"])
    errors = capsys.readouterr().err
    assert code == 1
    assert "127.0.0.1:9 cannot be reached" in errors
    assert "ray start --head" in errors
