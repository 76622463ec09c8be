"""Find where a data set keeps its images and masks, without reading them."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from suraksha.datasets.catalogue import (
    DATASETS,
    DESCRIPTION_FILE,
    ClassSpec,
    DatasetSpec,
    load_description,
)
from suraksha.datasets.names import listing, natural_key
from suraksha.errors import DataError


@dataclass(frozen=True, slots=True)
class Case:
    """One image of a data set, with its masks, not yet read.

    Args:
        name: The image's name, such as ``benign (433)``.
        label: Its class.
        image_path: The image's file.
        mask_paths: Its mask files; the truth is their union.
        normal: Whether its class shows no lesion.
        masked: Whether a mask file must be there.
        spacing_mm: Size of a pixel in mm where the description gives it.
        group: Name of the group of the description's groups file, or None.
    """

    name: str
    label: str
    image_path: Path
    mask_paths: tuple[Path, ...]
    normal: bool
    masked: bool = False
    spacing_mm: float | None = None
    group: str | None = None


Progress = Callable[[Sequence[Case]], Iterable[Case]]
"""Wraps the cases while they are worked through, as ``tqdm`` does."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What stands in a data set's folder, faulty or not.

    Args:
        root: The data set's own folder.
        spec: Its description.
        cases: Its images, natural-sorted; a name may be there twice.
        orphans: Mask files without an image.
        empty_classes: Classes without an image.
    """

    root: Path
    spec: DatasetSpec
    cases: tuple[Case, ...]
    orphans: tuple[Path, ...]
    empty_classes: tuple[ClassSpec, ...]


def locate(root: str | Path, spec: DatasetSpec | None = None) -> tuple[Path, DatasetSpec]:
    """The data set's own folder and its description.

    Args:
        root: The folder itself, or one that contains the official folder.
        spec: The description. By default the folder's own ``suraksha.toml``, or else the known
            data set whose layout the folder has.

    Raises:
        DataError: No such folder, or one whose layout is not known.
        UnknownNameError: An unknown key in the folder's ``suraksha.toml``.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"there is no folder {root}", "the data set must stand there", "Give the path of yours"
        )
    if spec is None and (root / DESCRIPTION_FILE).is_file():
        spec = load_description(root / DESCRIPTION_FILE)
    for known in DATASETS if spec is None else (spec,):
        inside = [root, root / known.name]  # where the set itself lies, and where `fetch` puts it
        for place in inside + ([base / known.folder for base in inside] if known.folder else []):
            if any(_first(place, entry) for entry in known.classes):
                return place, known
    wanted = spec.name if spec else ", ".join(known.name for known in DATASETS)
    raise DataError(
        f"{root} holds no data set that can be read",
        f"no image stands where the description of '{wanted}' has them",
        f"Give the official folder, or put a {DESCRIPTION_FILE} into it that describes its layout",
    )


def _first(place: Path, entry: ClassSpec) -> Path | None:
    return next(place.glob(entry.images), None)


def scan(root: str | Path, spec: DatasetSpec | None = None) -> Scan:
    """List a data set's images and masks without reading them, faults included.

    Raises:
        DataError: A folder or description that cannot be used, see ``locate``, or a groups file
            that is broken or leaves an image out.
    """
    folder, spec = locate(root, spec)
    found: list[tuple[ClassSpec, Path]] = []
    places: set[Path] = set()
    generic = [template.replace("{stem}", "*") for template in spec.masks]
    for entry in spec.classes:
        files = [f for f in folder.glob(entry.images) if f.is_file() and f.name[0] != "."]
        places |= {_mask_place(folder, spec, entry, file) for file in files}
        for file in files:
            here = _mask_place(folder, spec, entry, file) == file.parent
            if not (here and any(fnmatchcase(file.name, pattern) for pattern in generic)):
                found.append((entry, file))
    masks, orphans = _assign_masks(folder, spec, found, places)
    cases = [
        Case(
            name=file.stem,
            label=entry.label,
            image_path=file,
            mask_paths=tuple(masks[_mask_place(folder, spec, entry, file), file.stem]),
            normal=entry.normal,
            masked=spec.normal_masks or not entry.normal,
            spacing_mm=spec.spacing_mm,
        )
        for entry, file in found
    ]
    cases.sort(key=lambda case: (natural_key(case.name), case.label, str(case.image_path)))
    if spec.groups is not None:
        cases = _grouped(cases, folder / spec.groups)
    labels = {case.label for case in cases}
    empty = tuple(entry for entry in spec.classes if entry.label not in labels)
    return Scan(folder, spec, tuple(cases), tuple(orphans), empty)


def _mask_place(folder: Path, spec: DatasetSpec, entry: ClassSpec, image: Path) -> Path:
    if spec.masks_folder is None:
        return image.parent
    return folder / spec.masks_folder.replace("{class}", entry.label)


def _assign_masks(
    folder: Path,
    spec: DatasetSpec,
    found: Sequence[tuple[ClassSpec, Path]],
    places: Iterable[Path],
) -> tuple[Mapping[tuple[Path, str], list[Path]], list[Path]]:
    """The mask files of each (place, stem), and those that fit no stem, both natural-sorted."""
    stems: dict[Path, set[str]] = defaultdict(set)
    images = {file for _, file in found}
    for entry, file in found:
        stems[_mask_place(folder, spec, entry, file)].add(file.stem)
    masks: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    orphans: list[Path] = []
    for place in sorted(place for place in places if place.is_dir()):
        for file in sorted(place.iterdir(), key=lambda path: natural_key(path.name)):
            if file in images or file.name[0] == "." or not file.is_file():
                continue
            templates = [t for t in spec.masks if fnmatchcase(file.name, t.replace("{stem}", "*"))]
            owner = max(
                (_owner(file.name, t, stems[place]) for t in templates), default="", key=len
            )
            if owner:
                masks[place, owner].append(file)
            elif templates:
                orphans.append(file)
    return masks, orphans


def _owner(name: str, template: str, stems: set[str]) -> str:
    """The longest stem with which the template fits the file name, or an empty text."""
    before, after = template.split("{stem}")
    for length in range(len(name), 0, -1):
        for start in range(len(name) - length + 1):
            end = start + length
            if (
                name[start:end] in stems
                and fnmatchcase(name[:start], before)
                and fnmatchcase(name[end:], after)
            ):
                return name[start:end]
    return ""


def _grouped(cases: Sequence[Case], path: Path) -> list[Case]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            groups = {row["image"]: row["group"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataError(
            f"the groups file {path} cannot be read",
            f"it must be a CSV file with the columns image,group ({error})",
            "Correct the file or take 'groups' out of the description",
        ) from error
    without = [case.name for case in cases if not groups.get(case.name)]
    if without:
        raise DataError(
            f"{len(without)} images have no group in {path}",
            f"they are {listing(without)}",
            "Give every image a group; an image that stands alone has one of its own",
        )
    return [replace(case, group=groups[case.name]) for case in cases]
