"""One training step, for Lightning."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from suraksha.datasets.augmentation import Augmentation, AugmentedBatch
from suraksha.datasets.distributed import rank, summed
from suraksha.datasets.loaders import FULL, Batch
from suraksha.metrics.overlap import Counts
from suraksha.networks.zoo import create_model, pretrained_parts
from suraksha.preprocessing import standardise
from suraksha.runs.config import OptimConfig, TrainConfig
from suraksha.training.losses import loss

STEP_SEED = 1_000_003
RANK_SEED = 7_919


def count_pixels(logits: Tensor, truth: Tensor) -> Tensor:
    """(tp, fp, fn, tn) of a batch at probability 0.5, int64."""
    predicted, actual = logits > 0, truth >= 0.5
    tp = (predicted & actual).sum()
    fp, fn = predicted.sum() - tp, actual.sum() - tp
    return torch.stack([tp, fp, fn, truth.numel() - tp - fp - fn])


def learning_rate_factor(optim: OptimConfig, progress: float) -> float:
    """The learning rate as a fraction of its maximum.

    Args:
        optim: Schedule, warm-up and number of epochs.
        progress: Time in epochs, 0 to ``optim.epochs``.
    """
    if progress < optim.warmup_epochs:
        return progress / optim.warmup_epochs
    if optim.schedule == "constant":
        return 1.0
    fraction = (progress - optim.warmup_epochs) / max(optim.epochs - optim.warmup_epochs, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))


def parameter_groups(network: nn.Module, optim: OptimConfig) -> list[dict[str, Any]]:
    """The parameters, with a separate group (and learning rate) for a pretrained encoder.

    Raises:
        ModelError: ``encoder_rate`` is set and the network has no pretrained encoder.
    """
    if optim.encoder_rate == 1:
        return [{"params": list(network.parameters())}]
    encoder = pretrained_parts(network)
    inside = {id(p) for part in encoder for p in part.parameters()}
    pretrained = [p for p in network.parameters() if id(p) in inside]
    rest = [p for p in network.parameters() if id(p) not in inside]
    rate = optim.learning_rate * optim.encoder_rate
    return [{"params": rest}, {"params": pretrained, "lr": rate}]


class SegmentationModule(pl.LightningModule):
    """A network, its loss and its schedule.

    Args:
        config: The run's config.
        steps_per_epoch: Batches in an epoch.
    """

    def __init__(self, config: TrainConfig, steps_per_epoch: int) -> None:
        super().__init__()
        self.config, self.steps_per_epoch = config, steps_per_epoch
        network = create_model(
            config.model.name,
            in_channels=config.data.channels,
            options=config.model.options,
        )
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.augmentation = Augmentation(config.augment)
        self.totals: dict[str, tuple[Tensor, Tensor, int]] = {}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the batch's randomness by seed, step and device, so that a resumed run repeats it.

        Seeding once per epoch is not enough: a data loader draws a random number when it starts,
        before or after the epoch's hook.
        """
        step = STEP_SEED * (self.global_step + 1)
        torch.manual_seed(self.config.seed + step + RANK_SEED * rank())

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of one batch, augmented."""
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of one batch without augmentation."""
        return self._step(batch, "validation")

    def _step(self, batch: Batch, part: str) -> Tensor:
        varied, classes = self._varied(batch, part), batch[2]
        masks = varied.masks
        inputs = standardise(varied.images, self.config.data.preparation)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if weight := self.config.loss.classes:
            logits, class_logits = self.network.run(inputs)
            value = loss(logits, masks, spec=self.config.loss)
            value = value + weight * F.cross_entropy(class_logits, classes[varied.source])
        else:
            logits = self.network(inputs)
            value = loss(logits, masks, spec=self.config.loss)
        old = self.totals.get(part)
        counts, loss_sum = count_pixels(logits.detach(), masks), value.detach() * len(masks)
        self.totals[part] = (
            (counts, loss_sum, len(masks))
            if old is None
            else (old[0] + counts, old[1] + loss_sum, old[2] + len(masks))
        )
        return value

    def _varied(self, batch: Batch, part: str) -> AugmentedBatch:
        """The batch at the size of this epoch, augmented for training."""
        images, masks = batch[0].float() / FULL, batch[1].float() / FULL
        if self.current_epoch < self.config.optim.small_epochs:
            size = self.config.optim.small_size
            images, masks = (F.interpolate(x, size=size, mode="area") for x in (images, masks))
        if part != "train":
            return AugmentedBatch(images, (masks >= 0.5).float(), torch.arange(len(masks)))
        varied: AugmentedBatch = self.augmentation(images, masks)
        return varied

    def take_totals(self, part: str) -> tuple[Counts, float] | None:
        """Pixel counts and mean loss of the epoch so far, which are reset; None if there are none.

        Training counts are summed over all devices, which split the images; each device validates
        all images.
        """
        total = self.totals.pop(part, None)
        if total is None:
            return None
        parts = (total[0], total[1], total[0].new_tensor(total[2]))
        counts, loss_sum, images = map(summed, parts) if part == "train" else parts
        return Counts(*(int(n) for n in counts)), float(loss_sum) / int(images)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with the recipe's schedule, updated at every step."""
        optim = self.config.optim
        groups = parameter_groups(self.network, optim)
        adamw = torch.optim.AdamW(groups, lr=optim.learning_rate, weight_decay=optim.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            adamw, lambda step: learning_rate_factor(optim, (step + 1) / self.steps_per_epoch)
        )
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
