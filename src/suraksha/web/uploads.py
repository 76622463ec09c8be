"""Uploads on the disk: in a folder of ours alone, under names of our own, for one request."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi import UploadFile

from suraksha.errors import SurakshaError
from suraksha.types import Spacing
from suraksha.web.errors import told
from suraksha.web.sources import HEAD_BYTES, Kind, Source, kind_of, open_source


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a request.

    Args:
        name: Our own name of it, ``image-1``.
        path: Where it lies while the request lasts.
        kind: What it is.
    """

    name: str
    path: Path
    kind: Kind

    def open(self, spacing_mm: float | None, pixels: int) -> Source:
        """Its frames, see `open_source`."""
        spacing = None if spacing_mm is None else Spacing.square(spacing_mm)
        return open_source(self.path, self.kind, spacing=spacing, pixels=pixels)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only we can read, gone with the request."""
    with TemporaryDirectory(prefix="suraksha-") as name:
        yield Path(name)


def store(sent: UploadFile, folder: Path, *, number: int) -> Upload:
    """Write a file of a request into the folder; to be called in a worker.

    Raises:
        Refused: It is of no kind that is taken.
    """
    name = f"image-{number}"
    sent.file.seek(0)
    kind = kind_of(sent.file.read(HEAD_BYTES), name)
    sent.file.seek(0)
    path = folder / f"{name}{kind.suffix}"
    with path.open("wb") as target:
        shutil.copyfileobj(sent.file, target, 1 << 20)
    return Upload(name, path, kind)


@contextmanager
def refusals_of(folder: Path, name: str) -> Iterator[None]:
    """Tell every failure on one image as a `HttpError` that names no path."""
    try:
        yield
    except (SurakshaError, OSError, MemoryError) as error:
        raise told(error, folder=folder, name=name) from error
