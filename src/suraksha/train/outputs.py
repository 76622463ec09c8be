"""What a network tells: the mask's logits and, where it has a second output, the classes'."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from suraksha.models.zoo import model_options

NAMES = ("logits", "classes")


@runtime_checkable
class ClassNetwork(Protocol):
    """A network that can have a second output."""

    def with_classes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, 1, H, W) of the mask and (N, classes) of the classes."""


def classes_told(network: nn.Module) -> int:
    """How many classes a network's second output tells, 0 where it has none."""
    return int(model_options(network).get("classes", 0))


def outputs_of(network: nn.Module, batch: Tensor) -> tuple[Tensor, ...]:
    """All that a network tells of a batch, in one pass and in the order of ``NAMES``."""
    if isinstance(network, ClassNetwork) and classes_told(network):
        return network.with_classes(batch)
    return (network(batch),)


class AllOutputs(nn.Module):
    """A network whose call gives all that it tells, for the export.

    Args:
        network: Any network of the zoo.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return NAMES if classes_told(self.network) else NAMES[:1]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The outputs, see `outputs_of`."""
        return outputs_of(self.network, x)
