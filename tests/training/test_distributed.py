"""Training in two processes on the CPU: started from here, and by torchrun."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tomli_w
import torch

from suraksha.datasets.augmentation import AugmentSpec
from suraksha.datasets.distributed import launched_rank, rank, summed
from suraksha.datasets.loaders import EpochShuffle
from suraksha.errors import TrainError
from suraksha.evaluation.summaries import read_metrics
from suraksha.runs.config import DevicesConfig, ModelConfig, OptimConfig, config_from_dict
from suraksha.runs.folder import open_run
from suraksha.training import fit
from suraksha.training.fit import train

# no batch norm and no dropout: two halves of a batch then give the gradient of the whole
CODE = """
from torch import nn

class Plain(nn.Module):
    divisor = 8

    def __init__(self, in_channels=1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 1, 5, padding=2)
        )

    def forward(self, x):
        return self.body(x)
"""


@pytest.fixture
def plain(tmp_path, monkeypatch, tiny_config):
    """A recipe whose result does not depend on how many processes share the work."""
    (tmp_path / "plain_net.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    optim = OptimConfig(epochs=3, batch_size=4, learning_rate=0.01, ema_decay=0.9)
    model = ModelConfig("plain_net:Plain")
    return replace(tiny_config, model=model, optim=optim, augment=AugmentSpec())


def two(config):
    return replace(config, train=DevicesConfig(devices=2))


def check_alike(one, other):
    """Two runs of one recipe: the same weights and the same pixels counted."""
    assert other.folder.name == one.folder.name, "the devices are not in the identity"
    ours, theirs = one.network().state_dict(), other.network().state_dict()
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, atol=2e-5, rtol=1e-4, msg=key)
    for a, b in zip(read_metrics(one.folder), read_metrics(other.folder), strict=True):
        for key in ("train_loss", "train_accuracy", "validation_loss", "validation_dice"):
            assert b[key] == pytest.approx(a[key], abs=2e-4), key


def test_two_processes_give_what_one_gives(plain, phantom_cache, tmp_path):
    one = train(plain, phantom_cache, out=tmp_path / "one", progress=False)
    assert len(one.split.train) % 4 == 0, "else an image comes twice"
    other = train(two(plain), phantom_cache, out=tmp_path / "two", progress=False)
    check_alike(one, other)
    assert (other.finished.devices, other.finished.nodes) == (2, 1)
    assert "devices" not in one.finished.to_dict()


def test_torchrun_starts_them_too_and_one_of_them_keeps_the_folder(plain, phantom_cache, tmp_path):
    one = train(plain, phantom_cache, out=tmp_path / "one", progress=False)
    (tmp_path / "two.toml").write_text(tomli_w.dumps(two(plain).to_dict()))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = ["train", tmp_path / "two.toml", "--data", phantom_cache, "--out", tmp_path / "out"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", "-m", "suraksha.cli.app", *map(str, words), "--quiet"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained 3 epochs") == 1, "only the first process reports"
    (folder,) = (tmp_path / "out").glob("tiny-*")
    check_alike(one, open_run(folder))


def test_the_order_is_shared_out_whole():
    whole = EpochShuffle(10, 3)
    whole.set_epoch(2)
    parts = []
    for place in range(4):
        part = EpochShuffle(10, 3, world=4)
        part.set_epoch(2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("suraksha.datasets.loaders.rank", lambda place=place: place)
            parts.append(list(part))
        assert len(part) == len(parts[-1]) == 3
    order = list(whole)
    woven = [parts[n % 4][n // 4] for n in range(12)]
    assert woven == [*order, *order[:2]]
    np.testing.assert_array_equal(np.sort(order), np.arange(10))


def test_a_process_alone_is_the_first(monkeypatch):
    value = torch.tensor([1, 2])
    assert rank() == 0
    assert summed(value) is value
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert launched_rank() is None
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert launched_rank() == 3
    monkeypatch.setenv("RANK", "1")
    assert launched_rank() == 1


def test_what_cannot_be_shared_out_is_refused(plain, phantom_cache, tmp_path):
    with pytest.raises(TrainError, match="a multiple of 3, at least 6"):
        replace(plain, train=DevicesConfig(devices=3))
    with pytest.raises(TrainError, match="must be 1 or more"):
        DevicesConfig(devices=0)
    with pytest.raises(TrainError, match="torchrun"):
        train(replace(plain, train=DevicesConfig(nodes=2)), phantom_cache, out=tmp_path)
    table = plain.to_dict()
    table["train"] = {"devices": 2}
    assert config_from_dict(table).sha256 == plain.sha256


def test_a_follower_without_a_first_gives_up(plain, phantom_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(fit, "TIMEOUT_S", 0.1)
    with pytest.raises(TrainError, match="timed out"):
        train(two(plain), phantom_cache, out=tmp_path)
