"""Protocols: which images train, validate and test.

``paper``      lesion images, random 80/20 by class, a seed            (the paper's Table 2)
``community``  lesion images, the user's own list files                (the public table)
``clean``      all images, 5 folds, groups in one fold                 (near-duplicates, patients)
``hospitals``  several data sets: one is left out and tests, or each keeps its own test part
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from suraksha.datasets.folds import (
    FOLDS,
    HashedItem,
    Item,
    check_against_table,
    clean_table,
    draw_by_class,
    draw_groups,
    grouped_folds,
    is_busi,
)
from suraksha.datasets.names import dataset_of_name, listing, local_name, natural_key, qualified
from suraksha.datasets.split_file import Split, unusable
from suraksha.errors import DataError, UnknownNameError, UsageError

TEST_FRACTION = 0.2


def _split(
    items: Iterable[Item], parts: Mapping[str, Iterable[str]], *, protocol: str, parameter: str
) -> Split:
    hashes = {item.name: item.image_sha256 for item in items}
    ordered = {part: tuple(sorted(names, key=natural_key)) for part, names in parts.items()}
    used = sorted((name for names in ordered.values() for name in names), key=natural_key)
    return Split(
        protocol=protocol,
        parameter=parameter,
        train=ordered.get("train", ()),
        validation=ordered.get("validation", ()),
        test=ordered.get("test", ()),
        images={name: hashes[name] for name in used},
    )


def paper_split(items: Sequence[Item], *, seed: int) -> Split:
    """Lesion images, random 80/20 by class, without a validation part.

    The paper says no more than "80/20"; near-duplicates are on both sides, as they would be there.

    Args:
        items: The data set's images; normal ones are left out.
        seed: Which draw, 0 or above.

    Raises:
        UsageError: A seed below 0.
        DataError: Too few images to split.
    """
    if seed < 0:
        raise UsageError(f"seed {seed} cannot be used", "it is below 0", "Give 0, 1 or 2")
    lesions = [item for item in items if not item.normal]
    test = draw_by_class(lesions, fraction=TEST_FRACTION, seed=seed)
    train = {item.name for item in lesions} - test
    return _split(
        lesions, {"train": train, "test": test}, protocol="paper", parameter=f"seed={seed}"
    )


def community_split(
    items: Sequence[Item], *, train_list: str | Path, val_list: str | Path
) -> Split:
    """Lesion images by the user's own lists, one name a line; the second list is the test part.

    Args:
        items: The data set's images; normal ones are left out.
        train_list: File with the names of the training images.
        val_list: File with the names of the rest.

    Raises:
        DataError: A list that cannot be read, a name that is unknown, listed twice or in both
            lists, or a lesion image in neither. Every such name is given.
    """
    lesions = [item for item in items if not item.normal]
    train, test = _read_list(train_list), _read_list(val_list)
    listed = Counter([*train, *test])
    names = {item.name for item in lesions}
    faults = {
        "unknown": [name for name in listed if name not in names],
        "in both lists": sorted(set(train) & set(test), key=natural_key),
        "twice in a list": [n for n in listed if max(train.count(n), test.count(n)) > 1],
        "in neither list": sorted(names - listed.keys(), key=natural_key),
    }
    reasons = [f"{kind}: {listing(found, shown=None)}" for kind, found in faults.items() if found]
    if reasons:
        raise DataError(
            f"the lists {Path(train_list).name} and {Path(val_list).name} do not split the data",
            "; ".join(reasons),
            "Correct the lists: every lesion image must be in one of them, once",
        )
    stem = Path(train_list).stem
    number = re.search(r"\d+$", stem)
    parameter = f"list={number.group() if number else stem}"
    split = _split(
        lesions, {"train": train, "test": test}, protocol="community", parameter=parameter
    )
    # scores of this protocol are pooled over batches, so the order of the list matters
    return replace(split, test=tuple(test))


def _read_list(path: str | Path) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the list {path} cannot be read", str(error), "Give a text file with a name per line"
        ) from error
    return [line.strip() for line in lines if line.strip()]


def clean_split(items: Sequence[HashedItem], *, fold: int, dataset: str | None = None) -> Split:
    """All images in 5 folds, each group in one of them; one fold is the test part.

    BUSI has the folds that ship with Suraksha, and must match them by hash. The folds of any other
    data set are computed from its groups (patients, or near-duplicates), stratified by class.

    Args:
        items: All images of the data set.
        fold: Which fold tests, 0..4.
        dataset: ``"busi"`` or another data set's name; None: BUSI if any image has a name or
            the pixels of one of BUSI's.

    Raises:
        UsageError: A fold that is not 0..4.
        DataError: Images that are not exactly BUSI's, the first few named; or too few groups.
    """
    if fold not in range(FOLDS):
        raise UsageError(
            f"there is no fold {fold}", f"'clean' has {FOLDS} folds", f"Give 0 to {FOLDS - 1}"
        )
    if dataset == "busi" or (dataset is None and is_busi(items)):
        check_against_table(items)
        folds = {name: row.fold for name, row in clean_table().items()}
    else:
        folds = grouped_folds(items, folds=FOLDS)
    parts = {
        "train": [name for name, number in folds.items() if number != fold],
        "test": [name for name, number in folds.items() if number == fold],
    }
    return _split(items, parts, protocol="clean", parameter=f"fold={fold}")


def hospitals_split(items: Sequence[HashedItem], *, number: int, fold: int = 0) -> Split:
    """Several data sets: one of them tests, or each keeps its own test part.

    Args:
        items: The images of a mixture, see `mixture.mix`.
        number: 0: each set's own test part, fold ``fold`` of `clean_split`. 1 and above: that data
            set, in the order of their names, is left out of training and is the test part, whole.
        fold: Which fold of each set tests where the number is 0.

    Raises:
        UsageError: A single data set, or a number without a data set.
        DataError: Images that do not fit their data set's folds.
    """
    names = sorted({dataset_of_name(item.name) for item in items})
    if len(names) < 2:
        raise UsageError(
            "protocol 'hospitals' needs several data sets",
            f"there is one, with {len(items)} images",
            "Give --data several times, or choose the protocol 'clean'",
        )
    if number not in range(len(names) + 1):
        known = ", ".join(f"{n} holds out {name}" for n, name in enumerate(names, start=1))
        raise UsageError(
            f"split {number} does not exist",
            f"0 holds out no data set, {known}",
            "Give one of these numbers",
        )
    if number == 0:
        return replace(
            _joined(items, lambda own, name: clean_split(own, fold=fold, dataset=name)),
            protocol="hospitals",
            parameter=f"all, fold={fold}",
        )
    left_out = names[number - 1]
    test = [item.name for item in items if dataset_of_name(item.name) == left_out]
    train = [item.name for item in items if dataset_of_name(item.name) != left_out]
    return _split(
        items,
        {"train": train, "test": test},
        protocol="hospitals",
        parameter=f"left-out={left_out}",
    )


@dataclass(frozen=True, slots=True)
class _LocalItem:
    """An image of a mixture under the name that it has in its own data set."""

    name: str
    label: str
    normal: bool
    group: str
    image_sha256: str
    mask_sha256: str


def _by_dataset(items: Iterable[HashedItem]) -> dict[str, list[_LocalItem]]:
    """The images of each data set of a mixture, under their own names."""
    found: dict[str, list[_LocalItem]] = defaultdict(list)
    for item in items:
        found[dataset_of_name(item.name)].append(
            _LocalItem(
                name=local_name(item.name),
                label=item.label,
                normal=item.normal,
                group=local_name(item.group),
                image_sha256=item.image_sha256,
                mask_sha256=item.mask_sha256,
            )
        )
    return dict(sorted(found.items()))


def _joined(
    items: Sequence[HashedItem], build: Callable[[Sequence[HashedItem], str], Split]
) -> Split:
    """One split of a mixture from the splits of its data sets."""
    splits = {name: build(own, name) for name, own in _by_dataset(items).items()}

    def names_of(part: str) -> tuple[str, ...]:
        return tuple(
            qualified(dataset, name)
            for dataset, split in splits.items()
            for name in getattr(split, part)
        )

    first = next(iter(splits.values()))
    return Split(
        protocol=first.protocol,
        parameter=first.parameter,
        train=names_of("train"),
        validation=names_of("validation"),
        test=names_of("test"),
        images={
            qualified(dataset, name): sha256
            for dataset, split in splits.items()
            for name, sha256 in split.images.items()
        },
    )


def hold_out(split: Split, items: Sequence[Item], *, fraction: float, seed: int) -> Split:
    """Move a fraction of the training part to validation, whole groups at a time, class by class.

    In a mixture each data set gives the same fraction of its images.

    Args:
        split: A split without a validation part; the test part stays as it is.
        items: The data set's images.
        fraction: Fraction of each class to move, between 0 and 1; it is not exceeded.
        seed: Which draw.

    Raises:
        UsageError: A fraction that is not between 0 and 1.
        DataError: A split that has a validation part, images that are not among the items, or
            groups that are all too large to hold any out.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"a fraction of {fraction} cannot be held out", "it is not between 0 and 1", "Give 0.1"
        )
    if split.validation:
        raise unusable(split, f"it already has {len(split.validation)} validation images")
    by_name = {item.name: item for item in items}
    absent = [name for name in split.images if name not in by_name]
    if absent:
        raise unusable(split, f"these images of it are not in the data: {listing(absent)}")
    sets: dict[str, list[Item]] = defaultdict(list)
    for name in split.train:
        sets[dataset_of_name(name)].append(by_name[name])
    drawn = {n for own in sets.values() for n in draw_groups(own, fraction=fraction, seed=seed)}
    if not drawn:
        raise unusable(split, f"all groups are larger than a fraction of {fraction}")
    return replace(
        split,
        train=tuple(name for name in split.train if name not in drawn),
        validation=tuple(name for name in split.train if name in drawn),
    )


@dataclass(frozen=True, slots=True)
class ProtocolSpec:
    """One protocol.

    Args:
        name: Its name.
        number: What its number counts: seed, list, fold or hospital.
        purpose: What it is for, one line.
        build: Makes the split from (items, number, folder of lists, data set's name).
        mixes: Whether it takes the images of a mixture together, not each data set by itself.
    """

    name: str
    number: str
    purpose: str
    build: Callable[[Sequence[HashedItem], int, Path | None, str | None], Split]
    mixes: bool = False


def _paper(
    items: Sequence[HashedItem], number: int, lists: Path | None, dataset: str | None
) -> Split:
    return paper_split(items, seed=number)


def _community(
    items: Sequence[HashedItem], number: int, lists: Path | None, dataset: str | None
) -> Split:
    if lists is None:
        raise UsageError(
            "protocol 'community' needs its lists",
            "they are the user's own files and do not ship with Suraksha",
            "Give the folder that holds busi_train1.txt and busi_val1.txt",
        )
    return community_split(
        items,
        train_list=lists / f"busi_train{number}.txt",
        val_list=lists / f"busi_val{number}.txt",
    )


def _clean(
    items: Sequence[HashedItem], number: int, lists: Path | None, dataset: str | None
) -> Split:
    return clean_split(items, fold=number, dataset=dataset)


def _hospitals(
    items: Sequence[HashedItem], number: int, lists: Path | None, dataset: str | None
) -> Split:
    return hospitals_split(items, number=number)


PROTOCOLS: Mapping[str, ProtocolSpec] = {
    spec.name: spec
    for spec in (
        ProtocolSpec("paper", "seed", "the paper's Table 2, side by side", _paper),
        ProtocolSpec("community", "list", "the public table of U-Net variants", _community),
        ProtocolSpec("clean", "fold", "the default: no patient or near-duplicate leaks", _clean),
        ProtocolSpec("hospitals", "hospital", "claims about other hospitals", _hospitals, True),
    )
}


def find_protocol(name: str) -> ProtocolSpec:
    """A protocol of the table.

    Raises:
        UnknownNameError: No protocol has that name.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def make_split(
    items: Sequence[HashedItem],
    *,
    protocol: str,
    number: int,
    lists: str | Path | None = None,
    dataset: str | None = None,
) -> Split:
    """The split of a protocol.

    Args:
        items: All images of the data set, such as ``cache.items``. Where they are a mixture, see
            `mixture.mix`, each data set has its own split and they are joined; ``hospitals`` takes
            them together.
        protocol: ``paper``, ``community``, ``clean`` or ``hospitals``.
        number: Which one: seed, list, fold, or the data set that is left out.
        lists: For ``community``, the folder of ``busi_train{n}.txt`` and ``busi_val{n}.txt``.
        dataset: For ``clean``, the data set's name, see `clean_split`.

    Raises:
        UnknownNameError: An unknown protocol.
        UsageError: A number that the protocol does not have, or lists that are not given.
        DataError: Images or lists that do not match.
    """
    folder = None if lists is None else Path(lists)
    spec = find_protocol(protocol)
    if spec.mixes or not any(dataset_of_name(item.name) for item in items):
        return spec.build(items, number, folder, dataset)
    return _joined(items, lambda own, name: spec.build(own, number, folder, name))
