"""Segment many images side by side, with the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from suraksha.errors import UsageError
from suraksha.inference.engines import default_threads
from suraksha.types import Result

# items in work or waiting, as a multiple of the threads
AHEAD = 2


class Batch(Iterator[Result]):
    """The results of many items, in order. Items are read as their results are taken.

    ``next`` raises the error of a bad item at its turn; the next call continues with the item after
    it.

    Args:
        segment: Segments one item; several threads call it.
        items: The items.
        threads: Items in work at a time; None for one per core, at most four.

    Raises:
        UsageError: ``threads`` is below 1.
    """

    def __init__(
        self,
        segment: Callable[[object], Result],
        items: Iterable[object],
        *,
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"threads = {threads} is not valid", "it must be 1 or more", "Give 1")
        count = threads or default_threads()
        self._segment, self._items = segment, iter(items)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="segment")
        self._ahead, self._ended = AHEAD * count, False
        self._pending: deque[Future[Result]] = deque()

    def __next__(self) -> Result:
        """The result of the next item.

        Raises:
            SurakshaError: The item cannot be segmented.
        """
        while len(self._pending) < self._ahead and not self._ended:
            self._submit()
        if not self._pending:
            self._pool.shutdown()
            raise StopIteration
        return self._pending.popleft().result()

    def _submit(self) -> None:
        try:
            item = next(self._items)
        except StopIteration:
            self._ended = True
        except Exception as error:  # noqa: BLE001 - raised again at its turn
            self._ended = True
            failed: Future[Result] = Future()
            failed.set_exception(error)
            self._pending.append(failed)
        else:
            self._pending.append(self._pool.submit(self._segment, item))
