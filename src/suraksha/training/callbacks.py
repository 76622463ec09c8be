"""Callbacks of the training: the log, the curves, the checkpoint and the progress bar."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from tqdm import tqdm

from suraksha.errors import TrainError
from suraksha.evaluation.curves import draw_curves
from suraksha.evaluation.summaries import METRICS
from suraksha.files import promote, write_text
from suraksha.metrics.overlap import Counts, accuracy, dice, iou, precision, recall
from suraksha.training.module import SegmentationModule

PARTS = ("train", "validation")
SCORES = {
    "accuracy": accuracy,
    "iou": iou,
    "dice": dice,
    "precision": precision,
    "recall": recall,
}
COLUMNS = (
    "epoch",
    "seconds",
    "learning_rate",
    *(f"{part}_{name}" for part in PARTS for name in ("loss", *SCORES)),
)
CURVES_EVERY_S = 20.0


class RunLog(Checkpoint):
    """Writes metrics.csv, curves.png and the checkpoint after each epoch, each whole or not at all.

    It is a ``Checkpoint`` because Lightning calls checkpoints last, after the epoch is counted.

    Args:
        folder: The run's folder.
        title: Title of the curves.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self.folder, self.title = folder, title
        self.rows: list[dict[str, float]] = []
        self.epoch_started = self.last_drawn = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.epoch_started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch, then save it."""
        module = _module(pl_module)
        row = {
            "epoch": trainer.current_epoch + 1.0,
            "seconds": time.perf_counter() - self.epoch_started,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        }
        for part in PARTS:
            row |= _row(part, module.take_totals(part))
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write(last=trainer.current_epoch + 1 == trainer.max_epochs)
        half = self.folder / "last.half.ckpt"
        trainer.save_checkpoint(half)  # a barrier for all processes
        if trainer.is_global_zero:
            promote(half, self.folder / "last.ckpt")

    def _write(self, *, last: bool) -> None:
        write_text(self.folder / METRICS, _as_csv(self.rows))
        if last or time.monotonic() - self.last_drawn > CURVES_EVERY_S:
            draw_curves(self.rows, self.folder / "curves.png", title=self.title)
            self.last_drawn = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The log so far, stored in the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the log of the epochs before the checkpoint; later epochs are dropped."""
        self.rows = list(state_dict["rows"])


class ProgressBar(pl.Callback):
    """One progress bar over all batches of the run, with the ETA and the last losses.

    Args:
        title: Text before the bar.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the current epoch."""
        steps = _module(pl_module).steps_per_epoch
        self.bar = tqdm(
            total=steps * (trainer.max_epochs or 0),
            initial=steps * trainer.current_epoch,
            desc=self.title,
            unit="batch",
            dynamic_ncols=True,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:  # noqa: ANN401
        """Advance by one batch."""
        if self.bar is not None:
            self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show epoch and losses."""
        if self.bar is None:
            return
        shown: dict[str, str] = {"epoch": f"{trainer.current_epoch + 1}/{trainer.max_epochs}"}
        for part, total in _module(pl_module).totals.items():
            shown[part] = f"{float(total[1]) / total[2]:.4f}"
        self.bar.set_postfix(shown)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


def _module(module: pl.LightningModule) -> SegmentationModule:
    """The module, checked to be a `SegmentationModule`."""
    if not isinstance(module, SegmentationModule):
        raise TrainError(
            f"a {type(module).__name__} cannot be logged",
            "these callbacks need the pixel counts of a SegmentationModule",
            "Train it with other callbacks",
        )
    return module


def _row(part: str, total: tuple[Counts, float] | None) -> dict[str, float]:
    if total is None:
        return {}
    counts, mean_loss = total
    scores = {f"{part}_{name}": score(counts) for name, score in SCORES.items()}
    return {f"{part}_loss": mean_loss, **scores}


def _as_csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        shown = {key: f"{value:.6g}" for key, value in row.items()}
        writer.writerow(shown)
    return text.getvalue()
