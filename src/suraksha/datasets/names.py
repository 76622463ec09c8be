"""Image names in order, and in messages."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHOWN = 10


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``benign (2)`` comes before ``benign (10)``."""
    parts = re.split(r"(\d+)", name)
    return tuple((1, int(p), p) if p.isdecimal() else (0, 0, p) for p in parts)


def listing(names: Iterable[object], shown: int | None = SHOWN) -> str:
    """Names for a message, comma-separated: the first ``shown`` and how many more there are."""
    texts = [str(name) for name in names]
    cut = texts if shown is None else texts[:shown]
    more = len(texts) - len(cut)
    return ", ".join(cut) + (f" and {more} more" if more else "")
