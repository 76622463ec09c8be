"""Describe a folder of images and masks: recognise its layout and write ``suraksha.toml``."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from suraksha.datasets.catalogue import DATASETS
from suraksha.datasets.description import DESCRIPTION_FILE, load_description
from suraksha.datasets.layouts import Case, scan
from suraksha.datasets.names import natural_key
from suraksha.datasets.tables import read_table
from suraksha.errors import DataError, SurakshaError
from suraksha.files import beside, promote
from suraksha.io.images import read_mask

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "segmentations", "ground_truth", "gt")
MASK_WORDS = ("mask", "seg", "label", "gt", "truth", "lesion", "tumor", "tumour", "annotation")
NORMAL_WORDS = ("normal", "normals", "healthy", "negative", "no_lesion", "no-lesion")
LESION = "lesion"
MAX_FILES = 200_000
MAX_PATTERNS = 6


@dataclass(frozen=True, slots=True)
class Layout:
    """How a folder keeps its images and masks, as ``suraksha.toml`` says it.

    Args:
        images: Glob of the images in each class's folder.
        classes: Folder by class, relative to the data set's folder.
        masks: Mask file patterns.
        masks_folder: Folder of the masks; None: beside the images.
        image_prefix: Beginning of the image names that mask names lack.
        normal: Classes without lesions.
        empty_masks: Whether some images of the other classes have empty masks.
        groups: A file with the columns image,group, or None.
    """

    images: str
    classes: dict[str, str]
    masks: tuple[str, ...]
    masks_folder: str | None = None
    image_prefix: str = ""
    normal: tuple[str, ...] = ()
    empty_masks: bool = False
    groups: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What `describe_folder` wrote.

    Args:
        path: The description.
        layout: What it says.
        classes: Number of images by class, as they are now found.
        masks: Number of mask files.
        without_mask: Images that should have a mask and have none.
    """

    path: Path
    layout: Layout
    classes: dict[str, int]
    masks: int
    without_mask: tuple[str, ...]


def describe_folder(
    folder: str | Path, *, name: str | None = None, overwrite: bool = False
) -> Described:
    """Recognise the layout of a folder and write its ``suraksha.toml``.

    Recognised are a folder of images beside a folder of masks (``images`` and ``masks``, with the
    same names, or with a word such as ``_mask`` before or after), folders by class, with the
    masks in them or in such a folder, and a single folder of images and masks. Where masks of
    lesion classes are empty, the description says that they belong to normal images.

    Args:
        folder: The data set's folder.
        name: The data set's name; by default that of the folder.
        overwrite: Whether to replace a description that is there.

    Returns:
        What was written and what is found with it.

    Raises:
        DataError: No such folder, one that is described already, one that holds a data set of the
            catalogue, or one whose layout is not recognised.
        InputError: A mask that cannot be read.
        OSError: A place that cannot be written.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION_FILE
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", "it must hold images", "Give another path")
    if path.exists() and not overwrite:
        raise DataError(
            f"{path} exists already", "it is not overwritten", "Edit it, or delete it first"
        )
    _refuse_known(folder)
    layout = recognise(folder)
    label = name or re.sub(r"[/+\s]+", "-", folder.absolute().name) or "my-data"
    part = beside(path)
    try:
        part.write_text(description_text(label, layout), encoding="utf-8")
        found = scan(folder, load_description(part))
        promote(part, path)
    finally:
        part.unlink(missing_ok=True)
    counts = Counter(case.label for case in found.cases)
    return Described(
        path=path,
        layout=layout,
        classes={label: counts[label] for label in found.labels},
        masks=sum(len(case.mask_paths) for case in found.cases),
        without_mask=tuple(c.name for c in found.cases if c.masked and not c.mask_paths),
    )


def _refuse_known(folder: Path) -> None:
    for known in DATASETS:
        try:
            place = scan(folder, known).root
        except SurakshaError:
            continue
        raise DataError(
            f"{folder} holds the data set '{known.name}'",
            f"its layout in {place} is known, with its folds and licence",
            "Use the folder as it is; if these are other images, rename their folders",
        )


def recognise(folder: Path) -> Layout:
    """The layout of a folder of images and masks.

    Raises:
        DataError: It is not recognised; the message says what was looked for.
        InputError: A mask that cannot be read.
    """
    images, masks = _subfolder(folder, IMAGE_FOLDERS), _subfolder(folder, MASK_FOLDERS)
    base = images or folder
    skip = {masks} if masks else set()
    inner = sorted(place for place in base.iterdir() if place.is_dir() and place not in skip)
    places = [place for place in inner if _image_files(place)]
    if _image_files(base) or not places:
        places = [base]
    by_class = places != [base]
    classes = {place.name if by_class else LESION: place for place in places}
    layout = (
        _separate(folder, classes, masks, by_class=by_class) if masks else _beside(folder, classes)
    )
    return _with_normals(folder, layout)


def _subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    found = {place.name.casefold(): place for place in sorted(folder.iterdir()) if place.is_dir()}
    return next((found[name] for name in names if name in found), None)


def _image_files(place: Path) -> list[Path]:
    files = [
        file
        for file in place.iterdir()
        if file.suffix.lower() in SUFFIXES and file.name[0] != "." and file.is_file()
    ]
    if len(files) > MAX_FILES:
        raise _unrecognised(place, f"it holds more than {MAX_FILES} images")
    return sorted(files, key=lambda file: natural_key(file.name))


def _unrecognised(folder: Path, why: str) -> DataError:
    return DataError(
        f"the layout of {folder} is not recognised",
        why,
        "Put images and masks into the folders images/ and masks/ with the same file names, or "
        f"write a {DESCRIPTION_FILE} by hand",
    )


def _relative(folder: Path, place: Path) -> str:
    return place.relative_to(folder).as_posix()


def _separate(folder: Path, classes: dict[str, Path], masks: Path, *, by_class: bool) -> Layout:
    """Masks in a folder of their own, or in one of its folders by class."""
    split = by_class and all((masks / label).is_dir() for label in classes)
    images = {label: _image_files(place) for label, place in classes.items()}
    mask_files = [
        file
        for place in ([masks / label for label in classes] if split else [masks])
        for file in _image_files(place)
    ]
    if not mask_files:
        raise _unrecognised(folder, f"{masks} holds no mask")
    stems = [file.stem for files in images.values() for file in files]
    prefix = ""
    patterns = _patterns(stems, mask_files)
    if not patterns:
        prefix = _common_prefix(stems)
        patterns = _patterns([stem.removeprefix(prefix) for stem in stems], mask_files)
    if not patterns:
        raise _unrecognised(
            folder, f"no name in {masks.name}/ contains that of an image, such as {stems[0]}"
        )
    return Layout(
        images=_glob(folder, [file for files in images.values() for file in files]),
        classes={label: _relative(folder, place) for label, place in classes.items()},
        masks=patterns,
        masks_folder=_relative(folder, masks) + ("/{class}" if split else ""),
        image_prefix=prefix,
    )


def _beside(folder: Path, classes: dict[str, Path]) -> Layout:
    """Masks beside the images, known by a word in their name."""
    images: list[Path] = []
    patterns: set[str] = set()
    for place in classes.values():
        files = _image_files(place)
        stems = {file.stem for file in files}
        masks = [file for file in files if _is_mask_of(file.stem, stems)]
        own = [file for file in files if file not in set(masks)]
        patterns |= set(_patterns([file.stem for file in own], masks))
        images += own
    if not patterns:
        raise _unrecognised(
            folder,
            "there is no folder of masks, and no file is named as a mask of another, such as "
            "a.png and a_mask.png",
        )
    return Layout(
        images=_glob(folder, images),
        classes={label: _relative(folder, place) or "." for label, place in classes.items()},
        masks=tuple(sorted(patterns)),
    )


def _is_mask_of(stem: str, stems: set[str]) -> bool:
    """Whether a name is that of an image with a word such as ``_mask`` after it."""
    for word in MASK_WORDS:
        for match in re.finditer(rf"[ _-]{word}", stem, re.IGNORECASE):
            if stem[: match.start()] in stems:
                return True
    return False


def _patterns(stems: Iterable[str], masks: Sequence[Path]) -> tuple[str, ...]:
    """The patterns that give each mask to an image; empty where less than half of them fit."""
    known = set(stems)
    found: Counter[str] = Counter()
    for mask in masks:
        name, owner = mask.stem, ""
        for length in range(len(name), 0, -1):
            starts = range(len(name) - length + 1)
            owner = next(
                (name[s : s + length] for s in starts if name[s : s + length] in known), ""
            )
            if owner:
                break
        if owner:
            before, _, after = name.partition(owner)
            after = re.sub(r"[ _-]?\d+$", "*", after)
            found[f"{_literal(before)}{{stem}}{_literal(after)}{mask.suffix}"] += 1
    # "{stem}_mask*.png" includes "{stem}_mask.png"
    for pattern in list(found):
        wider = re.sub(r"(\.\w+)$", r"*\1", pattern)
        if wider != pattern and wider in found:
            found[wider] += found.pop(pattern)
    fits = sum(found.values()) * 2 >= len(masks) and len(found) <= MAX_PATTERNS
    return tuple(sorted(found)) if masks and fits else ()


def _literal(text: str) -> str:
    """A part of a name in a pattern, in which [ and ? have a meaning."""
    return re.sub(r"[\[?]", lambda match: f"[{match.group()}]", text)


def _common_prefix(stems: Sequence[str]) -> str:
    """What all names begin with, up to the last separator, such as ``bus_``."""
    first, last = min(stems), max(stems)
    length = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    match = re.match(r".*[_ -]", first[:length])
    return match.group() if match else ""


def _glob(folder: Path, images: Sequence[Path]) -> str:
    suffixes = sorted({file.suffix for file in images})
    if len(suffixes) != 1:
        raise _unrecognised(
            folder, f"its images have different suffixes ({', '.join(suffixes) or 'none found'})"
        )
    return f"*{suffixes[0]}"


def _with_normals(folder: Path, layout: Layout) -> Layout:
    """Add which classes are normal, whether masks are empty, and the groups file."""
    spec_cases = _cases(folder, layout)
    normal = []
    for label in layout.classes:
        own = [case for case in spec_cases if case.label == label]
        named = label.casefold() in NORMAL_WORDS
        if named and all(_is_empty(case) for case in own):
            normal.append(label)
    others = [case for case in spec_cases if case.label not in normal and case.mask_paths]
    return Layout(
        images=layout.images,
        classes=layout.classes,
        masks=layout.masks,
        masks_folder=layout.masks_folder,
        image_prefix=layout.image_prefix,
        normal=tuple(normal),
        empty_masks=any(_is_empty(case) for case in others),
        groups=_groups_file(folder, spec_cases),
    )


def _cases(folder: Path, layout: Layout) -> tuple[Case, ...]:
    part = beside(folder / DESCRIPTION_FILE)
    try:
        part.write_text(description_text("draft", layout), encoding="utf-8")
        return scan(folder, load_description(part)).cases
    finally:
        part.unlink(missing_ok=True)


def _is_empty(case: Case) -> bool:
    return not any(read_mask(path).any() for path in case.mask_paths)


def _groups_file(folder: Path, cases: Sequence[Case]) -> str | None:
    """A CSV file with the columns image and group that names every image."""
    names = {case.name for case in cases}
    for file in sorted(folder.glob("*.csv")):
        try:
            rows = read_table(file)
        except DataError:
            continue
        if not rows or not {"image", "group"} <= set(rows[0]):
            continue
        if names <= {row["image"] for row in rows if row["group"]}:
            return file.name
    return None


def description_text(name: str, layout: Layout) -> str:
    """The description as TOML, with comments that say what each key means."""

    def quoted(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    masks_folder = (
        f"masks_folder = {quoted(layout.masks_folder)}"
        if layout.masks_folder
        else '# masks_folder = "masks"       # the masks are beside the images'
    )
    groups = (
        f"groups = {quoted(layout.groups)}"
        if layout.groups
        else '# groups = "patients.csv"      # columns image,group: keeps a patient in one part'
    )
    lines = [
        "# Describes this folder for Suraksha. Check it with: suraksha data check FOLDER",
        f"name = {quoted(name)}",
        f"images = {quoted(layout.images)}   # the images in each class's folder",
        f"masks = {quoted(list(layout.masks))}   # {{stem}} is the image's name; masks are united",
        masks_folder,
        f"image_prefix = {quoted(layout.image_prefix)}   # image names begin with it, masks do not",
        f"normal = {quoted(list(layout.normal))}   # classes without a lesion",
        'empty_masks = "normal"   # an image whose mask is empty shows no lesion'
        if layout.empty_masks
        else '# empty_masks = "normal"       # an empty mask means that there is no lesion',
        groups,
        "# spacing_mm = 0.08            # size of a pixel in mm, if it is the same everywhere",
        '# licence = "..."              # shown on the cards of networks trained on these images',
        "",
        "[classes]   # class = folder",
        *(f"{quoted(label)} = {quoted(place)}" for label, place in layout.classes.items()),
    ]
    return "\n".join(lines) + "\n"
