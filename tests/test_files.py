"""Whole files or none."""

import threading

import pytest

from suraksha.errors import BusyError
from suraksha.files import beside, lock, sweep, write_bytes, write_text


def test_a_file_is_replaced_atomically(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_text(path, "one\n")
    write_text(path, "zwei é\n")
    assert path.read_bytes() == "zwei é\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_partial_files_of_one_name_are_removed(tmp_path):
    path = tmp_path / "a[1].bin"
    (tmp_path / beside(path).name).write_bytes(b"half")
    (tmp_path / beside(path).name).mkdir()
    others = {".a1.bin.0000.part", "a[1].bin.part", ".a[1].bin2.0000.part"}
    for name in others:
        (tmp_path / name).write_bytes(b"")
    sweep(path)
    assert {p.name for p in tmp_path.iterdir()} == others


def test_a_lock_is_exclusive_and_released(tmp_path):
    with lock(tmp_path / "thing"), pytest.raises(BusyError), lock(tmp_path / "thing"):
        pass
    with lock(tmp_path / "thing"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_can_be_waited_for(tmp_path):
    held, free = threading.Event(), threading.Event()

    def hold():
        with lock(tmp_path / "thing"):
            held.set()
            free.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    with pytest.raises(BusyError), lock(tmp_path / "thing", wait=0.2):
        pass
    threading.Timer(0.2, free.set).start()
    with lock(tmp_path / "thing", wait=30):
        assert free.is_set()
    thread.join()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("suraksha.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]
