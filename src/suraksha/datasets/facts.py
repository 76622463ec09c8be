"""What a data set's table or groups file says of its images: class, patient, pixel size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suraksha.datasets.catalogue import ClassSpec, DatasetSpec, TableSpec
from suraksha.datasets.names import listing
from suraksha.datasets.tables import Row, read_table, require_columns
from suraksha.errors import DataError


@dataclass(frozen=True, slots=True)
class Facts:
    """What a table says of one image; what it does not say is None or an empty text.

    Args:
        entry: Its class.
        group: Its group, such as a patient.
        spacing_mm: Size of a pixel in mm.
        birads: BI-RADS category.
        device: Scanner.
    """

    entry: ClassSpec | None = None
    group: str | None = None
    spacing_mm: float | None = None
    birads: str = ""
    device: str = ""


def read_facts(
    folder: Path, spec: DatasetSpec, *, files: Sequence[Path]
) -> tuple[Mapping[Path, Facts], tuple[str, ...]]:
    """Read the table of a data set.

    Args:
        folder: The data set's own folder.
        spec: Its description; without a table nothing is read.
        files: Its image files.

    Returns:
        The facts by image file, and the names in the table that no file has.

    Raises:
        DataError: No such table or several, one that cannot be read, an image that it leaves out
            or holds twice, a class that the description does not have, an image without a group,
            or a size of a pixel that is not a positive number.
    """
    if spec.table is None:
        return dict.fromkeys(files, Facts()), ()
    table, path = spec.table, _table_file(folder, spec.table)
    rows = read_table(path)
    require_columns(rows, table.columns, path=path)
    counts = Counter(row[table.image] for row in rows)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise _fault(path, f"{len(twice)} images are in it more than once: {listing(twice)}")
    by_name = {row[table.image]: row for row in rows}
    found = {file: _row(file, by_name) for file in files}
    without = [file.stem for file, row in found.items() if row is None]
    if without:
        raise _fault(path, f"{len(without)} images are not in it: {listing(without)}")
    facts = {file: _facts(path, spec, row) for file, row in found.items() if row is not None}
    present = {name for file in files for name in (file.name, file.stem)}
    return facts, tuple(name for name in by_name if name not in present)


def _table_file(folder: Path, table: TableSpec) -> Path:
    fitting = sorted(folder.glob(table.file))
    if len(fitting) != 1:
        raise DataError(
            f"{folder} is not complete",
            f"{len(fitting)} files fit '{table.file}', the table of its images",
            f"Put the publisher's table into {folder}, once",
        )
    return fitting[0]


def _fault(path: Path, why: str) -> DataError:
    return DataError(
        f"the table {path.name} does not fit the images",
        why,
        "Get an unaltered copy of the data set, or correct the table",
    )


def _row(file: Path, by_name: Mapping[str, Row]) -> Row | None:
    return by_name.get(file.name) or by_name.get(file.stem)


def _facts(path: Path, spec: DatasetSpec, row: Row) -> Facts:
    table = spec.table
    if table is None:
        return Facts()
    name = row[table.image]
    entry = None
    if table.label is not None:
        classes = {known.label: known for known in spec.classes}
        entry = classes.get(row[table.label])
        if entry is None:
            raise _fault(
                path, f"the class of {name} is '{row[table.label]}', not one of {listing(classes)}"
            )
    group = None
    if table.group is not None:
        group = row[table.group]
        if not group:
            raise _fault(path, f"{name} has no {table.group}")
    return Facts(
        entry=entry,
        group=group,
        spacing_mm=_spacing(path, table, row),
        birads=row[table.birads] if table.birads else "",
        device=row[table.device] if table.device else "",
    )


def _spacing(path: Path, table: TableSpec, row: Row) -> float | None:
    text = row[table.spacing] if table.spacing else ""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise _fault(
            path, f"{table.spacing} of {row[table.image]} is '{text}', not a positive number"
        )
    # ten significant digits: 0.0078125 cm is 0.078125 mm, whatever the float product says
    return float(f"{value * table.spacing_unit_mm:.10g}")


def read_groups(path: Path, names: Sequence[str]) -> Mapping[str, str]:
    """Read a groups file: CSV with the columns image,group.

    Returns:
        The group of each name.

    Raises:
        DataError: A file that cannot be read, or that leaves an image out.
    """
    rows = read_table(path)
    require_columns(rows, ("image", "group"), path=path)
    groups = {row["image"]: row["group"] for row in rows}
    without = [name for name in names if not groups.get(name)]
    if without:
        raise DataError(
            f"{len(without)} images have no group in {path}",
            f"they are {listing(without)}",
            "Give every image a group; an image without relatives has its own group",
        )
    return groups
