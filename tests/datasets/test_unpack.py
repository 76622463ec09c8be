import stat
import struct
import warnings
import zipfile

import pytest

from suraksha.datasets.unpack import Limits, unpack
from suraksha.errors import DataError


def make(path, entries, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry, content in entries:
            target.writestr(entry, content)
    return path


def test_good_archive(tmp_path):
    entries = [("a/", b""), ("a/b (1).png", b"x" * 1000), ("c d/e", b"")]
    calls = []
    archive = make(tmp_path / "x.zip", entries)
    unpack(archive, tmp_path / "out", progress=lambda *now: calls.append(now))
    files = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*")}
    assert set(files) == {"a", "a/b (1).png", "c d", "c d/e"}
    assert files["a/b (1).png"].read_bytes() == b"x" * 1000
    assert calls[-1] == (1000, 1000)


@pytest.mark.parametrize(
    "name",
    ["/etc/x", "../x", "a/../../x", "a/..", "C:/x", "C:x", "a\\..\\x", "\\\\host\\x", "a\nb", "."],
)
def test_names_that_would_leave_the_folder(tmp_path, name):
    archive = make(tmp_path / "x.zip", [("good.png", b"1"), (name, b"2")])
    with pytest.raises(DataError, match="is outside its folder"):
        unpack(archive, tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["x.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK])
def test_links_and_devices(tmp_path, kind):
    entry = zipfile.ZipInfo("link")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    archive = make(tmp_path / "x.zip", [(entry, b"/etc/passwd")])
    with pytest.raises(DataError, match="link or a device"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [("a.png", "a.png"), ("a.png", "A.PNG"), ("a/b", "a./b")])
def test_one_name_twice(tmp_path, names):
    archive = make(tmp_path / "x.zip", [(name, b"1") for name in names])
    with pytest.raises(DataError, match="twice"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(files=2), "3 entries"),
        (Limits(file_bytes=999), "1000 bytes"),
        (Limits(total_bytes=1999), "2000 bytes"),
        (Limits(ratio=20, ratio_from_bytes=1000), "over 20 times"),
        (Limits(ratio=2, ratio_from_bytes=2000), "over 2 times its size"),
    ],
)
def test_limits(tmp_path, limits, message):
    entries = [("a", b"x" * 1000), ("b", b"y" * 1000), ("c", b"")]
    archive = make(tmp_path / "x.zip", entries)
    with pytest.raises(DataError, match=message):
        unpack(archive, tmp_path / "out", limits=limits)
    assert not (tmp_path / "out").exists()
    unpack(archive, tmp_path / "out")


def test_encrypted(tmp_path):
    archive = make(tmp_path / "x.zip", [("a", b"x")])
    raw = bytearray(archive.read_bytes())
    place = raw.index(b"PK\x01\x02") + 8
    raw[place : place + 2] = struct.pack("<H", 1)
    archive.write_bytes(raw)
    with pytest.raises(DataError, match="encrypted"):
        unpack(archive, tmp_path / "out")


def test_entry_that_is_larger_than_it_says(tmp_path):
    archive = make(tmp_path / "x.zip", [("a", b"x" * 5000)])
    raw = bytearray(archive.read_bytes())
    place = raw.index(b"PK\x01\x02") + 24
    raw[place : place + 4] = struct.pack("<I", 100)
    archive.write_bytes(raw)
    with pytest.raises(DataError, match="damaged"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["none", "cut", "content"])
def test_damaged(tmp_path, damage):
    archive = make(tmp_path / "x.zip", [("a", b"abc" * 100)], zipfile.ZIP_STORED)
    raw = archive.read_bytes()
    archive.write_bytes(
        {"none": b"text", "cut": raw[:-30], "content": raw.replace(b"abcabc", b"abcabd", 1)}[damage]
    )
    with pytest.raises(DataError, match="damaged or not a zip"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
