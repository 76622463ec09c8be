"""Audit a data set: count it, find near-duplicates, and list every fault by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.catalogue import DatasetSpec
from suraksha.datasets.hashes import image_sha256
from suraksha.datasets.layouts import Case, Progress, Scan, scan, size_error
from suraksha.datasets.phash import BITS, MAX_DISTANCE, fingerprint, near_duplicates
from suraksha.errors import InputError
from suraksha.io.images import read_image, read_mask

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a data set.

    Args:
        image: The image's name, or an empty text.
        file: The file or folder at fault.
        kind: One of ``empty-class``, ``duplicate-name``, ``missing-image`` (in the table, without
            a file), ``unreadable-image``, ``missing-mask``, ``unreadable-mask``,
            ``size-mismatch``, ``empty-mask`` (of a lesion image), ``unexpected-mask`` (lesion
            pixels in a normal one), ``orphan-mask``.
        message: What is wrong, one sentence.
    """

    image: str
    file: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class LesionFraction:
    """The fraction of lesion pixels, 0..1: of all pixels together, and over images."""

    pooled: float
    mean: float
    median: float


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of an audit's summary table.

    Args:
        fact: What is counted.
        value: The count or the fraction, as text.
        names: The images that it is about, where there are few enough to be of interest.
    """

    fact: str
    value: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What a data set holds.

    Args:
        images: Number of images.
        masks: Number of mask files.
        classes: Number of images by class.
        patients: Number of groups that a table or groups file gives; None where none does.
        birads: Number of images by BI-RADS category, empty where no table gives it.
        devices: Number of images by scanner, empty where no table gives it.
        scaled: Number of images whose millimetres per pixel are known.
        multi_mask: Images with several mask files.
        duplicate_groups: Groups of two or more near-duplicates.
        mixed_groups: Those of them that mix classes.
        crossing_groups: Those of them whose images belong to different patients.
        identical: Groups of images whose grey pixels are the same.
        colour_marked: Images whose colour channels differ.
        lesion_fraction: Fraction of lesion pixels in ``all`` images and in ``lesion_images``
            (classes that are not normal); images without a usable mask are left out.
        class_fraction: The same by class.
        distinct_sizes: Number of different image sizes.
        smallest: (minimum rows, minimum columns) of all images, or None without images.
        largest: (maximum rows, maximum columns).
        faults: Everything that is wrong.
    """

    images: int
    masks: int
    classes: Mapping[str, int]
    patients: int | None
    birads: Mapping[str, int]
    devices: Mapping[str, int]
    scaled: int
    multi_mask: tuple[str, ...]
    duplicate_groups: Groups
    mixed_groups: Groups
    crossing_groups: Groups
    identical: Groups
    colour_marked: tuple[str, ...]
    lesion_fraction: Mapping[str, LesionFraction]
    class_fraction: Mapping[str, LesionFraction]
    distinct_sizes: int
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    faults: tuple[Fault, ...]

    def to_dict(self) -> dict[str, Any]:
        """The audit as lists, dictionaries and numbers, for JSON."""
        return {
            "images": self.images,
            "masks": self.masks,
            "classes": dict(self.classes),
            "patients": self.patients,
            "birads": dict(self.birads),
            "devices": dict(self.devices),
            "scaled": self.scaled,
            "multi_mask": list(self.multi_mask),
            "duplicate_groups": [list(group) for group in self.duplicate_groups],
            "mixed_groups": [list(group) for group in self.mixed_groups],
            "crossing_groups": [list(group) for group in self.crossing_groups],
            "faults": [asdict(fault) for fault in self.faults],
            "identical": [list(group) for group in self.identical],
            "colour_marked": list(self.colour_marked),
            "lesion_fraction": {
                **{name: asdict(fraction) for name, fraction in self.lesion_fraction.items()},
                "classes": {
                    name: asdict(fraction) for name, fraction in self.class_fraction.items()
                },
            },
            "sizes": {
                "distinct": self.distinct_sizes,
                "min": list(self.smallest) if self.smallest else None,
                "max": list(self.largest) if self.largest else None,
            },
        }

    def rows(self) -> tuple[AuditRow, ...]:
        """The audit as the rows of a table, without the faults."""
        rows = [AuditRow("images", str(self.images)), AuditRow("mask files", str(self.masks))]
        rows += [AuditRow(f"class {name}", str(count)) for name, count in self.classes.items()]
        if self.patients is not None:
            rows.append(AuditRow("patients or groups", str(self.patients)))
        rows += [AuditRow(f"BI-RADS {name}", str(count)) for name, count in self.birads.items()]
        rows += [AuditRow(f"scanner {name}", str(count)) for name, count in self.devices.items()]
        rows.append(AuditRow("images with a known scale", str(self.scaled)))
        rows += [
            AuditRow(fact, str(len(names)), names)
            for fact, names in (
                ("images with several masks", self.multi_mask),
                ("images with colour", self.colour_marked),
            )
        ]
        near = sum(len(group) for group in self.duplicate_groups)
        rows.append(AuditRow("near-duplicates", f"{near} in {len(self.duplicate_groups)} groups"))
        rows += [
            AuditRow(fact, f"{len(groups)} groups", tuple(", ".join(group) for group in groups))
            for fact, groups in (
                ("near-duplicates of different classes", self.mixed_groups),
                ("near-duplicates of different patients", self.crossing_groups),
                ("identical images", self.identical),
            )
        ]
        rows += [
            AuditRow(f"lesion pixels, {name.replace('_', ' ')}", f"{fraction.pooled:.1%}")
            for name, fraction in {**self.lesion_fraction, **self.class_fraction}.items()
        ]
        if self.smallest and self.largest:
            low, high = self.smallest, self.largest
            sizes = f"{self.distinct_sizes}, {low[0]}-{high[0]} rows, {low[1]}-{high[1]} columns"
            rows.append(AuditRow("sizes", sizes))
        return tuple(rows)


@dataclass(slots=True)
class _Examined:
    """What was found out about one case; the facts of an unreadable image stay None."""

    case: Case
    faults: list[Fault] = field(default_factory=list)
    shape: tuple[int, int] | None = None
    sha256: str = ""
    bits: NDArray[np.bool_] | None = None
    marked: bool = False
    lesion_px: int | None = None

    @property
    def area_px(self) -> int:
        return self.shape[0] * self.shape[1] if self.shape else 0

    def fault(self, kind: str, file: Path, message: str) -> None:
        self.faults.append(Fault(self.case.name, str(file), kind, message))


def audit(
    root_or_cases: str | Path | Sequence[Case],
    *,
    spec: DatasetSpec | None = None,
    max_distance: int = MAX_DISTANCE,
    progress: Progress | None = None,
) -> Audit:
    """Read every image and mask of a data set and report on it; nothing is changed.

    Args:
        root_or_cases: The data set's folder, or cases that were found in one.
        spec: The data set's description; by default found as ``layouts.locate`` says.
        max_distance: Maximum Hamming distance of near-duplicates, of 256 bits.
        progress: Wraps the cases while they are read, as ``tqdm`` does.

    Raises:
        DataError: A folder or description that cannot be used at all. All that is wrong with
            images and masks is listed in the audit's ``faults`` instead.
    """
    if isinstance(root_or_cases, str | Path):
        found = scan(root_or_cases, spec)
        cases, faults = found.cases, _layout_faults(found)
        labels = list(found.labels)
    else:
        cases, faults = tuple(root_or_cases), []
        labels = sorted({case.label for case in cases})
    faults += _name_faults(cases)
    examined = [_examine(case) for case in (cases if progress is None else progress(cases))]
    faults += [fault for one in examined for fault in one.faults]
    return _report(examined, faults, labels, max_distance)


def _report(
    examined: Sequence[_Examined], faults: Sequence[Fault], labels: Sequence[str], max_distance: int
) -> Audit:
    cases = [one.case for one in examined]
    readable = [one for one in examined if one.bits is not None]
    bits = np.array([one.bits for one in readable], dtype=np.bool_).reshape(-1, BITS)
    groups = _groups(readable, near_duplicates(bits, max_distance=max_distance).tolist())
    sizes = {one.shape for one in readable if one.shape}
    counts = Counter(case.label for case in cases)
    return Audit(
        images=len(cases),
        masks=sum(len(case.mask_paths) for case in cases),
        classes={label: counts[label] for label in labels},
        patients=_patients(cases),
        birads=_counted(case.birads for case in cases),
        devices=_counted(case.device for case in cases),
        scaled=sum(case.spacing_mm is not None for case in cases),
        multi_mask=tuple(case.name for case in cases if len(case.mask_paths) > 1),
        duplicate_groups=_names(groups),
        mixed_groups=_names(g for g in groups if len({one.case.label for one in g}) > 1),
        crossing_groups=_names(g for g in groups if len({one.case.group for one in g}) > 1),
        identical=_names(_groups(readable, [one.sha256 for one in readable])),
        colour_marked=tuple(one.case.name for one in readable if one.marked),
        lesion_fraction=_lesion_fractions(
            {"all": examined, "lesion_images": [one for one in examined if not one.case.normal]}
        ),
        class_fraction=_lesion_fractions(
            {label: [one for one in examined if one.case.label == label] for label in labels}
        ),
        distinct_sizes=len(sizes),
        smallest=_extreme(sizes, min),
        largest=_extreme(sizes, max),
        faults=tuple(faults),
    )


def _extreme(
    sizes: Collection[tuple[int, int]], choose: Callable[[Iterable[int]], int]
) -> tuple[int, int] | None:
    if not sizes:
        return None
    return choose(rows for rows, _ in sizes), choose(columns for _, columns in sizes)


def _patients(cases: Sequence[Case]) -> int | None:
    groups = {case.group for case in cases}
    return None if None in groups or not groups else len(groups)


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value).items()))


def _layout_faults(found: Scan) -> list[Fault]:
    empty = [
        Fault("", str(found.root / e.images), "empty-class", f"class '{e.label}' has no image")
        for e in found.empty_classes
    ]
    orphans = [
        Fault("", str(path), "orphan-mask", f"the mask {path.name} has no image")
        for path in found.orphans
    ]
    absent = [
        Fault(name, str(found.root), "missing-image", f"the table has a row for '{name}', no file")
        for name in found.absent
    ]
    return empty + orphans + absent


def _name_faults(cases: Sequence[Case]) -> list[Fault]:
    counts = Counter(case.name for case in cases)
    return [
        Fault(
            case.name,
            str(case.image_path),
            "duplicate-name",
            f"{counts[case.name]} images are called '{case.name}'",
        )
        for case in cases
        if counts[case.name] > 1
    ]


def _examine(case: Case) -> _Examined:
    seen = _Examined(case)
    try:
        image = read_image(case.image_path)
    except InputError as error:
        seen.fault("unreadable-image", case.image_path, str(error))
    else:
        pixels = image.pixels
        seen.shape = image.shape
        seen.sha256 = image_sha256(image)
        seen.bits = fingerprint(image)
        seen.marked = pixels.ndim == 3 and bool((pixels != pixels[..., :1]).any())
    _examine_masks(seen)
    return seen


def _examine_masks(seen: _Examined) -> None:
    case = seen.case
    if not case.mask_paths and (case.masked or not case.normal):
        seen.fault("missing-mask", case.image_path, f"'{case.name}' has no mask file")
        return
    union = None if seen.shape is None else np.zeros(seen.shape, dtype=np.bool_)
    whole = union is not None
    for path in case.mask_paths:
        try:
            mask = read_mask(path)
        except InputError as error:
            seen.fault("unreadable-mask", path, str(error))
            whole = False
            continue
        if case.normal and mask.any():
            message = f"'{case.name}' is normal, yet {path.name} marks {int(mask.sum())} pixels"
            seen.fault("unexpected-mask", path, message)
        if not case.normal and not mask.any():
            message = f"'{case.name}' shows a lesion, yet {path.name} is empty"
            seen.fault("empty-mask", path, message)
        if union is None or seen.shape is None:
            continue
        if mask.shape == seen.shape:
            union |= mask
        else:
            misfit = size_error(case, path, mask_shape=mask.shape, shape=seen.shape)
            seen.fault("size-mismatch", path, f"{misfit.what}: {misfit.why}")
            whole = False
    if union is not None and whole:
        seen.lesion_px = int(union.sum())


def _groups(examined: Sequence[_Examined], keys: Iterable[Hashable]) -> list[list[_Examined]]:
    """Those with the same key, two or more, in the order of their first."""
    by_key: dict[Hashable, list[_Examined]] = defaultdict(list)
    for one, key in zip(examined, keys, strict=True):
        by_key[key].append(one)
    return [group for group in by_key.values() if len(group) > 1]


def _names(groups: Iterable[Sequence[_Examined]]) -> Groups:
    return tuple(tuple(one.case.name for one in group) for group in groups)


def _lesion_fractions(parts: Mapping[str, Sequence[_Examined]]) -> dict[str, LesionFraction]:
    found: dict[str, LesionFraction] = {}
    for name, examined in parts.items():
        pairs = [(one.lesion_px, one.area_px) for one in examined if one.lesion_px is not None]
        if pairs:
            fractions = [lesion / area for lesion, area in pairs]
            pooled = sum(lesion for lesion, _ in pairs) / sum(area for _, area in pairs)
            found[name] = LesionFraction(pooled, fmean(fractions), median(fractions))
    return found
