"""A packed data set: every image and mask at one size, memory-mapped and checked by hash.

The folder holds ``images.npy`` ((N, h, w) or (N, h, w, 3) uint8), ``masks.npy`` ((N, h, ceil(w/8))
uint8, rows of bits) and ``index.json``. It is all that another machine needs to train.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.catalogue import DatasetSpec
from suraksha.datasets.hashes import (
    canonical_json,
    file_sha256,
    record_sha256,
)
from suraksha.datasets.items import CacheItem, describe_cases, facts_of
from suraksha.datasets.layouts import Case, Progress, find_cases, load_case, locate
from suraksha.datasets.names import listing
from suraksha.datasets.phash import (
    BITS,
    fingerprint,
    fingerprint_from_hex,
    fingerprint_hex,
)
from suraksha.datasets.records import decode_json, read_capped
from suraksha.errors import DataError, ModelError
from suraksha.files import beside, lock, sweep, write_bytes
from suraksha.preprocessing import Preparation, resize_image, resize_mask

FORMAT = 2
# how long to wait for another process that packs the same cache
PATIENCE_S = 600.0
IMAGES, MASKS, INDEX = "images.npy", "masks.npy", "index.json"
REPACK = "Delete the folder and pack the data set again"


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """An open cache.

    Args:
        folder: Its folder.
        dataset: The data set's name.
        preparation: How its images were resized and are to be normalised.
        items: Its images, in the order of the arrays.
        images: (N, h, w) or (N, h, w, 3) uint8, read-only, memory-mapped.
        packed_masks: (N, h, ceil(w / 8)) uint8, read-only, memory-mapped.
        fingerprints: (N, 256) bool, the perceptual hashes of the images, see `phash`.
        sha256: The cache's identity, which covers all of its content.
    """

    folder: Path
    dataset: str
    preparation: Preparation
    items: tuple[CacheItem, ...]
    images: NDArray[np.uint8]
    packed_masks: NDArray[np.uint8]
    fingerprints: NDArray[np.bool_]
    sha256: str

    @property
    def truth_sha256(self) -> str:
        """A hash of the images, masks and classes at their own size, whatever the cache's."""
        known = [[i.name, i.label, i.image_sha256, i.mask_sha256] for i in self.items]
        return hashlib.sha256(canonical_json({"items": sorted(known)})).hexdigest()

    def masks(self) -> NDArray[np.bool_]:
        """All masks, (N, h, w) bool, unpacked into memory."""
        bits = np.unpackbits(self.packed_masks, axis=2, count=self.preparation.width)
        return bits.view(np.bool_)

    def select(self, names: Sequence[str]) -> NDArray[np.intp]:
        """The rows of images in the arrays, in the order of the names.

        Raises:
            DataError: A name that the cache does not hold; all of them are given.
        """
        place = {item.name: number for number, item in enumerate(self.items)}
        unknown = [name for name in names if name not in place]
        if unknown:
            raise DataError(
                f"{len(unknown)} images are not in the cache {self.folder}",
                f"it does not contain {listing(unknown, shown=None)}",
                "Pack the data set that the split was made from",
            )
        return np.array([place[name] for name in names], dtype=np.intp)


class _Format(msgspec.Struct):
    format: int


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    """The content of ``index.json``; ``arrays`` are the SHA-256 of the two other files."""

    format: int
    sha256: str
    dataset: str
    preparation: Preparation
    arrays: dict[str, str]
    items: list[CacheItem]
    fingerprints: list[str]


def _seal(index: dict[str, Any]) -> dict[str, Any]:
    """The index with its own hash in it."""
    content = {key: value for key, value in index.items() if key != "sha256"}
    return {**content, "sha256": record_sha256(content)}


def is_cache(folder: str | Path) -> bool:
    """Whether a folder has the index of a cache; `open_cache` checks its content."""
    return (Path(folder) / INDEX).is_file()


def open_cache(folder: str | Path) -> Cache:
    """Open a packed data set; every byte of it is checked.

    Raises:
        DataError: No cache, one of another format, or one that is damaged or was altered.
    """
    folder = Path(folder)
    try:
        raw = read_capped(folder / INDEX)
        version = decode_json(raw, _Format, path=folder / INDEX).format
        if version != FORMAT:
            raise DataError(
                f"the cache {folder} has format {version}", f"this version reads {FORMAT}", REPACK
            )
        index = decode_json(raw, _Index, path=folder / INDEX)
        if canonical_json(_seal(_index_record(index))) != raw:
            raise _altered(folder, INDEX)
        for name in (IMAGES, MASKS):
            if file_sha256(folder / name) != index.arrays[name]:
                raise _altered(folder, name)
        prints = [fingerprint_from_hex(text) for text in index.fingerprints]
        return Cache(
            folder=folder,
            dataset=index.dataset,
            preparation=index.preparation,
            items=tuple(index.items),
            images=np.load(folder / IMAGES, mmap_mode="r"),
            packed_masks=np.load(folder / MASKS, mmap_mode="r"),
            fingerprints=np.array(prints, dtype=np.bool_).reshape(-1, BITS),
            sha256=index.sha256,
        )
    except (OSError, ValueError, KeyError, ModelError) as error:
        raise DataError(
            f"{folder} is not a cache that can be opened", str(error), REPACK
        ) from error


def _index_record(index: _Index) -> dict[str, Any]:
    record = msgspec.structs.asdict(index)
    return {
        **record,
        "preparation": asdict(index.preparation),
        "items": [asdict(item) for item in index.items],
    }


def _altered(folder: Path, name: str) -> DataError:
    return DataError(
        f"the cache {folder} is damaged or was altered",
        f"the content of {name} does not match its hash",
        REPACK,
    )


def pack(
    root: str | Path,
    folder: str | Path,
    *,
    preparation: Preparation,
    spec: DatasetSpec | None = None,
    progress: Progress | None = None,
) -> Cache:
    """Pack a data set at one size. An interrupted pack leaves nothing that can be opened.

    Args:
        root: The data set's folder.
        folder: The cache's folder. If it already holds the same cache, that is kept.
        preparation: Size, channels, and the normalisation that training is to use.
        spec: The data set's description; by default found as ``layouts.locate`` says.
        progress: Wraps the cases while they are read, as ``tqdm`` does.

    Raises:
        DataError: A data set with faults, or a folder that contains something else.
        InputError: An image or mask that cannot be read.
        BusyError: Another process keeps packing into the folder.
        OSError: A place that cannot be written.
    """
    folder = Path(folder)
    with lock(folder, wait=PATIENCE_S):
        sweep(folder)
        _pack(root, folder, preparation, spec, progress)
    return open_cache(folder)


def _pack(
    root: str | Path,
    folder: Path,
    preparation: Preparation,
    spec: DatasetSpec | None,
    progress: Progress | None,
) -> None:
    present = open_cache(folder) if _is_taken(folder) else None
    dataset = locate(root, spec)[1].name
    cases = find_cases(root, spec)
    if present is not None and (present.preparation, present.dataset) != (preparation, dataset):
        raise _different(folder, present)
    part = beside(folder)
    part.mkdir()
    try:
        sha256 = _write(part, cases, dataset, preparation, progress)
        if present is None:
            part.rename(folder)
        elif present.sha256 != sha256:
            raise _different(folder, present)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_taken(folder: Path) -> bool:
    return folder.is_file() or (folder.is_dir() and any(folder.iterdir()))


def _different(folder: Path, present: Cache) -> DataError:
    size = "x".join(str(number) for number in present.preparation.shape)
    return DataError(
        f"the folder {folder} holds another cache",
        f"it was packed from other content or settings ('{present.dataset}' at {size})",
        "Choose another folder, or delete this one",
    )


def _write(
    part: Path,
    cases: Sequence[Case],
    dataset: str,
    preparation: Preparation,
    progress: Progress | None,
) -> str:
    """Write the three files into ``part``, the index last; the cache's hash."""
    count, (height, width) = len(cases), preparation.shape
    colour = (3,) if preparation.channels == 3 else ()
    images = _new_array(part / IMAGES, (count, height, width, *colour))
    masks = _new_array(part / MASKS, (count, height, (width + 7) // 8))
    prints = np.empty((count, BITS), dtype=np.bool_)
    facts: list[dict[str, Any]] = []
    for number, case in enumerate(cases if progress is None else progress(cases)):
        image, mask = load_case(case)
        images[number] = resize_image(image, preparation)
        masks[number] = np.packbits(resize_mask(mask, preparation.shape), axis=1)
        prints[number] = fingerprint(image)
        facts.append(facts_of(case, image, mask=mask))
    images.flush()
    masks.flush()
    items = describe_cases(cases, facts, prints=prints)
    return _write_index(part, dataset, preparation, items=items, prints=prints)


def _write_index(
    part: Path,
    dataset: str,
    preparation: Preparation,
    *,
    items: Sequence[CacheItem],
    prints: NDArray[np.bool_],
) -> str:
    """Write the index of the two arrays in ``part``; the cache's hash."""
    record = {
        "format": FORMAT,
        "dataset": dataset,
        "preparation": {
            **asdict(preparation),
            "mean": float(preparation.mean),
            "std": float(preparation.std),
        },
        "arrays": {name: file_sha256(part / name) for name in (IMAGES, MASKS)},
        "items": [asdict(item) for item in items],
        "fingerprints": [fingerprint_hex(bits) for bits in prints],
    }
    sealed = _seal(record)
    write_bytes(part / INDEX, canonical_json(sealed))
    return str(sealed["sha256"])


def save_cache(cache: Cache, folder: str | Path) -> Cache:
    """Write a cache that is held in memory, such as a mixture. Nothing half-written opens.

    Args:
        cache: The cache.
        folder: Its folder; if it already holds the same cache, nothing is written.

    Returns:
        The cache, opened from the folder.

    Raises:
        DataError: The folder holds something else.
        BusyError: Another process writes into the folder, and does not end.
        OSError: The folder cannot be written.
    """
    folder = Path(folder)
    with lock(folder, wait=PATIENCE_S):
        sweep(folder)
        present = open_cache(folder) if _is_taken(folder) else None
        part = beside(folder)
        part.mkdir()
        try:
            np.save(part / IMAGES, cache.images)
            np.save(part / MASKS, cache.packed_masks)
            sha256 = _write_index(
                part,
                cache.dataset,
                cache.preparation,
                items=cache.items,
                prints=cache.fingerprints,
            )
            if present is None:
                part.rename(folder)
            elif present.sha256 != sha256:
                raise _different(folder, present)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return open_cache(folder)


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
