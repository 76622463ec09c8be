"""What a network tells: the mask, the classes where it has such an output, where it looked."""

from __future__ import annotations

from torch import Tensor, nn

from suraksha.inference.engines import ATTENTION, CLASSES, LOGITS
from suraksha.networks.blocks import AttentionNetwork
from suraksha.networks.zoo import model_options

# a size that every network with attention takes
SIDE = 64


def class_logits_count(network: nn.Module) -> int:
    """How many classes a network's second output tells, 0 where it has none."""
    return int(model_options(network).get("classes", 0))


def outputs_of(network: nn.Module, batch: Tensor) -> tuple[Tensor, ...]:
    """What a network tells of a batch, in one pass: the mask's logits, then the classes'."""
    return network.run(batch) if isinstance(network, AttentionNetwork) else (network(batch),)


class AllOutputs(nn.Module):
    """A network whose call gives all that it tells and where it looked, for the export.

    Args:
        network: Any network of the zoo.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs; those of attention maps begin with ``attention_``."""
        told = (LOGITS, CLASSES) if class_logits_count(self.network) else (LOGITS,)
        return *told, *(f"{ATTENTION}{name}" for name in self._maps())

    def _maps(self) -> list[str]:
        if not isinstance(self.network, AttentionNetwork):
            return []
        first = next(self.network.parameters())
        channels = model_options(self.network)["in_channels"]
        return list(self.network.attention_maps(first.new_zeros(1, channels, SIDE, SIDE)))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The outputs, in the order of ``names``."""
        if not isinstance(self.network, AttentionNetwork):
            return outputs_of(self.network, x)
        maps: dict[str, Tensor] = {}
        return *self.network.run(x, maps), *maps.values()
