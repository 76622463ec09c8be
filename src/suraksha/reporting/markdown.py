"""Tables and numbers as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from suraksha.metrics.bootstrap import Estimate

NO_FIGURE = "-"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def known_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table without the columns that are empty in every row."""
    kept = [n for n in range(len(head)) if any(row[n] != NO_FIGURE for row in rows)]
    return markdown_table([head[n] for n in kept], [[row[n] for n in kept] for row in rows])


def estimate_text(estimate: Estimate) -> str:
    """``0.735 (0.700-0.770)``, or a dash where there is no number."""
    if not math.isfinite(estimate.value):
        return NO_FIGURE
    digits = 1 if abs(estimate.value) > 2 else 3
    value, low, high = (f"{x:.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low}-{high})"


def look_up(record: object, *keys: str) -> object:
    """The value under nested keys; None where one is missing."""
    for key in keys:
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def figure(value: object) -> float:
    """A number of a card; NaN where it is missing or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def interval_text(record: object) -> str:
    """A value with its interval, from the JSON of an `Estimate`; a dash where it is missing."""
    value, low, high = (figure(look_up(record, key)) for key in ("value", "low", "high"))
    known = math.isfinite(low) and math.isfinite(high)
    return estimate_text(Estimate(value, low, high)) if known else number_text(value)


def number_text(value: object, digits: int = 3) -> str:
    """A number with a fixed number of decimals, or a dash."""
    number = figure(value)
    return f"{number:.{digits}f}" if math.isfinite(number) else NO_FIGURE


def percent_text(value: object, digits: int = 1) -> str:
    """A fraction in percent, or a dash."""
    number = figure(value)
    return f"{100 * number:.{digits}f} %" if math.isfinite(number) else NO_FIGURE


def plain_text(value: object) -> str:
    """Any value of a card on one line, escaped for Markdown and terminals."""
    if value is None:
        return NO_FIGURE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else NO_FIGURE
    line = " ".join(str(value).split())
    shown = "".join(letter for letter in line if letter.isprintable())
    return escape(shown, quote=False).replace("|", "\\|")


def facts_table(facts: Mapping[str, object]) -> str:
    """A Markdown table of names and values; missing and empty values are left out."""
    known = {name: plain_text(value) for name, value in facts.items() if value not in (None, "")}
    return markdown_table(["", ""], [[name, value] for name, value in known.items()])
