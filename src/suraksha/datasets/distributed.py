"""Which of several training processes this is, and sums over all of them."""

from __future__ import annotations

import os

import torch.distributed
from torch import Tensor

# what torchrun and SLURM tell each process that they start
LAUNCHED = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def rank() -> int:
    """The place of this process among those that train together, 0 where it is alone."""
    return torch.distributed.get_rank() if _together() else 0


def summed(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes that train together; the tensor where one is alone."""
    if _together():
        value = value.clone()
        torch.distributed.all_reduce(value)
    return value


def launched_rank() -> int | None:
    """The place that a launcher gave this process, None where it was started by hand."""
    told = [os.environ[name] for name in LAUNCHED if name in os.environ]
    return int(told[0]) if told else None


def _together() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
