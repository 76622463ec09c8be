"""Get a data set from a URL or a zip file: resumed, checked, unpacked safely, never run."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from suraksha.datasets.catalogue import DatasetSpec, find_dataset
from suraksha.datasets.hashes import CHUNK_BYTES, file_sha256
from suraksha.datasets.layouts import locate
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
    sha256: str | None = None,
    progress: Bytes | None = None,
) -> Path:
    """Put a data set into ``folder/name``, from a zip archive.

    A download that breaks off is taken up again where it stopped, in this call or the next.

    Args:
        name: A data set of the catalogue, such as ``busi``.
        source: An http or https URL, or the path of a zip file.
        folder: The folder that is to hold the data set's own folder.
        sha256: The archive's SHA-256, 64 hexadecimal digits; strongly advised for a URL.
        progress: Is told bytes done and in all, of the download and then of unpacking.

    Returns:
        The data set's folder, which ``find_cases`` takes.

    Raises:
        UnknownNameError: A data set that the catalogue does not hold.
        UsageError: A source that is neither, or a checksum that is none.
        DataError: The folder exists, the download fails, the checksum differs, the archive is
            unsafe or damaged, or it does not hold the data set.
        OSError: A place that cannot be written.
    """
    spec = find_dataset(name)
    target = Path(folder) / name
    _check(source, target, sha256)
    with lock(target):
        sweep(target)
        _fetch(source, target, spec, sha256, progress)
    return target


def _fetch(
    source: str | Path,
    target: Path,
    spec: DatasetSpec,
    sha256: str | None,
    progress: Bytes | None,
) -> None:
    if _is_url(source):
        url = str(source)
        digest = hashlib.sha256(url.encode()).hexdigest()
        archive = target.with_name(f".{spec.name}-{digest[:12]}.zip.part")
        _download(url, archive, progress)
        try:
            _install(archive, target, spec, sha256, progress)
        except DataError:
            archive.unlink(missing_ok=True)
            raise
        archive.unlink(missing_ok=True)
    else:
        _install(Path(source), target, spec, sha256, progress)


def _is_url(source: str | Path) -> bool:
    return isinstance(source, str) and urlsplit(source).scheme in ("http", "https")


def _check(source: str | Path, target: Path, sha256: str | None) -> None:
    if not _is_url(source) and not Path(source).is_file():
        raise UsageError(
            f"'{source}' cannot be fetched",
            "it is neither an http or https URL nor a file",
            "Give the URL or the path of a zip archive",
        )
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(
            f"'{sha256}' is no SHA-256", "it needs 64 hexadecimal digits", "Copy it whole"
        )
    if target.exists():
        raise DataError(
            f"{target} exists already",
            "a data set is not overwritten",
            "Use it as it is, or delete it first",
        )


def _install(
    archive: Path,
    target: Path,
    spec: DatasetSpec,
    sha256: str | None,
    progress: Bytes | None,
) -> None:
    """Check, unpack beside the target, look that it is the data set, and rename."""
    found = file_sha256(archive)
    if sha256 is not None and found != sha256.lower():
        raise DataError(
            f"the archive for '{spec.name}' is not the one that was asked for",
            f"its SHA-256 is {found}, not {sha256.lower()}",
            "Fetch it again, or ask its publisher for the right checksum",
        )
    part = beside(target)
    try:
        unpack(archive, part, progress=progress)
        locate(part, spec)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _download(url: str, part: Path, progress: Bytes | None) -> None:
    """Fetch a URL into ``part``, resuming while each try brings more."""
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            if _try(url, part, have, progress):
                return
            why = "the connection broke off"
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
        "Check the URL, then run the same command again; it goes on where it ended",
    )


def _opener() -> urllib.request.OpenerDirector:
    """One that speaks http and https alone, also after a redirect."""
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
    """One connection: append what it brings; whether the file is whole now."""
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
    """Where the body belongs: the place that was asked for, or 0 where the server ignores that."""
    if answer.status != 206:
        return 0
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if not match or int(match.group(1)) != have:
        raise http.client.HTTPException("the server answered with another range")
    return have
