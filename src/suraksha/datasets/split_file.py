"""Splits and their files: three lists of names, and the hash of every image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from suraksha.datasets.hashes import canonical_json, record_sha256
from suraksha.datasets.names import listing, natural_key
from suraksha.datasets.records import decode_json, read_capped
from suraksha.errors import DataError
from suraksha.files import write_bytes

FORMAT = 1
PARTS = ("train", "validation", "test")
REMAKE = "Make the split again with 'suraksha data split'"


@dataclass(frozen=True, slots=True)
class Split:
    """Which images train, validate and test.

    Args:
        protocol: Name of the protocol that made it.
        parameter: Which of its splits, such as ``"seed=0"``, ``"list=1"`` or ``"fold=0"``.
        train: Names of the training images, natural-sorted.
        validation: Names of those that may be used to choose an epoch or threshold; may be empty.
        test: Names of those that are only scored, natural-sorted; ``community`` keeps its order.
        images: SHA-256 of the pixels of every image of the three parts, by name.

    Raises:
        DataError: A name twice, no training or no test image, or hashes of other images than
            those of the parts.
    """

    protocol: str
    parameter: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    images: Mapping[str, str]

    def __post_init__(self) -> None:
        counts = Counter((*self.train, *self.validation, *self.test))
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise unusable(self, f"these images are in it more than once: {listing(twice)}")
        if not self.train or not self.test:
            raise unusable(self, "its training part or its test part is empty")
        odd = sorted(counts.keys() ^ self.images.keys(), key=natural_key)
        if odd:
            raise unusable(self, f"its parts and its hashes name different images: {listing(odd)}")
        object.__setattr__(self, "images", dict(self.images))

    @property
    def sha256(self) -> str:
        """The split's identity: SHA-256 of its content, the same in all versions.

        The first version wrote the key ``pictures`` for ``images``; published results name their
        split by the hash of that record, so the hash is still computed from it.
        """
        record = self._record()
        record["pictures"] = record.pop("images")
        return record_sha256(record)

    def _record(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "protocol": self.protocol,
            "parameter": self.parameter,
            **{part: list(getattr(self, part)) for part in PARTS},
            "images": dict(self.images),
        }

    def save(self, path: str | Path) -> None:
        """Write the split as JSON, atomically.

        Raises:
            OSError: A place that cannot be written.
        """
        write_bytes(Path(path), canonical_json({**self._record(), "sha256": self.sha256}))


def unusable(split: Split, why: str) -> DataError:
    """The error of a split that cannot be used, and why."""
    return DataError(
        f"the split '{split.protocol} {split.parameter}' cannot be used", why, "Make it again"
    )


class _SplitFile(msgspec.Struct, forbid_unknown_fields=True):
    """The content of a split file; the first version named the hashes ``pictures``."""

    format: int
    sha256: str
    protocol: str
    parameter: str
    train: list[str]
    validation: list[str]
    test: list[str]
    images: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    pictures: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


def load_split(path: str | Path) -> Split:
    """Read a split that ``Split.save`` wrote.

    Raises:
        DataError: A file that cannot be read, is larger than 64 MiB, is not a split, or whose
            content does not match its hash.
    """
    path = Path(path)
    try:
        record = decode_json(read_capped(path), _SplitFile, path=path)
    except OSError as error:
        raise DataError(f"the split {path} cannot be read", str(error), REMAKE) from error
    if record.format != FORMAT:
        raise DataError(
            f"the split {path} has format {record.format}", f"this version reads {FORMAT}", REMAKE
        )
    hashes = record.images or record.pictures
    split = Split(
        protocol=record.protocol,
        parameter=record.parameter,
        train=tuple(record.train),
        validation=tuple(record.validation),
        test=tuple(record.test),
        images=hashes or {},
    )
    if split.sha256 != record.sha256:
        raise DataError(f"the split {path} was altered", "its content and hash differ", REMAKE)
    return split
