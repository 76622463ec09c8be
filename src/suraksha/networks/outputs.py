"""The outputs of a network: mask logits, class logits if it has them, attention maps."""

from __future__ import annotations

from torch import Tensor, nn

from suraksha.inference.engines import ATTENTION, CLASSES, LOGITS
from suraksha.networks.blocks import AttentionNetwork
from suraksha.networks.zoo import model_options

# an input size that every network with attention accepts
SIDE = 64


def class_logits_count(network: nn.Module) -> int:
    """How many classes a network's classification head has, 0 without one."""
    return int(model_options(network).get("classes", 0))


def outputs_of(network: nn.Module, batch: Tensor) -> tuple[Tensor, ...]:
    """Mask logits, then class logits if there are any, of a batch in one pass."""
    return network.run(batch) if isinstance(network, AttentionNetwork) else (network(batch),)


class AllOutputs(nn.Module):
    """A network whose call returns all outputs and the attention maps, for export.

    Args:
        network: Any network of the zoo.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs; those of attention maps begin with ``attention_``."""
        logits = [LOGITS, CLASSES] if class_logits_count(self.network) else [LOGITS]
        return (*logits, *[f"{ATTENTION}{name}" for name in self._maps()])

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
