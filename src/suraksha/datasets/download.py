"""Get a data set from a URL or a zip file: resumed, checked by hash, unpacked safely."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from suraksha.datasets.catalogue import DatasetSpec, find_dataset
from suraksha.datasets.hashes import CHUNK_BYTES, file_sha256
from suraksha.datasets.layouts import locate, scan
from suraksha.datasets.records import read_capped
from suraksha.datasets.unpack import Bytes, unpack
from suraksha.errors import DataError, UsageError
from suraksha.files import beside, lock, sweep

TIMEOUT_S = 30.0
MAX_BYTES = 16 << 30


def fetch(
    name: str,
    source: str | Path,
    *,
    folder: str | Path,
    table: str | Path | None = None,
    sha256: str | None = None,
    progress: Bytes | None = None,
) -> Path:
    """Put a data set into ``folder/name``, from a zip archive.

    A download that is interrupted continues where it stopped, in this call or the next.

    Args:
        name: A data set of the catalogue: ``busi``, ``bus-bra`` or ``breast``.
        source: An http or https URL, or the path of a zip file.
        folder: The folder that is to contain the data set's own folder.
        table: URL or path of the table of the images where the archive lacks it; the publishers of
            ``breast`` offer their xlsx file separately.
        sha256: The archive's SHA-256, 64 hexadecimal digits; recommended for a URL.
        progress: Called with the bytes done and in total, of the download and then of unpacking.

    Returns:
        The data set's folder, which `find_cases` takes.

    Raises:
        UnknownNameError: A data set that the catalogue does not hold.
        UsageError: A source that is neither, or an invalid checksum.
        DataError: The folder exists, a download fails, the checksum differs, the archive is
            unsafe or damaged, or it is not the data set.
        OSError: A place that cannot be written.
    """
    spec = find_dataset(name)
    target = Path(folder) / name
    for given in (source, table):
        _check_source(given)
    _check_target(target, sha256)
    with lock(target):
        sweep(target)
        with ExitStack() as stack:
            archive = stack.enter_context(_local(source, target, progress))
            facts = table and stack.enter_context(_local(table, target, progress))
            _check_hash(archive, spec, sha256)
            with _beside(target) as part:
                unpack(archive, part, progress=progress)
                if table and facts:
                    _add_table(part, spec, facts, name=_file_name(table))
                scan(part, spec)
                part.rename(target)
    return target


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A hidden name beside the target; what still has it afterwards is deleted."""
    part = beside(target)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _local(source: str | Path, target: Path, progress: Bytes | None) -> Iterator[Path]:
    """The source as a file; a download is deleted once it was used, or was of no use."""
    if not _is_url(source):
        yield Path(source)
        return
    url = str(source)
    digest = hashlib.sha256(url.encode()).hexdigest()
    file = target.with_name(f".{target.name}-{digest[:12]}.zip.part")
    _download(url, file, progress)
    try:
        yield file
    except DataError:
        file.unlink(missing_ok=True)
        raise
    file.unlink(missing_ok=True)


def _file_name(source: str | Path) -> str:
    path = unquote(urlsplit(source).path) if isinstance(source, str) else source.name
    return PurePosixPath(path).name


def _add_table(part: Path, spec: DatasetSpec, file: Path, *, name: str) -> None:
    """Copy the table to where the description expects it.

    Raises:
        DataError: The data set has no table, or the table is too large.
    """
    if spec.table is None:
        raise DataError(
            f"a table was given for '{spec.name}'", "it has none", "Give the archive alone"
        )
    place = locate(part, spec)[0]
    fits = fnmatchcase(name, spec.table.file)
    content = read_capped(file)
    (place / (name if fits else spec.table.file.replace("*", "given"))).write_bytes(content)


def _is_url(source: str | Path) -> bool:
    return isinstance(source, str) and urlsplit(source).scheme in ("http", "https")


def _check_source(source: str | Path | None) -> None:
    if source is not None and not _is_url(source) and not Path(source).is_file():
        raise UsageError(
            f"'{source}' cannot be fetched",
            "it is neither an http or https URL nor a file",
            "Give the URL or the path of the file",
        )


def _check_target(target: Path, sha256: str | None) -> None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(
            f"'{sha256}' is not a SHA-256", "it needs 64 hexadecimal digits", "Copy all of it"
        )
    if target.exists():
        raise DataError(
            f"{target} exists already",
            "a data set is not overwritten",
            "Use it as it is, or delete it first",
        )


def _check_hash(archive: Path, spec: DatasetSpec, sha256: str | None) -> None:
    found = file_sha256(archive)
    if sha256 is not None and found != sha256.lower():
        raise DataError(
            f"the archive for '{spec.name}' is not the expected one",
            f"its SHA-256 is {found}, not {sha256.lower()}",
            "Fetch it again, or ask its publisher for the right checksum",
        )


def _download(url: str, part: Path, progress: Bytes | None) -> None:
    """Fetch a URL into ``part``, resuming while each attempt brings more."""
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            if _try(url, part, have, progress):
                return
            why = "the connection was closed"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and have:
                if error.headers.get("Content-Range") == f"bytes */{have}":
                    return
                part.unlink()
                continue
            raise _failed(url, f"the server answered {error.code} {error.reason}") from error
        except DataError:
            part.unlink(missing_ok=True)
            raise
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
        now = part.stat().st_size if part.exists() else 0
        if now <= have:
            raise _failed(url, f"{why} after {now} bytes")


def _failed(url: str, why: str) -> DataError:
    return DataError(
        f"{url} could not be fetched",
        why,
        "Check the URL, then run the same command again; it continues where it stopped",
    )


def _opener() -> urllib.request.OpenerDirector:
    """An opener for http and https alone, also after a redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _try(url: str, part: Path, have: int, progress: Bytes | None) -> bool:
    """Append what one connection brings; whether the file is complete now."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "suraksha"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    with _opener().open(request, timeout=TIMEOUT_S) as answer:
        start = _start(answer, have)
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else None
        if total is not None and total > MAX_BYTES:
            raise _failed(url, f"it is {total} bytes, more than {MAX_BYTES}")
        done = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if done > MAX_BYTES:
                    raise _failed(url, f"it is more than {MAX_BYTES} bytes")
                if progress is not None:
                    progress(done, total)
    return total is None or done == total


def _start(answer: http.client.HTTPResponse, have: int) -> int:
    """Where the body belongs: the requested offset, or 0 where the server ignores the range."""
    if answer.status != 206:
        return 0
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if not match or int(match.group(1)) != have:
        raise http.client.HTTPException("the server answered with another range")
    return have
