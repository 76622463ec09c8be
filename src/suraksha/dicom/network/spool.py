"""The spool folder of the service: received images and results, each file complete or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from suraksha.files import PART, beside, promote, write_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

IMAGES, RESULTS = "images", "results"


class Spool:
    """The files of the jobs.

    Args:
        folder: Created if missing, readable by its owner only.

    Raises:
        OSError: The folder cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in (folder, folder / IMAGES, folder / RESULTS):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def free_bytes(self) -> int:
        """Free disk space in bytes."""
        return shutil.disk_usage(self.folder).free

    def image(self, job: str) -> Path:
        """The path of a job's image."""
        return self.folder / IMAGES / f"{job}.dcm"

    @contextmanager
    def receiving(self) -> Iterator[Path]:
        """A temporary path for an image that is not checked yet; removed unless `accept`-ed."""
        part = beside(self.folder / IMAGES / "receiving.dcm")
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    def accept(self, part: Path, job: str) -> Path:
        """Make a received file a job's image; it is complete and on disk when this returns."""
        path = self.image(job)
        promote(part, path)
        _sync_folder(path.parent)
        return path

    def results(self, job: str) -> list[Path]:
        """The paths of a job's results, in order."""
        return sorted((self.folder / RESULTS / job).glob("*.dcm"))

    def write_results(self, job: str, datasets: Sequence[Dataset]) -> list[Path]:
        """Write a job's results and replace earlier ones."""
        folder = self.folder / RESULTS / job
        shutil.rmtree(folder, ignore_errors=True)
        for number, dataset in enumerate(datasets):
            content = BytesIO()
            dataset.save_as(content, enforce_file_format=True)
            write_bytes(folder / f"{number}.dcm", content.getvalue())
        _sync_folder(folder)
        _sync_folder(folder.parent)
        return self.results(job)

    def remove(self, job: str) -> None:
        """Remove a job's files."""
        self.image(job).unlink(missing_ok=True)
        shutil.rmtree(self.folder / RESULTS / job, ignore_errors=True)

    def clean(self, jobs: Iterable[str]) -> int:
        """Remove partial files of a killed process and the files of all but these jobs.

        Call it only when no other process works in the folder.

        Returns:
            How many files and folders were removed.
        """
        wanted, removed = set(jobs), 0
        for path in (self.folder / IMAGES).iterdir():
            if path.name.endswith(PART) or path.stem not in wanted:
                path.unlink(missing_ok=True)
                removed += 1
        for path in (self.folder / RESULTS).iterdir():
            if path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        return removed


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system supports it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
