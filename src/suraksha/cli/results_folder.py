"""The folder that ``segment`` writes to: its manifest, its records and the names of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from suraksha.cli.segment_images import FoundImage
from suraksha.cli.text import printable
from suraksha.errors import InputError
from suraksha.files import write_text

LINES, TABLE, PAGE = "results.jsonl", "results.csv", "report.html"
MANIFEST = ".suraksha-manifest.json"
# kind of file -> how its name continues after that of the image
ENDINGS = MappingProxyType(
    {
        "mask": "_mask.png",
        "overlay": "_overlay.png",
        "attention": "_attention.png",
        "seg": "_seg.dcm",
        "sr": "_sr.dcm",
        "sc": "_sc.dcm",
        "rtstruct": "_rtstruct.dcm",
        "geojson": ".geojson",
        "nrrd": ".nrrd",
    }
)
Record = dict[str, Any]


@dataclass(slots=True)
class ResultsFolder:
    """A results folder. Hold `suraksha.files.lock` on its ``results.jsonl`` while using it.

    The manifest assigns a name to every source before any file of that name is written, so that
    a later run knows which files it may replace, even after a kill.

    Args:
        path: The folder.
        names: Names of the files by source, from the manifest.
        records: Last record by source, in the order of the file.
        superseded: Whether ``results.jsonl`` holds lines that do not count any more.
    """

    path: Path
    names: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    superseded: bool = False

    def claim(self, images: Sequence[FoundImage]) -> list[str]:
        """Reserve a name for each image and write the manifest.

        An image that an earlier run segmented keeps its name.

        Raises:
            InputError: The folder holds files of these names that ``segment`` did not write.
        """
        names = output_names(images, self.names)
        pairs = zip(images, names, strict=True)
        new = [name for image, name in pairs if image.source not in self.names]
        used = [self.path / f"{name}{ending}" for name in new for ending in ENDINGS.values()]
        if not self.names:
            used += [self.path / LINES, self.path / TABLE, self.path / PAGE]
        others = [path.name for path in used if path.exists()]
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            raise InputError(
                f"{printable(self.path)} contains files that the results would replace",
                f"{printable(', '.join(others[:3]))}{more} were not written by this command",
                "Choose another --out, best an empty folder",
            )
        self.names |= {image.source: name for image, name in zip(images, names, strict=True)}
        text = json.dumps({"names": self.names}, ensure_ascii=False, indent=1)
        write_text(self.path / MANIFEST, text + "\n")
        self.compact()
        return names

    def add(self, source: str, record: Record) -> None:
        """Append the record of an image to ``results.jsonl``."""
        self.superseded |= source in self.records
        self.records[source] = record
        with (self.path / LINES).open("a", encoding="utf-8") as lines:
            lines.write(json_line(record) + "\n")

    def compact(self) -> None:
        """Rewrite ``results.jsonl`` without superseded records, if there are any."""
        if self.superseded:
            lines = "".join(json_line(record) + "\n" for record in self.records.values())
            write_text(self.path / LINES, lines)
            self.superseded = False

    def remove(self, name: str, *, kinds: Sequence[str] = tuple(ENDINGS)) -> None:
        """Remove files that an earlier run wrote for an image and that are not valid any more."""
        for kind in kinds:
            (self.path / f"{name}{ENDINGS[kind]}").unlink(missing_ok=True)

    def complete(self, record: Mapping[str, Any]) -> bool:
        """Whether every file that a record names is there."""
        named = [record[kind] for kind in ENDINGS if kind in record]
        return bool(named) and all((self.path / name).is_file() for name in named)


def open_results(path: Path) -> ResultsFolder:
    """Read the manifest and the records of a folder, which may be new.

    Raises:
        InputError: Files of these names that ``segment`` did not write, or damaged ones.
    """
    manifest, lines = path / MANIFEST, path / LINES
    if not manifest.is_file():
        return ResultsFolder(path)
    try:
        names = json.loads(manifest.read_bytes())["names"]
        if not all(isinstance(name, str) for name in names.values()):
            raise ValueError("a name is not a string")
        # a killed run may leave a last line without its end
        whole, _, half = (lines.read_bytes() if lines.is_file() else b"").rpartition(b"\n")
        records = [json.loads(line) for line in whole.splitlines() if line.strip()]
        by_source = {str(record["source"]): record for record in records}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{printable(path)} cannot be continued",
            f"its {LINES} or {MANIFEST} is damaged or not from 'suraksha segment' ({error})",
            "Choose another --out, or move these files away",
        ) from error
    superseded = bool(half) or len(by_source) < len(records)
    return ResultsFolder(path, names, by_source, superseded)


def output_names(images: Sequence[FoundImage], earlier: Mapping[str, str]) -> list[str]:
    """A name for each image: its label, with a number where two would be the same.

    Args:
        images: What is named.
        earlier: Names by source that earlier runs gave; they are kept.
    """
    given = {image.source for image in images}
    used = {name.casefold() for name in earlier.values()}
    labels = {image.label.casefold() for image in images if image.source in given}
    names = []
    for image in images:
        name, number = earlier.get(image.source), 1
        if name is None:
            name = image.label
            while name.casefold() in used or (number > 1 and name.casefold() in labels):
                number += 1
                name = f"{image.label}-{number}"
        used.add(name.casefold())
        names.append(name)
    return names


def json_line(record: Mapping[str, Any]) -> str:
    """A record on one line."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False)
