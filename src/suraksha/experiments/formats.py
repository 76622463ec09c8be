"""Tables of numbers, written as Markdown, CSV, JSON, LaTeX and HTML from one source."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from suraksha.metrics.bootstrap import Estimate
from suraksha.reporting.markdown import NO_FIGURE, markdown_table


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a table, with its 95 % interval where it has one.

    Args:
        value: It; NaN where there is none.
        low: Lower end of the interval, or NaN.
        high: Upper end of the interval, or NaN.
        digits: Decimals to show.
        signed: Whether a plus is shown: for differences.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    digits: int = 3
    signed: bool = False

    @classmethod
    def of(cls, estimate: Estimate, *, digits: int = 3, signed: bool = False) -> Number:
        """An estimate as a number of a table."""
        return cls(estimate.value, estimate.low, estimate.high, digits, signed)

    @property
    def text(self) -> str:
        """``0.735 (0.700 to 0.770)``, ``0.735``, or a dash."""
        if not math.isfinite(self.value):
            return NO_FIGURE
        form = f"{'+' if self.signed else ''},.{self.digits}f"
        value, low, high = (format(x, form) for x in (self.value, self.low, self.high))
        known = math.isfinite(self.low) and math.isfinite(self.high)
        return f"{value} ({low} to {high})" if known else value


Cell = Number | str


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Args:
        title: Above it.
        head: Its columns.
        rows: As many cells each.
        notes: Lines below it.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def _text(cell: Cell) -> str:
    return cell.text if isinstance(cell, Number) else cell


def as_markdown(title: str, tables: Sequence[Table]) -> str:
    """Headings, tables and notes."""
    parts = [f"# {title}"]
    for table in tables:
        parts.append(f"## {table.title}")
        if table.rows:
            parts.append(markdown_table(table.head, [[_text(c) for c in r] for r in table.rows]))
        if table.notes:
            parts.append("\n".join(f"* {note}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def as_csv(title: str, tables: Sequence[Table]) -> str:
    """One line a cell: table, row, column, what is shown, and value, low and high of a number."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("table", "row", "column", "text", "value", "low", "high"))
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.head[1:], row[1:], strict=True):
                given = (cell.value, cell.low, cell.high) if isinstance(cell, Number) else ()
                figures = ["" if math.isnan(x) else repr(x) for x in given] or ["", "", ""]
                writer.writerow((table.title, _text(row[0]), column, _text(cell), *figures))
    return stream.getvalue()


def as_json(title: str, tables: Sequence[Table]) -> str:
    """All of it; numbers in full, null for those that are not there."""

    def plain(cell: Cell) -> str | dict[str, float | None]:
        if isinstance(cell, str):
            return cell
        known = {"value": cell.value, "low": cell.low, "high": cell.high}
        return {key: None if math.isnan(x) else x for key, x in known.items()}

    record = [
        {
            "title": table.title,
            "head": list(table.head),
            "rows": [[plain(cell) for cell in row] for row in table.rows],
            "notes": list(table.notes),
        }
        for table in tables
    ]
    return json.dumps({"title": title, "tables": record}, indent=2, allow_nan=False) + "\n"


LATEX = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    }
)


def as_latex(title: str, tables: Sequence[Table]) -> str:
    """One ``table`` environment each, to be put into an article that loads ``graphicx``."""
    parts = [f"% {title}"]
    for table in tables:
        lines = [table.head, *(tuple(_text(cell) for cell in row) for row in table.rows)]
        head, *body = (" & ".join(text.translate(LATEX) for text in line) for line in lines)
        notes = list(table.notes)
        caption = ". ".join([table.title, *notes]).translate(LATEX)
        if not body:
            parts.append(f"% {caption}")
            continue
        rows = "".join(f"{line} \\\\\n" for line in body)
        parts.append(
            "\\begin{table}\n\\centering\n"
            f"\\caption{{{caption}}}\n"
            "\\resizebox{\\linewidth}{!}{%\n"
            f"\\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}\n\\hline\n"
            f"{head} \\\\\n\\hline\n{rows}\\hline\n"
            "\\end{tabular}}\n\\end{table}"
        )
    return "\n\n".join(parts) + "\n"


STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2em;color:#222}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5em 0}"
    "th,td{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}div{overflow-x:auto}"
)


def as_html(title: str, tables: Sequence[Table]) -> str:
    """A page that needs nothing else."""
    parts = []
    for table in tables:
        head = "".join(f"<th scope=col>{escape(text)}</th>" for text in table.head)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(_text(cell))}</td>' for cell in row)}</tr>\n"
            for row in table.rows
        )
        shown = f"<div><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>"
        notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
        parts.append(
            f"<h2>{escape(table.title)}</h2>\n{shown if table.rows else ''}"
            f"{f'<ul>{notes}</ul>' if notes else ''}"
        )
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n{body}\n</html>\n"
    )


# how a table may be written: name -> ending of the file, writer
FORMATS: Mapping[str, tuple[str, Callable[[str, Sequence[Table]], str]]] = {
    "markdown": ("md", as_markdown),
    "csv": ("csv", as_csv),
    "json": ("json", as_json),
    "latex": ("tex", as_latex),
    "html": ("html", as_html),
}
