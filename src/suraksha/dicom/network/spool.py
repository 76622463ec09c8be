"""The node's folder: images that came in, results that go out, each file whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from suraksha.files import PART, beside, promote, write_bytes

IMAGES, RESULTS = "images", "results"


class Spool:
    """Files of the jobs, by job.

    Args:
        folder: Made as needed, readable by its owner alone.

    Raises:
        OSError: A folder that cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for place in (folder, folder / IMAGES, folder / RESULTS):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def free_bytes(self) -> int:
        """Space that is left on the disk."""
        return shutil.disk_usage(self.folder).free

    def image(self, job: str) -> Path:
        """Where a job's image lies."""
        return self.folder / IMAGES / f"{job}.dcm"

    @contextmanager
    def arriving(self) -> Iterator[Path]:
        """A name for what was not looked at yet; removed in the end unless `accept` took it."""
        half = beside(self.folder / IMAGES / "arriving.dcm")
        try:
            yield half
        finally:
            half.unlink(missing_ok=True)

    def accept(self, half: Path, job: str) -> Path:
        """Make what arrived a job's image, whole and on the disk when this returns."""
        path = self.image(job)
        promote(half, path)
        _sync_folder(path.parent)
        return path

    def results(self, job: str) -> list[Path]:
        """A job's results, in order."""
        return sorted((self.folder / RESULTS / job).glob("*.dcm"))

    def keep_results(self, job: str, datasets: Sequence[Any]) -> list[Path]:
        """Write a job's results, in place of earlier ones."""
        folder = self.folder / RESULTS / job
        shutil.rmtree(folder, ignore_errors=True)
        for number, dataset in enumerate(datasets):
            content = BytesIO()
            dataset.save_as(content, enforce_file_format=True)
            write_bytes(folder / f"{number}.dcm", content.getvalue())
        _sync_folder(folder)
        _sync_folder(folder.parent)
        return self.results(job)

    def forget(self, job: str) -> None:
        """Remove a job's files."""
        self.image(job).unlink(missing_ok=True)
        shutil.rmtree(self.folder / RESULTS / job, ignore_errors=True)

    def sweep(self, wanted: Iterable[str]) -> int:
        """Remove halves that a killed process left, and files of other jobs; how many.

        Call it only where no other process works in the folder.
        """
        keep, removed = set(wanted), 0
        for path in (self.folder / IMAGES).iterdir():
            if path.name.endswith(PART) or path.stem not in keep:
                path.unlink(missing_ok=True)
                removed += 1
        for path in (self.folder / RESULTS).iterdir():
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        return removed


def _sync_folder(folder: Path) -> None:
    """Make names in a folder durable; where folders cannot be synced there is nothing to do."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
