"""One piece of work after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from suraksha.compute.base import Answer, Errors, Item


class LocalExecutor:
    """Works here; see `suraksha.compute.base.Executor`."""

    workers = 1

    def map(
        self, work: Callable[[Item], Answer], items: Iterable[Item], *, failures: Errors
    ) -> Iterator[tuple[Item, Answer | Exception]]:
        """Do the work on each item, in order."""
        for item in items:
            answer: Answer | Exception
            try:
                answer = work(item)
            except failures as error:
                answer = error
            yield item, answer
