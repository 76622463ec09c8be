"""The results folder of ``segment``: which images, which names, and nothing of others' lost."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suraksha.errors import InputError
from suraksha.io.guards import is_dicom

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom")
LINES = "results.jsonl"
OWN = ("results.csv", "report.html")
# what --also writes, and how each kind's name ends
ALSO = {
    "seg": ".dcm",
    "sr": ".dcm",
    "sc": ".dcm",
    "rtstruct": ".dcm",
    "geojson": ".geojson",
    "nrrd": ".nrrd",
}
KINDS = {"mask": ".png", "overlay": ".png", "attention": ".png", **ALSO}
# stands near the start of each file that segment writes, by which it knows its own
MARK = b"uraksha"
HEAD_BYTES = 1024
# how segment and BUSI name what is no image of a patient
NO_IMAGE = re.compile(r"_mask(_\d+)?$|_(overlay|attention|seg|sr|sc|rtstruct)$")
Record = dict[str, Any]


def shown(path: Path | str) -> str:
    """A path as text that any file can hold: bytes that are no UTF-8 are written as hex."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def find_images(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files given and the images of the folders given, in order; and what was left out.

    In folders, what is no image (``*_mask``, ``*_mask_1``, ``*_overlay``, ``*_seg`` and so on)
    is left out. A file is taken as it is given, whatever its name: an unusable one is reported with
    its own error. So is a folder without an image.

    Raises:
        InputError: No image at all.
    """
    found: list[Path] = []
    left_out: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [f for f in sorted(path.rglob("*")) if _may_be_image(f)]
        images = [f for f in inside if not NO_IMAGE.search(_stem(f))]
        left_out += [f for f in inside if NO_IMAGE.search(_stem(f))]
        found += images or [path]
    if not [path for path in found if not path.is_dir()]:
        raise InputError(
            "there is nothing to segment",
            f"no image ({', '.join(SUFFIXES)}) lies in {', '.join(map(shown, paths))}",
            "Give images, or a folder that holds some",
        )
    return list({path.absolute(): path for path in found}.values()), left_out


def _stem(path: Path) -> str:
    """The name without its ending, or all of it: what follows the last dot of a UID is none."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _may_be_image(path: Path) -> bool:
    """By its ending; DICOM files often have none, or the last part of a UID."""
    if path.suffix.lower() in SUFFIXES:
        return True
    return path.is_file() and not path.name.startswith(".") and is_dicom(path)


def earlier_records(out: Path) -> list[Record]:
    """What ``segment`` wrote into a folder before.

    Raises:
        InputError: A ``results.jsonl`` that is not its own.
    """
    path = out / LINES
    if not path.is_file():
        return []
    try:
        records = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
        if any(not isinstance(r, dict) or not isinstance(r.get("image"), str) for r in records):
            raise ValueError("a line is no record of an image")
        return list({_place(record): record for record in records}.values())
    except ValueError as error:
        raise InputError(
            f"{shown(path)} cannot be gone on with",
            f"it is not what 'suraksha segment' writes ({error})",
            "Choose another --out, or move that file away",
        ) from error


def output_names(images: Sequence[Path], earlier: Sequence[Record] = ()) -> list[str]:
    """A name for each image's files: its stem, with a number where two would be alike.

    An image that an earlier call segmented keeps its name; other images' names stay taken.
    """
    old = {_place(record): _name(record) for record in earlier if _name(record)}
    again = {source_of(path) for path in images}
    used = {name.casefold() for place, name in old.items() if place not in again}
    stems = {shown(_stem(path)).casefold() for path in images}
    names = []
    for path in images:
        stem = shown(_stem(path))
        name, number = old.get(source_of(path), stem), 1
        while name.casefold() in used:
            number += 1
            candidate = f"{stem}-{number}"
            name = candidate if candidate.casefold() not in stems else name
        used.add(name.casefold())
        names.append(name)
    return names


def refuse_to_overwrite(out: Path, names: Sequence[str]) -> None:
    """Refuse a folder in which files of others would be replaced, such as a data set's masks.

    Raises:
        InputError: Files with the names of the results that ``segment`` did not write.
    """
    wanted = [out / f"{name}_{kind}{end}" for name in names for kind, end in KINDS.items()]
    others = [path.name for path in (*wanted, *(out / name for name in OWN)) if not is_ours(path)]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise InputError(
            f"{shown(out)} holds files that the results would replace",
            f"{', '.join(others[:3])}{more} are not from 'suraksha segment'",
            "Choose another --out; a folder of its own is best",
        )


def is_ours(path: Path) -> bool:
    """Whether nothing is lost if ``segment`` writes here: nothing is there, or it wrote it."""
    try:
        with path.open("rb") as file:
            return MARK in file.read(HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def remove_outputs(out: Path, name: str, *, kinds: Sequence[str] = tuple(KINDS)) -> None:
    """Remove what an earlier call wrote for an image, and what does not hold any more."""
    for kind in kinds:
        path = out / f"{name}_{kind}{KINDS[kind]}"
        if path.exists() and is_ours(path):
            path.unlink()


def kept(earlier: Sequence[Record], images: Sequence[Path]) -> list[Record]:
    """The earlier records of images that are not segmented again."""
    again = {source_of(path) for path in images}
    return [record for record in earlier if _place(record) not in again]


def source_of(path: Path) -> str:
    """The absolute path of an image, by which calls from different folders tell images apart."""
    return shown(path.absolute())


def _place(record: Mapping[str, Any]) -> str:
    return str(record.get("source", record["image"]))


def _name(record: Mapping[str, Any]) -> str:
    return str(record.get("mask", "")).removesuffix("_mask.png")
