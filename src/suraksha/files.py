"""Files that are written whole or not at all, and folders that one process works in at a time."""

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
except ImportError:  # Windows has no flock; there the lock is left out
    fcntl = None  # type: ignore[assignment]

PART = ".part"


def keep_matplotlib_out_of_home() -> None:
    """Point matplotlib's font cache at the temporary folder; call it before the import."""
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / "suraksha-matplotlib"))


def beside(path: Path) -> Path:
    """A free hidden name in the same folder, for what is renamed to ``path`` when it is whole."""
    path = path.absolute()
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")


def sweep(path: Path) -> None:
    """Remove what killed processes left of ``path``, see `beside`; call it under a `lock`."""
    path = path.absolute()
    for part in path.parent.glob(f".{_literal(path.name)}.*{PART}"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "[]*?" else c for c in name)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a run after a kill, finds it whole or not at all.

    The bytes go into a hidden file beside it, reach the disk, and then take its name. The folder is
    made as needed.

    Raises:
        OSError: A place that cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = beside(path)
    try:
        half.write_bytes(content)
        promote(half, path)
    finally:
        half.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """The same for text, in UTF-8 with the line ends as they are."""
    write_bytes(path, text.encode())


def promote(half: Path, path: Path) -> None:
    """Give a finished file its name, once its bytes have reached the disk."""
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)


@contextmanager
def lock(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold ``path`` for this process: a hidden empty file beside it is locked meanwhile.

    The system lets go of the lock when the process ends, however it ends.

    Args:
        path: What to hold.
        wait: Seconds to wait for another process that holds it.

    Raises:
        BusyError: Another process holds it.
        OSError: A place that cannot be written.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.lock")
    patience = time.monotonic() + wait
    while True:
        with place.open("w") as file:
            if _locked(file, place):
                try:
                    yield
                finally:
                    place.unlink(missing_ok=True)
                return
        if time.monotonic() >= patience:
            raise BusyError(
                f"{path} is in use",
                "another process of Suraksha works on it",
                "Wait until it has ended, or choose another place",
            )
        time.sleep(0.1)


def _locked(file: TextIO, place: Path) -> bool:
    """Whether the lock is ours, and of the file that still has the name."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
