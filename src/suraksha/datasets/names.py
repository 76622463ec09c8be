"""Names of images: their order, their listing in messages, and the data set that they belong to.

In a mixture of several data sets an image is named ``<data set>/<image>``, such as
``bus-bra/bus_0001-l``; in a single data set its name has no ``/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SHOWN = 10
SEPARATOR = "/"


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


def qualified(dataset: str, name: str) -> str:
    """The name of an image, or of a group, in a mixture of data sets."""
    return f"{dataset}{SEPARATOR}{name}"


def dataset_of_name(name: str) -> str:
    """The data set of an image in a mixture; an empty text where the name has none."""
    return name.partition(SEPARATOR)[0] if SEPARATOR in name else ""


def local_name(name: str) -> str:
    """The name that an image of a mixture has in its own data set."""
    return name.partition(SEPARATOR)[2] if SEPARATOR in name else name
