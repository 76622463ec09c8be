"""The protocol of executors, and the table of executors by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Protocol, TypeVar

from suraksha.errors import MissingExtraError, UnknownNameError, UsageError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Errors = tuple[type[Exception], ...]

# name -> ``module:Class`` of the executor
EXECUTORS = {
    "local": "suraksha.compute.local:LocalExecutor",
    "ray": "suraksha.compute.ray:RayExecutor",
}


class Executor(Protocol):
    """Runs a function on many items.

    Attributes:
        workers: Number of items processed at a time; 0 while that is not known.
    """

    workers: int

    def map(
        self, work: Callable[[Item], Outcome], items: Iterable[Item], *, failures: Errors
    ) -> Iterator[tuple[Item, Outcome | Exception]]:
        """Run the function on each item and yield each item with its result, as results arrive.

        An item is taken from the iterable only when a worker is free.

        Args:
            work: The function. It, the items and the results must be picklable for executors on
                other processes or machines.
            items: The items.
            failures: Errors that are yielded as an item's result; other errors are raised.
        """


def make_executor(name: str, *, address: str | None = None, workers: int = 0) -> Executor:
    """Make the executor with a name.

    Args:
        name: A key of `EXECUTORS`.
        address: Address of a running Ray cluster; None to start one on this machine.
        workers: Number of items processed at a time, 0 for what fits the cluster.

    Raises:
        UnknownNameError: No executor has that name.
        UsageError: Negative workers, or an address or workers with the local executor.
        MissingExtraError: Ray is not installed.
    """
    if name not in EXECUTORS:
        raise UnknownNameError("executor", name, EXECUTORS)
    if workers < 0:
        raise UsageError(
            f"workers = {workers} is not valid", "it must be 0 or more", "Give 1 or more"
        )
    module, _, kind = EXECUTORS[name].partition(":")
    if name == "local":
        if address or workers:
            raise UsageError(
                "an address or workers cannot be used with local execution",
                "the runs are made one after the other on this machine",
                "Give them with --compute ray, or leave them out",
            )
        executor: Executor = getattr(import_module(module), kind)()
        return executor
    try:
        on_cluster: Executor = getattr(import_module(module), kind)(address, workers)
    except ModuleNotFoundError as error:
        raise MissingExtraError("--compute ray", "ray", str(error.name)) from error
    return on_cluster
