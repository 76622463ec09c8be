"""Text for the terminal: names that cannot control it, counts and tables."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

NUMBER = re.compile(r"[-+]?[\d,.]+ ?%?|-")


def path_text(path: Path | str) -> str:
    """A path as text that any file can hold: bytes that are not UTF-8 are written as hex."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def printable(text: Path | str) -> str:
    r"""Text that cannot move the cursor or hide other text: control characters become ``\x1b``."""
    whole = path_text(text) if isinstance(text, Path) else text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in whole
    )


def count_text(count: int, noun: str) -> str:
    """``1 image`` or ``2 images``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def table_text(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns for the terminal: numbers to the right, other text to the left."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    columns = list(zip(head, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(map(NUMBER.fullmatch, column[1:])) and len(column) > 1 for column in columns]

    def line(row: Sequence[str]) -> str:
        parts = zip(row, widths, right, strict=True)
        return "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in parts
        ).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, cells)])
