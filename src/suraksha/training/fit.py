"""Train a network: config and images in, a finished run out. A killed run resumes."""

from __future__ import annotations

import json
import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerStatus
from torch import Tensor
from tqdm import tqdm

from suraksha.datasets.cache import Cache, is_cache, open_cache, pack, save_cache
from suraksha.datasets.distributed import launched_rank
from suraksha.datasets.layouts import Case, locate
from suraksha.datasets.loaders import (
    CacheDataset,
    classes_of,
    normal_classes_of,
    plain_loader,
    training_loader,
)
from suraksha.datasets.mixture import mix
from suraksha.datasets.samples import Data
from suraksha.datasets.split_file import Split
from suraksha.datasets.splits import hold_out, make_split
from suraksha.errors import DataError, TrainError
from suraksha.evaluation.fit_run import draw_run_fit, fit_run
from suraksha.evaluation.summaries import read_metrics
from suraksha.files import lock, write_text
from suraksha.inference.postprocessing import PostProcessingSettings
from suraksha.networks.zoo import load_pretrained
from suraksha.preprocessing import Preparation
from suraksha.runs.config import TrainConfig
from suraksha.runs.fits import RunFits, save_fits
from suraksha.runs.folder import FINISHED, Finished, Run, device_name, open_run, start_run
from suraksha.training.callbacks import ProgressBar, RunLog
from suraksha.training.module import SegmentationModule

# how long a process waits for what only the first process does
TIMEOUT_S = 600.0


def _silent(line: str) -> None:
    return None


def split_of(config: TrainConfig, cache: Cache, *, lists: Path | None = None) -> Split:
    """The split that a config asks for.

    Args:
        config: Protocol, split number and validation fraction.
        cache: The images.
        lists: Folder with the list files of ``community``.

    Raises:
        DataError: The images do not fit the protocol.
    """
    data = config.data
    split = make_split(
        cache.items,
        protocol=data.protocol,
        number=data.split,
        lists=lists,
        dataset=cache.dataset,
    )
    if data.validation_fraction:
        split = hold_out(split, cache.items, fraction=data.validation_fraction, seed=config.seed)
        held = set(split.validation)
        if all(item.normal for item in cache.items if item.name in held):
            raise DataError(
                "the validation part would have no image with a lesion",
                "the groups of lesion images are larger than a fraction of "
                f"{data.validation_fraction} of their class",
                "Raise [data] validation_fraction, or set it to 0 to train without fitted "
                "post-processing",
            )
    return split


def cache_for(config: TrainConfig, data: Data, *, out: Path, progress: bool) -> Cache:
    """The cache that ``data`` is, or one packed under ``out`` from the data set that it is.

    Several data sets are packed one by one and mixed, see `suraksha.datasets.mixture.mix`; the
    mixture is saved under ``out`` too.

    Raises:
        DataError: ``data`` is neither, or is damaged.
    """
    wanted = config.data
    colour = "" if wanted.channels == 1 else f"x{wanted.channels}"
    if not isinstance(data, str | Path):
        caches = [cache_for(config, root, out=out, progress=progress) for root in data]
        mixture = mix(caches)
        if len(caches) == 1:
            return mixture
        return save_cache(mixture, out / f"cache-{mixture.dataset}-{wanted.size}{colour}")
    if is_cache(data):
        return open_cache(data)
    folder = out / f"cache-{locate(data)[1].name}-{wanted.size}{colour}"

    # mean and std are the recipe's: they do not change what is packed
    preparation = Preparation(wanted.size, wanted.size, wanted.channels)

    def bar(cases: Sequence[Case]) -> Iterable[Case]:
        return tqdm(cases, desc="packing", unit="image", disable=not progress)

    return pack(data, folder, preparation=preparation, progress=bar)


def train(
    config: TrainConfig,
    data: Data,
    *,
    out: str | Path,
    lists: Path | None = None,
    progress: bool = True,
    log: Callable[[str], None] = _silent,
) -> Run:
    """Train, or resume training, until the config's last epoch.

    The last epoch's weights are the result (averaged where the recipe says so): no epoch is chosen
    by its score. Post-processing and calibration are then fitted on the validation part, on the
    images of ``data``. Without a validation part, the curves of ``paper`` and ``community`` show
    the test part, as is usual with these protocols; that of ``clean`` is never used.

    On several devices, every process that a launcher (``torchrun``, SLURM) started calls this;
    without one, this call starts the processes. They share ``data`` and ``out``.

    Args:
        config: What to train.
        data: A data set (packed under ``out``), a cache of the config's size, or several of them.
        out: The run's folder is made in here, named by recipe, protocol and config hash.
        lists: Folder with the list files of ``community``.
        progress: Whether to show a progress bar on stderr.
        log: Called with each warning about the finished run, see `Run.warnings`.

    Returns:
        The finished run.

    Raises:
        TrainError: The cache has another size, the network's classification head does not match
            the recipe or the cache's classes, or the folder belongs to another run.
        DataError: The images do not fit the protocol.
        BusyError: Another process trains this run.
    """
    out, follows = Path(out), config.train.world > 1 and bool(launched_rank())
    if follows:
        _await((out / config.run_name / "config.toml").is_file, config)
    cache = cache_for(config, data, out=out, progress=progress and not follows)
    _check_cache(config, cache)
    if follows:
        return _follow(config, cache, out)
    split = split_of(config, cache, lists=lists)
    with lock(out / config.run_name):
        run = replace(start_run(out, config, split=split, truth=cache.truth_sha256), config=config)
        if run.finished is None:
            _fit(run, cache, progress)
            _finish(run, cache, data)
        return _reported(open_run(run.folder), log)


def _reported(run: Run, log: Callable[[str], None]) -> Run:
    for warning in run.warnings:
        log(warning)
    return run


def _follow(config: TrainConfig, cache: Cache, out: Path) -> Run:
    """Train as one of the processes beside the first, which writes the run's folder."""
    run = replace(open_run(out / config.run_name), config=config)
    if run.finished is None:
        _fit(run, cache, progress=False)
        _await((run.folder / FINISHED).is_file, config)
    return open_run(run.folder)


def _await(ready: Callable[[], bool], config: TrainConfig) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not ready():
        if time.monotonic() > end:
            raise TrainError(
                f"run {config.run_name} timed out",
                f"the first process wrote nothing in {TIMEOUT_S:.0f} s",
                "Start all processes with one launcher, and give --out a folder that they share",
            )
        time.sleep(0.2)


def _check_cache(config: TrainConfig, cache: Cache) -> None:
    packed, wanted = cache.preparation, config.data.preparation
    if (packed.shape, packed.channels) != (wanted.shape, wanted.channels):
        raise TrainError(
            f"cache {cache.folder} was packed as {cache.preparation}",
            f"the recipe needs {wanted}",
            f"Give --input-size {packed.height}, or the data set itself as --data, or pack "
            f"another cache of {wanted.height} pixels and {wanted.channels} channels with "
            "'suraksha data pack'",
        )
    check_classes(config, cache)


def check_classes(config: TrainConfig, cache: Cache) -> None:
    """Check that classification head, loss and cache have the same classes.

    Raises:
        TrainError: The head has no loss, the loss has no head, or the cache has another number of
            classes.
    """
    predicted, weight = config.classes, config.loss.classes
    if bool(predicted) != bool(weight):
        head = f"a classification head of {predicted} classes" if predicted else "none"
        raise TrainError(
            f"[loss] classes = {weight:g} does not fit the network",
            f"this {config.model.name} has {head}; a head and its loss weight need each other",
            "Set [loss] classes = 0 and no [model] options.classes, or both above 0 "
            "(suraksha-lite can have a classification head)",
        )
    names = classes_of(cache)
    if predicted and predicted != len(names):
        raise TrainError(
            f"[model] options.classes = {predicted} does not fit the cache {cache.folder}",
            f"its images have {len(names)} classes: {', '.join(names)}",
            f"Set options.classes = {len(names)}",
        )


def _finish(run: Run, cache: Cache, data: Data) -> None:
    """Fit on the validation part and write what makes the run a finished one, last."""
    epochs, devices = read_metrics(run.folder), run.config.train
    done = Finished(
        seconds=round(sum(epoch["seconds"] for epoch in epochs), 2),
        epochs=len(epochs),
        device=device_name(),
        devices=devices.devices,
        nodes=devices.nodes,
        dataset=cache.dataset,
        cache_sha256=cache.sha256,
    )
    base = PostProcessingSettings()
    if run.config.classes:
        base = replace(base, classes=classes_of(cache), normal_classes=normal_classes_of(cache))
    fits = fit_run(
        replace(run, finished=done),
        data,
        base=base,
        training_masks=list(cache.masks()[cache.select(run.split.train)]),
    )
    if fits != RunFits():
        draw_run_fit(run, fits)
        save_fits(fits, run.folder)
    write_text(run.folder / FINISHED, json.dumps(done.to_dict(), indent=2) + "\n")


def _fit(run: Run, cache: Cache, progress: bool) -> None:
    with warnings.catch_warnings():
        _quiet_lightning()
        _train_epochs(run, cache, progress)


def _train_epochs(run: Run, cache: Cache, progress: bool) -> None:
    config, split = run.config, run.split
    pl.seed_everything(config.seed, verbose=False)
    images = CacheDataset(cache, split.train)
    size, world = config.optim.batch_size // config.train.world, config.train.world
    batches = training_loader(images, batch_size=size, seed=config.seed, world=world)
    watched = split.validation or (() if split.protocol == "clean" else split.test)
    callbacks: list[pl.Callback] = [RunLog(run.folder, config.run_name)]
    if progress:
        callbacks.append(ProgressBar(config.run_name))
    if config.optim.ema_decay:
        callbacks.append(WeightAveraging(avg_fn=partial(_ema_update, config.optim.ema_decay)))
    module = SegmentationModule(config, len(batches))
    checkpoint = str(run.checkpoint) if run.checkpoint.is_file() else None
    if config.model.pretrained and checkpoint is None:
        load_pretrained(module.network)
    if torch.cuda.is_available():
        module.network.compile()
    trainer = _trainer(config, run.folder, callbacks)
    watch = plain_loader(CacheDataset(cache, watched), batch_size=size) if watched else None
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, batches, watch, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:
        # Lightning turns Ctrl-C into an exit and leaves SIGINT ignored
        if trainer.state.status != TrainerStatus.INTERRUPTED:
            raise
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from stop


def _ema_update(decay: float, average: Tensor, current: Tensor, step: Tensor | int) -> Tensor:
    """One step of an exponential moving average (EMA) that warms up.

    The decay at step t is ``min(decay, (1 + t) / (10 + t))``, so that the initial weights fade
    within a few dozen steps and a short run has a usable average.

    Args:
        decay: Decay after the warm-up, 0..1.
        average: The average so far.
        current: The new value, of the same shape.
        step: Number of steps in the average so far.
    """
    kept = min(decay, (1 + int(step)) / (10 + int(step)))
    return kept * average + (1 - kept) * current  # the step count of batch norm is an integer


def _trainer(config: TrainConfig, folder: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=config.optim.epochs,
        accelerator="auto",
        devices=config.train.devices,
        num_nodes=config.train.nodes,
        strategy=_strategy(config),
        use_distributed_sampler=False,
        sync_batchnorm=torch.cuda.is_available() and config.train.world > 1,
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


def _strategy(config: TrainConfig) -> str:
    if config.train.world == 1:
        return "auto"
    if launched_rank() is not None:
        return "ddp"
    if config.train.nodes > 1:
        raise TrainError(
            f"training on {config.train.nodes} machines cannot be started from here",
            "this process was not started by a launcher",
            "Start the command on each machine with torchrun or SLURM",
        )
    return "ddp_spawn"


def _quiet_lightning() -> None:
    """Hide advice that does not apply: the images are in memory, workers would only copy them."""
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*number of training batches.*")
    warnings.filterwarnings("ignore", message=".*no `val_dataloader`.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
