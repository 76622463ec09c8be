import zipfile

import pytest

from suraksha.datasets import tables
from suraksha.datasets.tables import read_table
from suraksha.errors import DataError

from .conftest import write_xlsx

ROWS = [["name", "size", "note"], ["a & b", 0.5, ""], ["", "", ""], ["c", 12, "<x>"]]
EXPECTED = [
    {"name": "a & b", "size": "0.5", "note": ""},
    {"name": "c", "size": "12", "note": "<x>"},
]


@pytest.mark.parametrize("inline", [False, True])
def test_the_first_sheet_of_a_workbook(tmp_path, inline):
    write_xlsx(tmp_path / "t.xlsx", ROWS, inline=inline)
    assert read_table(tmp_path / "t.xlsx") == EXPECTED


def test_csv_with_byte_order_mark_quotes_and_short_rows(tmp_path):
    text = '\ufeffname,size,note,\r\n"a & b",0.5\r\n,,\r\nc,12,<x>\r\n'
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert read_table(tmp_path / "t.csv") == EXPECTED


def rewrite(path, name, change):
    with zipfile.ZipFile(path) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    parts[name] = change(parts[name])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in parts.items():
            if content is not None:
                archive.writestr(entry, content)


SHEET = "xl/worksheets/sheet9.xml"
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (SHEET, lambda c: BOMB + c, "declares a document type"),
        (SHEET, lambda c: ("<?xml version='1.0'?>" + c.decode()).encode("utf-16"), "utf-8"),
        (SHEET, lambda c: c + b" " * (1 << 22), "unpacks to"),
        (SHEET, lambda c: c[:-20], "cannot be read"),
        (SHEET, lambda c: None, "There is no item named"),
        (SHEET, lambda c: c.replace(b"<v>0</v>", b"<v>99</v>"), "out of range"),
        (SHEET, lambda c: c.replace(b'r="A1"', b'r="ZZZZ1"'), "beyond column"),
        ("xl/workbook.xml", lambda c: c.replace(b"rId7", b"rId8"), "rId8"),
    ],
)
def test_hostile_and_damaged_workbooks_are_refused(tmp_path, name, change, message):
    path = tmp_path / "t.xlsx"
    write_xlsx(path, ROWS)
    rewrite(path, name, change)
    with pytest.raises(DataError, match=message):
        read_table(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\xff\xfe"])
@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_what_is_no_table_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(content)
    if suffix == "csv" and content.startswith(b"PK"):
        assert read_table(path) == []
        return
    with pytest.raises(DataError, match="cannot be read"):
        read_table(path)


def test_the_size_is_checked_before_reading(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("a\n1\n")
    monkeypatch.setattr(tables, "MAX_BYTES", 3)
    with pytest.raises(DataError, match="4 bytes, more than 3"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")
