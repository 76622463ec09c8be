"""Train a network: config and pictures in, a finished run out. A killed run goes on."""

from __future__ import annotations

import json
import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerStatus
from torch import Tensor
from tqdm import tqdm

from suraksha.data.cache import Cache, is_cache, open_cache, pack
from suraksha.data.layout import Case, locate
from suraksha.data.loaders import CacheDataset, classes_of, plain_loader, training_loader
from suraksha.data.splits import Split, hold_out, make_split
from suraksha.errors import TrainError
from suraksha.files import lock, write_text
from suraksha.imaging.prepare import Preparation
from suraksha.models.zoo import load_pretrained
from suraksha.train.callbacks import ProgressBar, RunLog
from suraksha.train.config import TrainConfig
from suraksha.train.module import SegmentationModule
from suraksha.train.run import Run, device_name, open_run, start_run
from suraksha.train.run_validation import write_fits
from suraksha.train.targets import soft_targets


def split_of(config: TrainConfig, cache: Cache, *, lists: Path | None = None) -> Split:
    """The split that a config asks for.

    Args:
        config: Protocol, number and validation share.
        cache: The pictures.
        lists: Folder with the ``community`` list files.

    Raises:
        DataError: The pictures do not fit the protocol.
    """
    data = config.data
    split = make_split(
        cache.items,
        protocol=data.protocol,
        number=data.number,
        lists=lists,
        dataset=cache.dataset,
    )
    if data.validation_share:
        split = hold_out(split, cache.items, share=data.validation_share, seed=config.seed)
    return split


def cache_for(config: TrainConfig, data: str | Path, *, out: Path, progress: bool) -> Cache:
    """The cache that ``data`` is, or one packed from the data set that it is, under ``out``.

    Raises:
        DataError: ``data`` is neither, or is broken.
    """
    if is_cache(data):
        return open_cache(data)
    wanted = config.data
    colour = "" if wanted.channels == 1 else f"x{wanted.channels}"
    folder = out / f"cache-{locate(data)[1].name}-{wanted.size}{colour}"

    # mean and std are the recipe's: they do not change what is packed
    preparation = Preparation(wanted.size, wanted.size, wanted.channels)

    def bar(cases: Sequence[Case]) -> Iterable[Case]:
        return tqdm(cases, desc="packing", unit="picture", disable=not progress)

    return pack(data, folder, preparation=preparation, progress=bar)


def train(
    config: TrainConfig,
    data: str | Path,
    *,
    out: str | Path,
    lists: Path | None = None,
    progress: bool = True,
) -> Run:
    """Train, or go on training, until the config's last epoch.

    The last epoch's weights are the result (averaged where the recipe says so): no epoch is chosen
    by its score. Where the split has no validation part, the curves of ``paper`` and ``community``
    watch the test part, as those protocols do; that of ``clean`` is never looked at.

    Args:
        config: What to train.
        data: A cache of the config's size, or a data set, of which one is packed under ``out``.
        out: The run's folder is made in here, named by recipe, protocol and config hash.
        lists: Folder with the ``community`` list files.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The finished run.

    Raises:
        TrainError: The cache is of another size, the network's second output and the recipe or the
            cache's classes do not fit each other, or the folder belongs to another run.
        DataError: The pictures do not fit the protocol.
        BusyError: Another process trains this run.
    """
    cache = cache_for(config, data, out=Path(out), progress=progress)
    packed, wanted = cache.preparation, config.data.preparation
    if (packed.shape, packed.channels) != (wanted.shape, wanted.channels):
        raise TrainError(
            f"cache {cache.folder} was packed as {cache.preparation}",
            f"the recipe wants {wanted}",
            f"Give --size {packed.height}, or the data set itself as --data, or pack another: "
            f"suraksha data pack ROOT CACHE --size {wanted.height} --channels {wanted.channels}",
        )
    check_classes(config, cache)
    split = split_of(config, cache, lists=lists)
    with lock(Path(out) / config.run_name):
        run = start_run(Path(out), config, split=split)
        if run.finished is None:
            _finish(run, cache, progress)
        return open_run(run.folder)


def check_classes(config: TrainConfig, cache: Cache) -> None:
    """Refuse a second output that is not trained, is not there, or counts other classes.

    Raises:
        TrainError: It is one of these.
    """
    told, weight = config.classes, config.loss.classes
    if bool(told) != bool(weight):
        has = f"tells {told} classes" if told else "tells none"
        raise TrainError(
            f"[loss] classes = {weight:g} does not fit the network",
            f"this {config.model.name} {has}, and a second output is there to be trained",
            "Set [loss] classes = 0 and no [model] options.classes, or both above 0; of the "
            "networks, suraksha-lite can have a second output",
        )
    names = classes_of(cache)
    if told and told != len(names):
        raise TrainError(
            f"[model] options.classes = {told} does not fit the cache {cache.folder}",
            f"its pictures have {len(names)}: {', '.join(names)}",
            f"Set options.classes = {len(names)}",
        )


def _finish(run: Run, cache: Cache, progress: bool) -> None:
    with warnings.catch_warnings():
        _quiet_lightning()
        log = _fit(run, cache, progress)
    done = {
        "seconds": round(log.seconds, 2),
        "epochs": len(log.rows),
        "device": device_name(),
        "dataset": cache.dataset,
        "cache_sha256": cache.sha256,
    }
    write_fits(replace(run, finished=done), cache)
    write_text(run.folder / "finished.json", json.dumps(done, indent=2) + "\n")


def _fit(run: Run, cache: Cache, progress: bool) -> RunLog:
    config, split = run.config, run.split
    pl.seed_everything(config.seed, verbose=False)
    pictures = CacheDataset(cache, split.train, soft=soft_targets(config.data, cache, split=split))
    batches = training_loader(pictures, batch_size=config.optim.batch_size, seed=config.seed)
    watched = split.validation or (() if split.protocol == "clean" else split.test)
    log = RunLog(run.folder, run.config.run_name)
    callbacks: list[pl.Callback] = [log]
    if progress:
        callbacks.append(ProgressBar(config.run_name))
    if config.optim.ema_decay:
        callbacks.append(WeightAveraging(avg_fn=moving_average(config.optim.ema_decay)))
    module = SegmentationModule(config, len(batches))
    checkpoint = str(run.checkpoint) if run.checkpoint.is_file() else None
    if config.model.pretrained and checkpoint is None:
        load_pretrained(module.network)
    if torch.cuda.is_available():
        module.network.compile()
    trainer = _trainer(config, run.folder, callbacks)
    size = config.optim.batch_size
    watch = plain_loader(CacheDataset(cache, watched), batch_size=size) if watched else None
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, batches, watch, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:
        # Lightning turns Ctrl-C into an exit and leaves the process deaf to the next one
        if trainer.state.status != TrainerStatus.INTERRUPTED:
            raise
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from stop
    return log


def moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """An exponential moving average that begins as a plain mean, so that short runs count too.

    The decay after ``n`` steps is ``min(decay, (1 + n) / (10 + n))``.
    """

    def _average(mean: Tensor, current: Tensor, count: Tensor) -> Tensor:
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        return kept * mean + (1 - kept) * current  # batch norm's step count is no float

    return _average


def _trainer(config: TrainConfig, folder: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=config.optim.epochs,
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        gradient_clip_val=config.optim.clip_norm or None,
        callbacks=callbacks,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _quiet_lightning() -> None:
    """Leave out advice that does not apply: the pictures are in memory, workers would only copy."""
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*number of training batches.*")
    warnings.filterwarnings("ignore", message=".*no `val_dataloader`.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
