"""One item after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from suraksha.compute.base import Errors, Item, Outcome


class LocalExecutor:
    """Runs everything in this process; see `suraksha.compute.base.Executor`."""

    workers = 1

    def map(
        self, work: Callable[[Item], Outcome], items: Iterable[Item], *, failures: Errors
    ) -> Iterator[tuple[Item, Outcome | Exception]]:
        """Run the function on each item, in order."""
        for item in items:
            outcome: Outcome | Exception
            try:
                outcome = work(item)
            except failures as error:
                outcome = error
            yield item, outcome
