"""What all executors have in common, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Protocol, TypeVar

from suraksha.errors import MissingExtraError, UnknownNameError, UsageError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Errors = tuple[type[Exception], ...]

# name -> ``module:Class`` of the executor
EXECUTORS = {
    "local": "suraksha.compute.local:LocalExecutor",
    "ray": "suraksha.compute.ray:RayExecutor",
}


class Executor(Protocol):
    """Does pieces of work and gives their answers.

    Attributes:
        workers: How many pieces are worked on at a time; 0 while that is not known.
    """

    workers: int

    def map(
        self, work: Callable[[Item], Answer], items: Iterable[Item], *, failures: Errors
    ) -> Iterator[tuple[Item, Answer | Exception]]:
        """Do the work on each item; give items with their answers as they come.

        An item is taken when there is a place for it and not before.

        Args:
            work: It, and its items and answers, can be pickled where it runs elsewhere.
            items: What to work on.
            failures: Errors of the work that are given as an item's answer; others are raised.
        """


def make_executor(name: str, *, address: str | None = None, workers: int = 0) -> Executor:
    """The executor of a name.

    Args:
        name: A key of `EXECUTORS`.
        address: Of a Ray cluster that runs already; one is started here without.
        workers: How many pieces of work at a time, 0 for what fits the cluster.

    Raises:
        UnknownNameError: No executor has that name.
        UsageError: An address or workers for the executor that has none.
        MissingExtraError: Ray is not installed.
    """
    if name not in EXECUTORS:
        raise UnknownNameError("executor", name, EXECUTORS)
    if workers < 0:
        raise UsageError(
            f"workers = {workers} cannot be used", "they are counted", "Give 1 or more"
        )
    module, _, kind = EXECUTORS[name].partition(":")
    if name == "local":
        if address or workers:
            raise UsageError(
                "an address or workers cannot be used here",
                "the runs follow each other on this machine",
                "Give them with --compute ray, or leave them out",
            )
        executor: Executor = getattr(import_module(module), kind)()
        return executor
    try:
        on_cluster: Executor = getattr(import_module(module), kind)(address, workers)
    except ModuleNotFoundError as error:
        raise MissingExtraError("--compute ray", "ray", str(error.name)) from error
    return on_cluster
