"""Training: it learns, resumes after a kill, and leaves complete files."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version

import lightning.pytorch as pl
import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image as PilImage

from suraksha.datasets.cache import open_cache
from suraksha.datasets.loaders import (
    FULL,
    CacheDataset,
    EpochShuffle,
    classes_of,
    training_loader,
)
from suraksha.errors import BusyError, DataError, TrainError
from suraksha.files import lock
from suraksha.runs.folder import open_run
from suraksha.training.callbacks import RunLog
from suraksha.training.fit import ema_update, split_of, train
from suraksha.training.module import SegmentationModule


def rows_of(run):
    with (run.folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_the_files_of_a_run_folder(tiny_run, tiny_config):
    names = {p.name for p in tiny_run.folder.iterdir()}
    assert names == {
        "config.toml",
        "split.json",
        "environment.json",
        "metrics.csv",
        "curves.png",
        "last.ckpt",
        "finished.json",
    }
    assert tiny_run.config == tiny_config
    assert tiny_run.finished.epochs == 6
    assert tiny_run.finished.seconds > 0
    environment = json.loads((tiny_run.folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == version("torch")
    rows = rows_of(tiny_run)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-9)
    for key in ("train_loss", "validation_dice", "train_accuracy"):
        assert all(key in row for row in rows)


def test_training_lowers_the_loss(tiny_run):
    rows = rows_of(tiny_run)
    assert rows[-1]["train_loss"] < 0.95 * rows[0]["train_loss"]


def test_a_finished_run_is_not_trained_again(tiny_run, tiny_config, phantom_cache):
    before = {p: p.stat().st_mtime_ns for p in tiny_run.folder.iterdir()}
    again = train(tiny_config, phantom_cache, out=tiny_run.folder.parent, progress=False)
    assert {p: p.stat().st_mtime_ns for p in again.folder.iterdir()} == before


def test_the_same_seed_trains_the_same_network(tiny_run, tiny_config, phantom_cache, tmp_path):
    again = train(tiny_config, phantom_cache, out=tmp_path, progress=False)
    for a, b in zip(tiny_run.network().parameters(), again.network().parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


SCRIPT = """
import sys
from suraksha.runs.config import load_recipe
from suraksha.training.fit import train
train(load_recipe(sys.argv[1]), sys.argv[2], out=sys.argv[3], progress=False)
"""


def test_a_killed_run_resumes_to_the_same_network(tiny_run, tiny_config, phantom_cache, tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tomli_w.dumps(tiny_config.to_dict()))
    words = [sys.executable, "-c", SCRIPT, str(recipe), str(phantom_cache), str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / tiny_config.run_name
    while not (folder / "last.ckpt").is_file():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run = open_run(folder)
    assert run.finished is None
    with pytest.raises(TrainError, match="is not finished"):
        run.network()
    resumed = train(tiny_config, phantom_cache, out=tmp_path, progress=False)
    assert [row["epoch"] for row in rows_of(resumed)] == [1, 2, 3, 4, 5, 6]
    assert not [p for p in folder.iterdir() if "half" in p.name]
    for a, b in zip(tiny_run.network().parameters(), resumed.network().parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_cache_of_another_size_is_refused(tiny_config, phantom_cache, tmp_path):
    other = replace(tiny_config, data=replace(tiny_config.data, size=64))
    with pytest.raises(TrainError, match="suraksha data pack"):
        train(other, phantom_cache, out=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_split_is_refused(tiny_run, tiny_config, phantom_cache, tmp_path):
    folder = tmp_path / tiny_config.run_name
    folder.mkdir()
    for name in ("config.toml", "split.json"):
        (folder / name).write_bytes((tiny_run.folder / name).read_bytes())
    items = open_cache(phantom_cache)
    other = split_of(replace(tiny_config, data=replace(tiny_config.data, split=7)), items)
    other.save(folder / "split.json")
    with pytest.raises(TrainError, match="another config or split"):
        train(tiny_config, phantom_cache, out=tmp_path, progress=False)


@pytest.mark.parametrize("name", ["config.toml", "finished.json", "last.ckpt", "split.json"])
def test_a_damaged_run_is_reported(tiny_run, tmp_path, name):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    (folder / name).write_bytes(b"\xff\x00 nothing")
    with pytest.raises((TrainError, DataError)) as raised:
        open_run(folder).network()
    assert str(raised.value).count(". ") >= 1


def test_ctrl_c_keeps_the_finished_epochs(
    tiny_run, tiny_config, phantom_cache, tmp_path, monkeypatch
):
    save = RunLog.on_train_epoch_end

    def interrupted(self, trainer, module):
        save(self, trainer, module)
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(RunLog, "on_train_epoch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config, phantom_cache, out=tmp_path, progress=False)
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.setattr(RunLog, "on_train_epoch_end", save)
    resumed = train(tiny_config, phantom_cache, out=tmp_path, progress=False)
    for a, b in zip(tiny_run.network().parameters(), resumed.network().parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_recipes_of_other_mean_and_std_use_the_same_cache(tiny_config, phantom_root, tmp_path):
    short = replace(tiny_config, optim=replace(tiny_config.optim, epochs=1))
    for mean in (0.3, 0.4):
        config = replace(short, data=replace(short.data, mean=mean))
        train(config, phantom_root, out=tmp_path, progress=False)
    assert len(list(tmp_path.glob("tiny-*"))) == 2


def test_a_run_is_not_reused_for_corrected_masks(tiny_config, phantom_root, tmp_path):
    short = replace(tiny_config, optim=replace(tiny_config.optim, epochs=1))
    root, out = tmp_path / "data", tmp_path / "runs"
    shutil.copytree(phantom_root, root)
    train(short, root, out=out, progress=False)
    assert train(short, root, out=out, progress=False).finished, "nothing was changed"
    mask = next(path for path in sorted(root.rglob("*_mask.png")) if "normal" not in path.name)
    with PilImage.open(mask) as old:
        turned = np.flipud(np.asarray(old))
    PilImage.fromarray(turned).save(mask)
    for cache in out.glob("cache-*"):
        shutil.rmtree(cache)
    with pytest.raises(TrainError, match="other masks or classes"):
        train(short, root, out=out, progress=False)


def test_a_validation_part_without_lesions_is_refused(phantom_cache, tiny_config):
    """Patients of many frames do not fit a small share, single normal images do."""
    lump = [
        replace(item, group=item.name if item.normal else f"patient {n % 2}")
        for n, item in enumerate(open_cache(phantom_cache).items)
    ]
    cache = replace(open_cache(phantom_cache), items=tuple(lump))
    data = replace(tiny_config.data, protocol="clean", validation_fraction=0.25)
    with pytest.raises(DataError, match="no image with a lesion"):
        split_of(replace(tiny_config, data=data), cache)


def test_two_processes_do_not_train_one_run(tiny_config, phantom_cache, tmp_path):
    with (
        lock(tmp_path / tiny_config.run_name),
        pytest.raises(BusyError, match="another process"),
    ):
        train(tiny_config, phantom_cache, out=tmp_path, progress=False)


def test_another_folder_is_not_a_run(tmp_path):
    with pytest.raises(TrainError, match="is not a run"):
        open_run(tmp_path)
    with pytest.raises(DataError):
        train_from_nothing(tmp_path)


def train_from_nothing(folder):
    from suraksha.runs.config import TrainConfig

    train(TrainConfig(), folder / "absent", out=folder / "out", progress=False)


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = EpochShuffle(20, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)
    assert sorted(order(1, 3)) == list(range(20))


def test_batches_are_the_cache_s_images(phantom_cache):
    cache = open_cache(phantom_cache)
    names = [item.name for item in cache.items][:5]
    dataset = CacheDataset(cache, names[::-1])
    seen = 0
    for images, masks, classes in training_loader(dataset, batch_size=2, seed=0):
        assert images.dtype == masks.dtype == torch.uint8
        assert images.shape[1:] == masks.shape[1:] == (1, 32, 32)
        assert set(masks.unique().tolist()) <= {0, FULL}
        assert len(classes) == len(masks)
        seen += len(images)
    assert seen == 4, "the batch of one is left out"
    row = cache.select([names[0]])[0]
    assert (dataset[4][0][0].numpy() == cache.images[row]).all()
    assert (dataset[4][1][0].numpy() == FULL * cache.masks()[row]).all()
    assert classes_of(cache)[int(dataset[4][2])] == cache.items[row].label


def test_validation_images_monitor_the_training(tiny_config, phantom_cache, tmp_path):
    data = replace(tiny_config.data, protocol="clean", validation_fraction=0.3)
    short = replace(tiny_config, data=data, optim=replace(tiny_config.optim, epochs=1))
    run = train(short, phantom_cache, out=tmp_path, progress=False)
    assert run.split.validation
    assert "validation_dice" in rows_of(run)[0]
    unwatched = replace(short, data=replace(data, validation_fraction=0.0))
    run = train(unwatched, phantom_cache, out=tmp_path, progress=False)
    assert "validation_dice" not in rows_of(run)[0], "the test fold of 'clean' is never looked at"


def test_the_decay_of_the_average_warms_up():
    """The decay at step t is min(decay, (1 + t) / (10 + t))."""
    zero, one = torch.zeros(1), torch.ones(1)
    for step, kept in ((1, 2 / 11), (8, 0.5), (80, 0.9), (10_000, 0.99)):
        assert float(ema_update(0.99, one, zero, torch.tensor(step))) == pytest.approx(kept)
    assert float(ema_update(0.1, one, zero, 100)) == pytest.approx(0.1)


def test_the_initial_weights_fade_within_a_short_run():
    average = torch.ones(1)
    for step in range(1, 21):
        average = ema_update(0.999, average, torch.zeros(1), step)
    assert float(average) < 1e-6, "without the warm-up it would be 0.98"


def test_two_epochs_with_a_high_decay_give_trained_weights(tiny_config, phantom_cache, tmp_path):
    """The average is nearer to the trained weights than to the initial ones."""

    def parameters(network):
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    found = {}
    for decay in (0.0, 0.999):
        optim = replace(tiny_config.optim, epochs=2, ema_decay=decay, schedule="constant")
        config = replace(tiny_config, optim=optim)
        run = train(config, phantom_cache, out=tmp_path, progress=False)
        found[decay] = parameters(run.network())
    pl.seed_everything(tiny_config.seed, verbose=False)
    initial = parameters(SegmentationModule(tiny_config, 1).network)
    trained, average = found[0.0], found[0.999]
    assert float((average - trained).norm()) < 0.5 * float((initial - trained).norm())
