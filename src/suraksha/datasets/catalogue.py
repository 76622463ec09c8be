"""The data sets that Suraksha knows, and descriptions of any other folder of images and masks.

A description is a small TOML file, data only::

    name = "thyroid"
    images = "*.png"                  # in each class's folder; this is the default
    masks = ["{stem}_mask*.png"]        # beside the image, or in masks_folder
    masks_folder = "masks/{class}"      # optional
    normal = ["healthy"]                # classes whose images show no lesion
    spacing_mm = 0.08                   # optional, mm per pixel of every image
    groups = "patients.csv"             # optional, columns image,group

    [classes]                           # class -> folder, or a glob that holds * or ?
    benign = "benign"
    healthy = "controls/*.jpg"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from suraksha.errors import DataError, InputError, UnknownNameError
from suraksha.types import Spacing

DESCRIPTION_FILE = "suraksha.toml"
DEFAULT_IMAGES = "*.png"
DEFAULT_MASKS = ("{stem}_mask*.png",)


def _stays_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(path) and not (pure.is_absolute() or ".." in pure.parts or "\\" in path)


def _bad(name: str, why: str) -> DataError:
    return DataError(
        f"the description of '{name}' cannot be used", why, "Correct the data set's description"
    )


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """One class of a data set.

    Args:
        label: The class's name.
        images: Glob of its images, relative to the data set's folder.
        normal: Whether its images show no lesion, so that masks are empty or absent.
    """

    label: str
    images: str
    normal: bool = False


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Where a data set keeps its images and masks.

    Args:
        name: The data set's name.
        classes: Its classes, at least one, with different labels.
        masks: File name patterns of an image's masks; each holds ``{stem}`` once.
        masks_folder: Folder of the masks, may hold ``{class}``; None: beside the image.
        folder: Name of the official folder, which a root may contain.
        spacing_mm: Size of a pixel in mm where it is the same everywhere.
        normal_masks: Whether normal images have (empty) mask files too, so that an absent one is
            a fault.
        groups: CSV file ``image,group`` of images that belong together, such as a patient's.
        doi: DOI of the publication.
        licence: What its publishers allow, one line.
        limits: What a network trained on it cannot be trusted with, for the bundle's card.

    Raises:
        DataError: No class, a label twice, a pattern without exactly one ``{stem}``, or a path
            that is absolute or climbs with ``..``.
    """

    name: str
    classes: tuple[ClassSpec, ...]
    masks: tuple[str, ...] = DEFAULT_MASKS
    masks_folder: str | None = None
    folder: str | None = None
    spacing_mm: float | None = None
    normal_masks: bool = False
    groups: str | None = None
    doi: str = ""
    licence: str = ""
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = [entry.label for entry in self.classes]
        if not self.name or not labels or len(set(labels)) != len(labels):
            raise _bad(self.name, "it needs a name and at least one class, each label once")
        for mask in self.masks:
            if mask.count("{stem}") != 1 or "/" in mask or "\\" in mask:
                raise _bad(
                    self.name, f"the mask pattern '{mask}' needs {{stem}} once and no folder"
                )
        paths = [entry.images for entry in self.classes]
        for path in (*paths, self.masks_folder, self.groups, self.folder):
            if path is not None and not _stays_inside(path):
                raise _bad(self.name, f"the path '{path}' leaves the data set's folder")
        if self.spacing_mm is not None:
            try:
                Spacing.square(self.spacing_mm)
            except InputError as error:
                raise _bad(self.name, f"{error.what}, {error.why}") from error


DATASETS: tuple[DatasetSpec, ...] = (
    DatasetSpec(
        name="busi",
        classes=(
            ClassSpec("benign", "benign/*.png"),
            ClassSpec("malignant", "malignant/*.png"),
            ClassSpec("normal", "normal/*.png", normal=True),
        ),
        masks=("{stem}_mask*.png",),
        folder="Dataset_BUSI_with_GT",
        normal_masks=True,
        doi="10.1016/j.dib.2019.104863",
        licence="the images carry no licence file: published for research, cite the DOI",
        limits=(
            "Trained on B-mode images of the female breast from one hospital and few scanners; "
            "others were not tested.",
            "The training masks contradict each other on near-identical images (mean Dice 0.84).",
            "Doppler, elastography, the axilla and implants were not studied.",
            "Shadows and dark fat are taken for lesions; small lesions are missed.",
        ),
    ),
)


def list_datasets() -> tuple[str, ...]:
    """The names of the known data sets, sorted."""
    return tuple(sorted(spec.name for spec in DATASETS))


def find_dataset(name: str) -> DatasetSpec:
    """The description of a data set of the table.

    Raises:
        UnknownNameError: A name that the table does not hold.
    """
    table = {spec.name: spec for spec in DATASETS}
    if name not in table:
        raise UnknownNameError("data set", name, table)
    return table[name]


def load_description(path: str | Path) -> DatasetSpec:
    """Read a data set's description from a TOML file.

    Raises:
        DataError: A file that cannot be read, is no TOML, lacks ``name`` or ``classes``, or holds
            a value of the wrong kind.
        UnknownNameError: A key that no description has.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(
            f"the description {path} cannot be read", str(error), "Correct the TOML file"
        ) from error
    for key in content:
        if key not in _KINDS:
            raise UnknownNameError(f"key in {path.name}", key, _KINDS)
    for key, value in content.items():
        if not _is_kind(value, _KINDS[key]):
            raise _bad(str(path), f"'{key}' must be {_KINDS[key]}")
    if "name" not in content or "classes" not in content:
        raise _bad(str(path), "'name' and the table [classes] are needed")
    return _from_toml(content, path)


def _from_toml(content: Mapping[str, Any], path: Path) -> DatasetSpec:
    classes: Mapping[str, str] = content["classes"]
    normal = content.get("normal", [])
    for label in normal:
        if label not in classes:
            raise UnknownNameError(f"class in 'normal' of {path.name}", label, classes)
    images = content.get("images", DEFAULT_IMAGES)
    masks = content.get("masks", list(DEFAULT_MASKS))
    return DatasetSpec(
        name=content["name"],
        classes=tuple(
            ClassSpec(label, _image_glob(place, images), label in normal)
            for label, place in classes.items()
        ),
        masks=(masks,) if isinstance(masks, str) else tuple(masks),
        masks_folder=content.get("masks_folder"),
        spacing_mm=content.get("spacing_mm"),
        groups=content.get("groups"),
        doi=content.get("doi", ""),
        licence=content.get("licence", ""),
        limits=tuple(content.get("limits", ())),
        normal_masks=content.get("normal_masks", False),
    )


_KINDS = {
    "name": "a text",
    "classes": "a table of texts",
    "images": "a text",
    "masks": "a text or a list of texts",
    "masks_folder": "a text",
    "normal": "a list of texts",
    "spacing_mm": "a number",
    "groups": "a text",
    "doi": "a text",
    "licence": "a text",
    "limits": "a list of texts",
    "normal_masks": "true or false",
}


def _is_kind(value: object, kind: str) -> bool:
    if kind == "true or false":
        return isinstance(value, bool)
    if kind == "a number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "a table of texts":
        return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    texts = isinstance(value, list) and all(isinstance(v, str) for v in value)
    if kind == "a list of texts":
        return texts
    return isinstance(value, str) or (texts and kind == "a text or a list of texts")


def _image_glob(place: str, images: str) -> str:
    if "*" in place or "?" in place:
        return place
    return images if place in ("", ".") else f"{place.rstrip('/')}/{images}"
