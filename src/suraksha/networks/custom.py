"""Custom networks, named by the path of their class: ``package.module:Class``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import nn

from suraksha.errors import ModelError

# where the class has no attribute of that name
DIVISOR = 32


@dataclass(frozen=True, slots=True)
class CustomSpec:
    """What a custom network was built from.

    Args:
        in_channels: Colour channels of the images.
        options: The further arguments of its class.
    """

    in_channels: int
    options: Mapping[str, Any]


def custom_class(path: str) -> type[nn.Module]:
    """The class at ``package.module:Class``.

    Raises:
        ModelError: No such module or class, or one that is not a ``torch.nn.Module``.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(
            f"the network {path} cannot be loaded",
            str(error),
            "Give package.module:Class, with its folder in PYTHONPATH",
        ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ModelError(
            f"{path} is not a network", "it is not a torch.nn.Module", "Give its class"
        )
    return found


def divisor_of(path: str) -> int:
    """Height and width of the input must be multiples of this: the class's ``divisor``, or 32.

    Raises:
        ModelError: As `custom_class`, or a divisor that is not a positive integer.
    """
    divisor = getattr(custom_class(path), "divisor", DIVISOR)
    if type(divisor) is not int or divisor < 1:
        raise ModelError(
            f"the network {path} has divisor {divisor!r}",
            "a divisor is a positive integer",
            "Correct the attribute 'divisor' of the class, or remove it",
        )
    return divisor


def custom_spec(path: str, *, in_channels: int, options: Mapping[str, Any]) -> CustomSpec:
    """The spec that `build_custom` builds from.

    Raises:
        ModelError: As `custom_class`, or arguments that the class does not take.
    """
    try:
        inspect.signature(custom_class(path)).bind(in_channels=in_channels, **options)
    except TypeError as error:
        raise ModelError(
            f"the network {path} cannot be built",
            f"its class does not take in_channels and the options given: {error}",
            "Make its __init__ take in_channels and each option by name",
        ) from error
    return CustomSpec(in_channels, dict(options))


def build_custom(path: str, spec: CustomSpec) -> nn.Module:
    """Build a custom network and check that it returns logits as the networks of the zoo do.

    Raises:
        ModelError: As `custom_spec`, or it does not return (N, 1, H, W) for (N, C, H, W).
    """
    custom_spec(path, in_channels=spec.in_channels, options=spec.options)
    network = custom_class(path)(in_channels=spec.in_channels, **spec.options)
    side = divisor_of(path)
    shape = (2, spec.in_channels, 2 * side, 3 * side)
    training = network.training
    with torch.no_grad():
        found = network.eval()(torch.zeros(shape))
    network.train(training)
    given = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if given != (2, 1, *shape[2:]):
        raise ModelError(
            f"the network {path} returns {given} for a batch of shape {shape}",
            "a network returns one tensor of logits, (N, 1, H, W)",
            "Make forward return that tensor alone",
        )
    network.spec = spec  # type: ignore[assignment]
    return network
