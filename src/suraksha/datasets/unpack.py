"""Unpack zip archives of unknown origin safely."""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from suraksha.datasets.hashes import CHUNK_BYTES
from suraksha.errors import DataError

Bytes = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in total, None where that is unknown."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of what an archive may contain.

    Args:
        files: Number of entries.
        file_bytes: Unpacked size of one file, in bytes.
        total_bytes: Unpacked size of all files, in bytes.
        ratio: Unpacked size by packed size, for the whole archive and for each large file.
        ratio_from_bytes: Minimum size of a file whose ratio is checked, in bytes; a small empty
            mask may compress a thousandfold.
    """

    files: int = 200_000
    file_bytes: int = 1 << 30
    total_bytes: int = 16 << 30
    ratio: int = 200
    ratio_from_bytes: int = 16 << 20


def unpack(
    archive: Path, folder: Path, *, limits: Limits | None = None, progress: Bytes | None = None
) -> None:
    """Unpack a zip archive into a new folder. All entries are checked before any is written.

    Args:
        archive: The zip file.
        folder: The folder to make; it must not exist.
        limits: Limits of what the archive may contain.
        progress: Called with the unpacked bytes done and in total.

    Raises:
        DataError: Not a zip archive, a damaged or encrypted one, an entry that would leave the
            folder, a link or device, a name that occurs twice, or more than the limits allow.
            Nothing is left behind.
        OSError: A place that cannot be written.
    """
    limits = limits or Limits()
    try:
        with zipfile.ZipFile(archive) as source:
            entries = source.infolist()
            names = [_safe_name(archive, entry) for entry in entries]
            _check_limits(archive, entries, limits)
            _check_names(archive, names)
            folder.mkdir(parents=True)
            total = sum(entry.file_size for entry in entries)
            done = 0
            for entry, name in zip(entries, names, strict=True):
                done += _extract(source, entry, folder / name)
                if progress is not None:
                    progress(done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _refused(archive, f"it is damaged or not a zip archive ({error})") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _refused(archive: Path, why: str) -> DataError:
    return DataError(
        f"the archive {archive.name} was not unpacked", why, "Get the archive from its publisher"
    )


def _safe_name(archive: Path, entry: zipfile.ZipInfo) -> PurePosixPath:
    raw = entry.orig_filename
    path = PurePosixPath(raw)
    odd = any(ord(character) < 32 for character in raw) or "\\" in raw or ":" in raw
    if odd or not path.parts or path.is_absolute() or ".." in path.parts:
        raise _refused(archive, f"the entry {raw!r} is outside its folder or has no valid name")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(archive, f"the entry {raw!r} is a link or a device")
    if entry.flag_bits & 0x1:
        raise _refused(archive, f"the entry {raw!r} is encrypted")
    return path


def _check_limits(archive: Path, entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(entries) > limits.files:
        raise _refused(archive, f"it has {len(entries)} entries, more than {limits.files}")
    for entry in entries:
        if entry.file_size > limits.file_bytes:
            raise _refused(archive, f"'{entry.filename}' unpacks to {entry.file_size} bytes")
        large = entry.file_size >= limits.ratio_from_bytes
        if large and entry.file_size > limits.ratio * max(entry.compress_size, 1):
            raise _refused(archive, f"'{entry.filename}' unpacks to over {limits.ratio} times")
    total = sum(entry.file_size for entry in entries)
    if total > limits.total_bytes:
        raise _refused(archive, f"it unpacks to {total} bytes, more than {limits.total_bytes}")
    if total >= limits.ratio_from_bytes and total > limits.ratio * archive.stat().st_size:
        raise _refused(archive, f"it unpacks to over {limits.ratio} times its size")


def _check_names(archive: Path, names: list[PurePosixPath]) -> None:
    """No name may occur twice, also on systems that ignore the case of letters."""
    seen: set[str] = set()
    for name in names:
        key = re.sub(r"[. ]+(?=/|$)", "", str(name)).casefold()
        if key in seen:
            raise _refused(archive, f"the entry '{name}' is in it twice")
        seen.add(key)


def _extract(source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> int:
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with source.open(entry) as packed, target.open("xb") as file:
        while chunk := packed.read(CHUNK_BYTES):
            done += len(chunk)
            if done > entry.file_size:
                raise zipfile.BadZipFile(f"'{entry.filename}' is larger than it says")
            file.write(chunk)
    return done
