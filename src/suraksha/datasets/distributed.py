"""The rank of this process in distributed training, and sums over all processes."""

from __future__ import annotations

import os

import torch.distributed
from torch import Tensor

# environment variables that torchrun and SLURM set in each process
LAUNCHED = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def rank() -> int:
    """The rank of this process, 0 without distributed training."""
    return torch.distributed.get_rank() if _is_distributed() else 0


def summed(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes; the tensor itself without distributed training."""
    if _is_distributed():
        value = value.clone()
        torch.distributed.all_reduce(value)
    return value


def launched_rank() -> int | None:
    """The rank that a launcher gave this process, None without a launcher."""
    ranks = [os.environ[name] for name in LAUNCHED if name in os.environ]
    return int(ranks[0]) if ranks else None


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
