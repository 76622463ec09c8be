"""Find where a data set keeps its images and masks, and read one image with its mask."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.catalogue import DATASETS, NORMAL, ClassSpec, DatasetSpec
from suraksha.datasets.description import DESCRIPTION_FILE, load_description
from suraksha.datasets.facts import Facts, read_facts, read_groups
from suraksha.datasets.names import listing, natural_key
from suraksha.errors import DataError
from suraksha.io.images import read_image, read_mask
from suraksha.types import Image, Spacing

CHECK = "Run 'suraksha data check' on the folder for the list of all faults"


@dataclass(frozen=True, slots=True)
class Case:
    """One image of a data set, with its masks, not yet read.

    Args:
        name: The image's name, such as ``benign (433)``.
        label: Its class.
        image_path: The image's file.
        mask_paths: Its mask files; the mask of the lesions is their union.
        normal: Whether it shows no lesion.
        masked: Whether a mask file must be there.
        spacing_mm: Size of a pixel in mm where it is known.
        group: Its group, such as a patient, where a table or a groups file gives it.
        birads: BI-RADS category where a table gives it, else an empty text.
        device: Scanner where a table gives it, else an empty text.
    """

    name: str
    label: str
    image_path: Path
    mask_paths: tuple[Path, ...]
    normal: bool
    masked: bool = False
    spacing_mm: float | None = None
    group: str | None = None
    birads: str = ""
    device: str = ""


Progress = Callable[[Sequence[Case]], Iterable[Case]]
"""Wraps the cases while they are worked through, as ``tqdm`` does."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a data set's folder holds, faulty or not.

    Args:
        root: The data set's own folder.
        spec: Its description.
        cases: Its images, natural-sorted; two may have the same name.
        orphans: Mask files without an image.
        absent: Images that the data set's table names and that have no file.
        empty_classes: Classes without an image.
    """

    root: Path
    spec: DatasetSpec
    cases: tuple[Case, ...]
    orphans: tuple[Path, ...]
    absent: tuple[str, ...]
    empty_classes: tuple[ClassSpec, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, those of the description first."""
        described = [entry.label for entry in self.spec.classes]
        found = sorted({case.label for case in self.cases} - set(described))
        return (*described, *found)


def locate(root: str | Path, spec: DatasetSpec | None = None) -> tuple[Path, DatasetSpec]:
    """Find the data set's own folder and its description.

    Args:
        root: The folder itself, or one that contains the official folder.
        spec: The description. By default the folder's own ``suraksha.toml``, or else the data set
            of the catalogue whose layout the folder has.

    Raises:
        DataError: No such folder, one whose layout is not known, or one that contains several
            data sets of the catalogue.
        UnknownNameError: An unknown key in the folder's ``suraksha.toml``.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"there is no folder {root}", "it must contain the data set", "Give another path"
        )
    if spec is None and (root / DESCRIPTION_FILE).is_file():
        spec = load_description(root / DESCRIPTION_FILE)
    wanted = DATASETS if spec is None else (spec,)
    found = [(place, known) for known in wanted if (place := _place(root, known)) is not None]
    if len(found) > 1:
        raise DataError(
            f"{root} contains {len(found)} data sets",
            f"they are {', '.join(known.name for _, known in found)}",
            f"Give the folder of one of them, such as {found[0][0]}",
        )
    if found:
        return found[0]
    raise DataError(
        f"{root} contains no data set that can be read",
        "no image is where the description of "
        f"'{', '.join(known.name for known in wanted)}' expects it",
        f"Give the official folder, or describe the layout in a {DESCRIPTION_FILE}: "
        "'suraksha data init FOLDER' writes one",
    )


def _place(root: Path, spec: DatasetSpec) -> Path | None:
    """Where in ``root`` a data set is: there, where ``fetch`` puts it, or in its own folder."""
    bases = [root, root / spec.name]
    places = bases + ([base / spec.folder for base in bases] if spec.folder else [])
    for place in places:
        if any(next(place.glob(entry.images), None) for entry in spec.classes):
            return place
    return None


def scan(root: str | Path, spec: DatasetSpec | None = None) -> Scan:
    """List a data set's images and masks, faults included.

    Images are not read; masks are read only where the description says that an empty mask makes
    an image normal.

    Raises:
        DataError: A folder or description that cannot be used, see `locate`, or a table or groups
            file that cannot be read or leaves an image out.
    """
    folder, spec = locate(root, spec)
    files, places = _image_files(folder, spec)
    facts, absent = read_facts(folder, spec, files=[file for _, file in files])
    found = [(facts[file].entry or entry, file) for entry, file in files]
    masks, orphans = _assign_masks(folder, spec, found, places)
    cases = [
        _case(spec, entry, file, masks[_mask_place(folder, spec, entry, file), _stem(spec, file)])
        for entry, file in found
    ]
    cases = [_with_facts(case, facts[case.image_path]) for case in cases]
    if spec.empty_masks == "normal":
        cases = [_normal_if_empty(case) for case in cases]
    cases.sort(key=lambda case: (natural_key(case.name), case.label, str(case.image_path)))
    if spec.groups is not None:
        groups = read_groups(folder / spec.groups, [case.name for case in cases])
        cases = [replace(case, group=groups[case.name]) for case in cases]
    labels = {case.label for case in cases}
    empty = tuple(entry for entry in spec.classes if entry.label not in labels)
    return Scan(folder, spec, tuple(cases), tuple(orphans), absent, empty)


def _image_files(folder: Path, spec: DatasetSpec) -> tuple[list[tuple[ClassSpec, Path]], set[Path]]:
    """The image files with their class, and the folders in which their masks are."""
    found: dict[tuple[str, Path], tuple[ClassSpec, Path]] = {}
    places: set[Path] = set()
    generic = [template.replace("{stem}", "*") for template in spec.masks]
    for entry in spec.classes:
        files = [f for f in folder.glob(entry.images) if f.is_file() and f.name[0] != "."]
        places |= {_mask_place(folder, spec, entry, file) for file in files}
        by_table = spec.table is not None and spec.table.label is not None
        for file in files:
            here = _mask_place(folder, spec, entry, file) == file.parent
            if not (here and any(fnmatchcase(file.name, pattern) for pattern in generic)):
                found.setdefault(("" if by_table else entry.label, file), (entry, file))
    return list(found.values()), places


def _case(spec: DatasetSpec, entry: ClassSpec, file: Path, masks: Sequence[Path]) -> Case:
    return Case(
        name=file.stem,
        label=entry.label,
        image_path=file,
        mask_paths=tuple(masks),
        normal=entry.normal,
        masked=spec.normal_masks or not entry.normal,
        spacing_mm=spec.spacing_mm,
    )


def _with_facts(case: Case, facts: Facts) -> Case:
    spacing = case.spacing_mm if facts.spacing_mm is None else facts.spacing_mm
    return replace(
        case, spacing_mm=spacing, group=facts.group, birads=facts.birads, device=facts.device
    )


def _normal_if_empty(case: Case) -> Case:
    """A case without a lesion where its masks are all empty."""
    if not case.mask_paths or any(read_mask(path).any() for path in case.mask_paths):
        return case
    return replace(case, label=NORMAL, normal=True)


def _stem(spec: DatasetSpec, file: Path) -> str:
    return file.stem.removeprefix(spec.image_prefix)


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
        stems[_mask_place(folder, spec, entry, file)].add(_stem(spec, file))
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


def find_cases(root: str | Path, spec: DatasetSpec | None = None) -> tuple[Case, ...]:
    """List the images of a data set, natural-sorted by name.

    Args:
        root: The data set's folder, or one that contains the official folder.
        spec: Its description; by default found as `locate` says.

    Raises:
        DataError: A folder, table or description that cannot be used, a class without images, or
            a name that two images have.
    """
    found = scan(root, spec)
    if found.empty_classes:
        raise DataError(
            f"{found.root} is not complete",
            f"there are no images at {listing(entry.images for entry in found.empty_classes)}",
            "Complete the copy, or correct the description",
        )
    counts = Counter(case.name for case in found.cases)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{len(twice)} names in {found.root} belong to more than one image",
            f"they are {listing(twice)}; lists and splits identify an image by its name",
            "Rename the files so that every name is unique",
        )
    return found.cases


def load_case(case: Case) -> tuple[Image, NDArray[np.bool_]]:
    """Read an image and its mask.

    Returns:
        The image as it is in its file (colour stays colour), and the (H, W) union of its masks;
        all False for a normal image without a mask file.

    Raises:
        DataError: No mask file where there must be one, or a mask of another size.
        InputError: A file that cannot be read.
    """
    spacing = None if case.spacing_mm is None else Spacing.square(case.spacing_mm, "dataset")
    image = replace(read_image(case.image_path, spacing=spacing), name=case.name)
    if not case.mask_paths and not case.normal:
        raise DataError(
            f"'{case.name}' has no mask",
            f"no mask file was found for {case.image_path}, and images of class '{case.label}' "
            "show a lesion",
            CHECK,
        )
    mask = np.zeros(image.shape, dtype=np.bool_)
    for path in case.mask_paths:
        part = read_mask(path)
        if part.shape != image.shape:
            raise size_error(case, path, mask_shape=part.shape, shape=image.shape)
        mask |= part
    return image, mask


def size_error(
    case: Case, path: Path, *, mask_shape: tuple[int, ...], shape: tuple[int, int]
) -> DataError:
    """The error of a mask whose size is not its image's, (rows, columns)."""
    rows, columns = mask_shape
    return DataError(
        f"mask {path.name} does not fit '{case.name}'",
        f"the mask is {rows} x {columns}, the image {shape[0]} x {shape[1]} (rows x columns)",
        CHECK,
    )
