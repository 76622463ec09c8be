"""The data sets that Suraksha knows: where they keep images, masks and facts, and how to cite them.

Any other folder of images and masks is described by a ``suraksha.toml``, see `description`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from suraksha.errors import DataError, InputError, UnknownNameError
from suraksha.types import Spacing

DEFAULT_MASKS = ("{stem}_mask*.png",)

BENIGN, MALIGNANT, NORMAL = "benign", "malignant", "normal"
"""The class names of all data sets of breast lesions, so that their images can be mixed."""


def _stays_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(path) and not (pure.is_absolute() or ".." in pure.parts or "\\" in path)


def invalid_description(name: str, why: str) -> DataError:
    """The error of a description that cannot be used."""
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
class TableSpec:
    """A table with a row per image, and which of its columns say what.

    Args:
        file: The CSV or xlsx file, relative to the data set's folder; a glob that fits one file.
        image: Column of the image's name, with or without its suffix.
        label: Column of the class; None where the folders give the classes.
        group: Column of the patient, whose images stay in one part of every split.
        spacing: Column of the size of a pixel; an empty cell means that it is unknown.
        spacing_unit_mm: Millimetres in one unit of that column: 1 for mm, 10 for cm.
        birads: Column of the BI-RADS category.
        device: Column of the scanner.
    """

    file: str
    image: str
    label: str | None = None
    group: str | None = None
    spacing: str | None = None
    spacing_unit_mm: float = 1.0
    birads: str | None = None
    device: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the table must have."""
        named = (self.image, self.label, self.group, self.spacing, self.birads, self.device)
        return tuple(column for column in named if column is not None)


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Where a data set keeps its images and masks, and what its users must know.

    Args:
        name: The data set's name.
        classes: Its classes, at least one, with different labels.
        masks: File name patterns of an image's masks; each holds ``{stem}`` once.
        masks_folder: Folder of the masks, may hold ``{class}``; None: beside the image.
        image_prefix: Beginning of the image's file name that masks lack: an image ``bus_7.png``
            with the prefix ``bus_`` has the stem ``7``.
        folder: Name of the official folder, which a root may contain.
        table: The table of facts about the images, or None.
        spacing_mm: Size of a pixel in mm where it is the same everywhere.
        normal_masks: Whether normal images have (empty) mask files too, so that an absent one is
            a fault.
        empty_masks: What an empty mask means: ``error``, or ``normal`` for an image without a
            lesion, whose class is then ``normal``.
        groups: CSV file ``image,group`` of images that belong together, such as a patient's.
        doi: DOI of the publication.
        citation: What to cite, one line.
        licence: What its publishers allow, one line.
        open_licence: Whether that is a clear licence that allows any use with attribution.
        limits: Where a network trained on it is unreliable, for the bundle's card.

    Raises:
        DataError: No class, a label twice, a pattern without exactly one ``{stem}``, a path that
            is absolute or contains ``..``, or a spacing that is not positive.
    """

    name: str
    classes: tuple[ClassSpec, ...]
    masks: tuple[str, ...] = DEFAULT_MASKS
    masks_folder: str | None = None
    image_prefix: str = ""
    folder: str | None = None
    table: TableSpec | None = None
    spacing_mm: float | None = None
    normal_masks: bool = False
    empty_masks: Literal["error", "normal"] = "error"
    groups: str | None = None
    doi: str = ""
    citation: str = ""
    licence: str = ""
    open_licence: bool = False
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = [entry.label for entry in self.classes]
        if not self.name or not labels or len(set(labels)) != len(labels):
            raise invalid_description(
                self.name, "it needs a name and at least one class, each label once"
            )
        if set(self.name) & set("/+"):
            raise invalid_description(self.name, "the name contains '/' or '+'")
        for mask in self.masks:
            if mask.count("{stem}") != 1 or "/" in mask or "\\" in mask:
                raise invalid_description(
                    self.name, f"the mask pattern '{mask}' needs {{stem}} once and no folder"
                )
        paths = [entry.images for entry in self.classes]
        table = self.table.file if self.table else None
        for path in (*paths, self.masks_folder, self.groups, self.folder, table):
            if path is not None and not _stays_inside(path):
                raise invalid_description(
                    self.name, f"the path '{path}' is outside the data set's folder"
                )
        if self.groups is not None and self.table is not None and self.table.group is not None:
            raise invalid_description(self.name, "both 'groups' and the table give groups")
        unit = self.table.spacing_unit_mm if self.table else None
        for spacing in (self.spacing_mm, unit):
            if spacing is not None:
                try:
                    Spacing.square(spacing)
                except InputError as error:
                    raise invalid_description(self.name, f"{error.what}, {error.why}") from error


_BUSI = DatasetSpec(
    name="busi",
    classes=(
        ClassSpec(BENIGN, "benign/*.png"),
        ClassSpec(MALIGNANT, "malignant/*.png"),
        ClassSpec(NORMAL, "normal/*.png", normal=True),
    ),
    masks=("{stem}_mask*.png",),
    folder="Dataset_BUSI_with_GT",
    normal_masks=True,
    doi="10.1016/j.dib.2019.104863",
    citation="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28 (2020) "
    "104863, doi:10.1016/j.dib.2019.104863",
    licence="no licence file; published for research, cite the DOI",
    limits=(
        "BUSI: B-mode images of women at one hospital in Egypt, one type of scanner "
        "(GE Logiq E9); others were not tested.",
        "BUSI: masks of near-identical images differ (mean Dice 0.84 between them).",
        "BUSI: Doppler, elastography, the axilla and implants were not studied.",
        "BUSI: shadows and dark fat may be segmented as lesions; small lesions may be missed.",
    ),
)

_BUS_BRA = DatasetSpec(
    name="bus-bra",
    classes=(
        ClassSpec(BENIGN, "Images/bus_*.png"),
        ClassSpec(MALIGNANT, "Images/bus_*.png"),
    ),
    masks=("mask_{stem}.png",),
    masks_folder="Masks",
    image_prefix="bus_",
    folder="BUSBRA",
    table=TableSpec(
        file="bus_data.csv",
        image="ID",
        label="Pathology",
        group="Case",
        birads="BIRADS",
        device="Device",
    ),
    doi="10.1002/mp.16812",
    citation="Gómez-Flores, Gregorio-Calas and Coelho de Albuquerque Pereira, BUS-BRA: A breast "
    "ultrasound dataset for assessing computer-aided diagnosis systems, Medical Physics 51 (2024) "
    "3110-3123, doi:10.1002/mp.16812",
    licence="CC BY 4.0; its LICENSE.txt allows free use with notice and citation",
    open_licence=True,
    limits=(
        "BUS-BRA: women at one institute in Brazil, four scanners (GE Logiq 5 and 7, Toshiba Aplio "
        "300, U-Systems); no image without a lesion.",
        "BUS-BRA: all lesions are biopsy-proven; burned-in text, depth marks and calipers on the "
        "lesion's rim are common.",
        "BUS-BRA: the size of a pixel is not published.",
    ),
)

_BREAST_FILES = "BrEaST-Lesions_USG-images_and_masks/*.png"
_BREAST = DatasetSpec(
    name="breast",
    classes=(
        ClassSpec(BENIGN, _BREAST_FILES),
        ClassSpec(MALIGNANT, _BREAST_FILES),
        ClassSpec(NORMAL, _BREAST_FILES, normal=True),
    ),
    masks=("{stem}_tumor.png", "{stem}_other*.png"),
    folder="BrEaST",
    table=TableSpec(
        file="BrEaST-Lesions-USG-clinical-data-*.xlsx",
        image="Image_filename",
        label="Classification",
        group="CaseID",
        spacing="Pixel_size",
        spacing_unit_mm=10.0,  # the workbook's data dictionary: "in centimeters"
        birads="BIRADS",
    ),
    doi="10.1038/s41597-024-02984-z",
    citation="Pawłowska et al., Curated benchmark dataset for ultrasound based breast lesion "
    "analysis, Scientific Data 11 (2024) 148, doi:10.1038/s41597-024-02984-z; data: The Cancer "
    "Imaging Archive, doi:10.7937/9WKK-Q141",
    licence="CC BY 4.0",
    open_licence=True,
    limits=(
        "BrEaST: one image each of 256 patients in Poland, several scanners; four images without "
        "a lesion.",
        "BrEaST: the mask is the union of the tumour and of all other suspicious lesions.",
    ),
)

DATASETS: tuple[DatasetSpec, ...] = (_BUSI, _BUS_BRA, _BREAST)


def list_datasets() -> tuple[str, ...]:
    """The names of the known data sets, sorted."""
    return tuple(sorted(spec.name for spec in DATASETS))


def known_datasets(name: str) -> tuple[DatasetSpec, ...]:
    """The descriptions of the data sets of the catalogue that a cache's name mentions.

    Args:
        name: A data set, or a mixture such as ``breast+bus-bra+busi``.
    """
    return tuple(spec for spec in DATASETS if spec.name in name.split("+"))


def find_dataset(name: str) -> DatasetSpec:
    """The description of a data set of the catalogue.

    Raises:
        UnknownNameError: A name that the catalogue does not hold.
    """
    table = {spec.name: spec for spec in DATASETS}
    if name not in table:
        raise UnknownNameError("data set", name, table)
    return table[name]
