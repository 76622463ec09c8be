"""Descriptions of data sets that are not in the catalogue: ``suraksha.toml`` in their folder.

A description is data only::

    name = "thyroid"
    images = "*.png"                    # in each class's folder; this is the default
    masks = ["{stem}_mask*.png"]        # beside the image, or in masks_folder
    masks_folder = "masks/{class}"      # optional
    image_prefix = "img_"               # optional: img_7.png has the stem 7
    normal = ["healthy"]                # classes whose images show no lesion
    empty_masks = "normal"              # optional: an empty mask means that there is no lesion
    spacing_mm = 0.08                   # optional, mm per pixel of every image
    groups = "patients.csv"             # optional, columns image,group

    [classes]                           # class -> folder, or a glob with * or ?
    benign = "benign"
    healthy = "controls/*.jpg"

    [table]                             # optional: a CSV or xlsx file with a row per image
    file = "facts.csv"
    image = "ID"
    class = "Pathology"                 # instead of a folder for each class
    group = "Patient"
    spacing = "Pixel_size"
    spacing_unit_mm = 10                # that column is in cm
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from suraksha.datasets.catalogue import (
    DEFAULT_MASKS,
    ClassSpec,
    DatasetSpec,
    TableSpec,
    invalid_description,
)
from suraksha.datasets.records import decode_toml
from suraksha.errors import UnknownNameError

DESCRIPTION_FILE = "suraksha.toml"
DEFAULT_IMAGES = "*.png"


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    file: str
    image: str
    label: str | None = msgspec.field(name="class", default=None)
    group: str | None = None
    spacing: str | None = None
    spacing_unit_mm: float = 1.0
    birads: str | None = None
    device: str | None = None


class _Description(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    classes: dict[str, str]
    images: str = DEFAULT_IMAGES
    masks: str | list[str] = msgspec.field(default_factory=lambda: list(DEFAULT_MASKS))
    masks_folder: str | None = None
    image_prefix: str = ""
    normal: list[str] = []
    empty_masks: Literal["error", "normal"] = "error"
    spacing_mm: float | None = None
    groups: str | None = None
    table: _Table | None = None
    doi: str = ""
    citation: str = ""
    licence: str = ""
    open_licence: bool = False
    limits: list[str] = []
    normal_masks: bool = False


def load_description(path: str | Path) -> DatasetSpec:
    """Read a data set's description from a TOML file.

    Raises:
        DataError: A file that cannot be read, is larger than 1 MiB, is not TOML, lacks ``name`` or
            ``classes``, or holds a value of another type or one that cannot be.
        UnknownNameError: A key that no description has, or a class of ``normal`` that is not in
            ``[classes]``.
    """
    path = Path(path)
    found = decode_toml(path, _Description)
    for label in found.normal:
        if label not in found.classes:
            raise UnknownNameError(f"class in 'normal' of {path.name}", label, found.classes)
    if found.table is not None and not (found.table.file and found.table.image):
        raise invalid_description(str(path), "[table] needs 'file' and 'image'")
    return DatasetSpec(
        name=found.name,
        classes=tuple(
            ClassSpec(label, _image_glob(place, found.images), label in found.normal)
            for label, place in found.classes.items()
        ),
        masks=(found.masks,) if isinstance(found.masks, str) else tuple(found.masks),
        masks_folder=found.masks_folder,
        image_prefix=found.image_prefix,
        table=None if found.table is None else TableSpec(**msgspec.structs.asdict(found.table)),
        spacing_mm=found.spacing_mm,
        normal_masks=found.normal_masks,
        empty_masks=found.empty_masks,
        groups=found.groups,
        doi=found.doi,
        citation=found.citation,
        licence=found.licence,
        open_licence=found.open_licence,
        limits=tuple(found.limits),
    )


def _image_glob(place: str, images: str) -> str:
    if "*" in place or "?" in place:
        return place
    return images if place in ("", ".") else f"{place.rstrip('/')}/{images}"
