"""What a network costs: parameters and multiply-accumulates."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters of a network."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@torch.no_grad()
def count_macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates for one image of shape (C, H, W).

    As usual, convolutions and matrix products are counted; normalisation, activations and pooling
    are not. A multiply-accumulate is two floating-point operations.
    """
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    counter = FlopCounterMode(display=False)
    try:
        with counter:
            network(torch.zeros(1, *shape, device=device))
    finally:
        network.train(training)
    return int(counter.get_total_flops()) // 2
