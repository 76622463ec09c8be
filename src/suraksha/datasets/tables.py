"""Tables of facts about images: CSV files, and the first sheet of Excel workbooks (xlsx).

An xlsx file is a zip archive of XML (ECMA-376). Only text and numbers of the first sheet are read;
formulas are taken by their stored value, dates by their number. The sizes are checked before
anything is decoded, and XML with a document type is refused, so that no entity can be expanded.
"""

from __future__ import annotations

import csv
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from suraksha.errors import DataError

MAX_BYTES = 64 << 20
MAX_RATIO = 200
MAX_COLUMNS = 1024

Row = dict[str, str]

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_table(path: Path) -> list[Row]:
    """Read a table whose first row names its columns.

    Args:
        path: A CSV file in UTF-8, or an xlsx file, of which the first sheet is read.

    Returns:
        One dictionary per row, column name to text; an empty cell is an empty text. Rows without
        any text are left out.

    Raises:
        DataError: A file that cannot be read, is too large, is damaged, has no header, or names a
            column twice.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _unusable(path, f"it has {size} bytes, more than {MAX_BYTES}")
        lines = _xlsx_rows(path) if path.suffix.lower() == ".xlsx" else _csv_rows(path)
        return _with_header(path, lines)
    except (
        OSError,
        UnicodeDecodeError,
        csv.Error,
        zipfile.BadZipFile,
        zlib.error,
        ElementTree.ParseError,
        EOFError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise _unusable(path, str(error) or type(error).__name__) from error


def require_columns(rows: list[Row], columns: Iterable[str], *, path: Path) -> None:
    """Refuse a table that is empty or lacks a column.

    Raises:
        DataError: It does; the message names the columns.
    """
    present = set(rows[0]) if rows else set()
    absent = [column for column in columns if column not in present]
    if absent:
        have = ", ".join(sorted(present)) or "no row at all"
        raise _unusable(path, f"the columns {', '.join(absent)} are missing; it has {have}")


def _unusable(path: Path, why: str) -> DataError:
    return DataError(
        f"the table {path} cannot be read",
        why,
        "Get an unaltered copy from its publisher, or correct the file",
    )


def _csv_rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def _with_header(path: Path, lines: list[list[str]]) -> list[Row]:
    filled = [line for line in lines if any(cell.strip() for cell in line)]
    if not filled:
        raise _unusable(path, "it is empty")
    header = [cell.strip() for cell in filled[0]]
    while header and not header[-1]:
        header.pop()
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise _unusable(path, f"these columns are in it more than once: {', '.join(twice)}")
    return [
        {
            name: line[place].strip() if place < len(line) else ""
            for place, name in enumerate(header)
            if name
        }
        for line in filled[1:]
    ]


def _xlsx_rows(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
        if total > min(MAX_BYTES, MAX_RATIO * max(path.stat().st_size, 1)):
            raise ValueError(f"it unpacks to {total} bytes, which is too large")
        texts = _shared_texts(archive)
        sheet = _xml(archive, _first_sheet(archive))
        return [_cells(row, texts) for row in sheet.iter(f"{_MAIN}row")]


def _xml(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    entry = archive.getinfo(name)
    with archive.open(entry) as file:
        content = file.read(entry.file_size + 1).decode("utf-8-sig")
    if "<!DOCTYPE" in content or "<!ENTITY" in content:
        raise ValueError(f"{name} declares a document type, which no workbook does")
    return ElementTree.fromstring(content)


def _first_sheet(archive: zipfile.ZipFile) -> str:
    book = _xml(archive, "xl/workbook.xml")
    sheet = next(book.iter(f"{_MAIN}sheet"), None)
    if sheet is None:
        raise ValueError("the workbook has no sheet")
    links = _xml(archive, "xl/_rels/workbook.xml.rels")
    target = {link.get("Id"): link.get("Target", "") for link in links}[sheet.get(_RELATION)]
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _shared_texts(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    strings = _xml(archive, "xl/sharedStrings.xml")
    return [_text(entry) for entry in strings.iter(f"{_MAIN}si")]


def _text(entry: ElementTree.Element) -> str:
    """All runs of a text; phonetic hints (rPh), which Japanese workbooks have, are left out."""

    def parts(element: ElementTree.Element) -> Iterator[str]:
        for child in element:
            if child.tag == f"{_MAIN}t":
                yield child.text or ""
            elif child.tag == f"{_MAIN}r":
                yield from parts(child)

    return "".join(parts(entry))


def _cells(row: ElementTree.Element, texts: list[str]) -> list[str]:
    cells: list[str] = []
    for cell in row.iter(f"{_MAIN}c"):
        place = _column(cell.get("r"), len(cells))
        cells.extend([""] * (place + 1 - len(cells)))
        cells[place] = _value(cell, texts)
    return cells


def _column(reference: str | None, following: int) -> int:
    """Place of a cell such as ``AB12``, from 0; the next one where it says none."""
    letters = re.match(r"[A-Z]+", reference or "")
    if letters is None:
        return following
    place = 0
    for letter in letters.group():
        place = place * 26 + ord(letter) - ord("A") + 1
    if place > MAX_COLUMNS:
        raise ValueError(f"cell {reference} is beyond column {MAX_COLUMNS}")
    return place - 1


def _value(cell: ElementTree.Element, texts: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        inline = cell.find(f"{_MAIN}is")
        return "" if inline is None else _text(inline)
    value = cell.findtext(f"{_MAIN}v") or ""
    if kind == "s" and value:
        return texts[int(value)]
    return value
