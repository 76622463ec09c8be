"""Atomic writes, and locks on files and folders between processes."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from suraksha.errors import BusyError

try:
    import fcntl
except ImportError:  # Windows has no flock; the lock does nothing there
    fcntl = None  # type: ignore[assignment]

PART = ".part"


def keep_matplotlib_out_of_home() -> None:
    """Move matplotlib's font cache to the temporary folder; call this before importing it."""
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / "suraksha-matplotlib"))


def beside(path: Path) -> Path:
    """A free hidden name in the same folder, to be renamed to ``path`` when it is complete."""
    path = path.absolute()
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")


def sweep(path: Path) -> None:
    """Remove the partial files of ``path`` (see `beside`) that killed processes left behind.

    Call it while holding a `lock` on ``path``.
    """
    path = path.absolute()
    for part in path.parent.glob(f".{_literal(path.name)}.*{PART}"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "[]*?" else c for c in name)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader finds the whole content or no file, even after a crash.

    The bytes are written to a hidden file beside it, flushed to disk and renamed. The folder is
    created if necessary.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = beside(path)
    try:
        half.write_bytes(content)
        promote(half, path)
    finally:
        half.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8, line ends unchanged; see `write_bytes`."""
    write_bytes(path, text.encode())


def promote(half: Path, path: Path) -> None:
    """Flush a finished file to disk and rename it."""
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)


@contextmanager
def lock(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Lock ``path`` for this process, by a lock on a hidden empty file beside it.

    The operating system releases the lock when the process ends, even if it crashes.

    Args:
        path: The file or folder to lock.
        wait: Seconds to wait while another process holds the lock.

    Raises:
        BusyError: Another process holds the lock.
        OSError: The lock file cannot be written.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + wait
    while True:
        with place.open("w") as file:
            if _locked(file, place):
                try:
                    yield
                finally:
                    place.unlink(missing_ok=True)
                return
        if time.monotonic() >= deadline:
            raise BusyError(
                f"{path} is in use",
                "another process of Suraksha is using it",
                "Wait until it has finished, or choose another folder",
            )
        time.sleep(0.1)


def _locked(file: TextIO, place: Path) -> bool:
    """Whether this process got the lock, and the file still has its name."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
