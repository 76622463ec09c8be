"""Near-duplicate images, by a 256-bit perceptual hash (pHash) and single linkage.

The hash is that of Zauner, "Implementation and benchmarking of perceptual image hash functions"
(2010), with 16 x 16 low frequencies of the cosine transform instead of 8 x 8. It is robust to
size, brightness and contrast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from suraksha.preprocessing import to_uint8
from suraksha.types import Image

GRID, LOW = 64, 16
BITS = LOW * LOW
MAX_DISTANCE = 60
BLOCK = 512


def fingerprint(image: Image) -> NDArray[np.bool_]:
    """The (256,) bits of an image: which low frequencies are above their median."""
    grey = PilImage.fromarray(to_uint8(image.pixels, 1))
    small = np.asarray(grey.resize((GRID, GRID), PilImage.Resampling.BILINEAR), dtype=np.float64)
    low = np.asarray(dctn(small, norm="ortho"))[:LOW, :LOW].ravel()
    return np.asarray(low > np.median(low))


def fingerprint_hex(bits: NDArray[np.bool_]) -> str:
    """A fingerprint as 64 hexadecimal digits."""
    return np.packbits(bits).tobytes().hex()


def fingerprint_from_hex(text: str) -> NDArray[np.bool_]:
    """A fingerprint from 64 hexadecimal digits.

    Raises:
        ValueError: Other text.
    """
    packed = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    if packed.size * 8 != BITS:
        raise ValueError(f"a fingerprint has {BITS} bits, not {packed.size * 8}")
    return np.unpackbits(packed).view(np.bool_)


def near_duplicates(
    fingerprints: NDArray[np.bool_], *, max_distance: int = MAX_DISTANCE
) -> NDArray[np.intp]:
    """Number the groups of images that chains of near-duplicates connect.

    Args:
        fingerprints: (N, 256) bits, a row per image.
        max_distance: Maximum Hamming distance of a pair that is linked, 0..256.

    Returns:
        (N,) group numbers from 0, in the order of each group's first image.
    """
    count = len(fingerprints)
    signs = np.where(fingerprints, 1, -1).astype(np.float32)
    rows: list[NDArray[np.intp]] = [np.empty(0, np.intp)]
    columns: list[NDArray[np.intp]] = [np.empty(0, np.intp)]
    for start in range(0, count, BLOCK):
        distance = (BITS - signs[start : start + BLOCK] @ signs.T) / 2
        row, column = np.nonzero(distance <= max_distance)
        rows.append(row + start)
        columns.append(column)
    row, column = np.concatenate(rows), np.concatenate(columns)
    links = coo_array((np.ones(len(row), np.int8), (row, column)), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.intp)


def cross_duplicates(
    one: NDArray[np.bool_], other: NDArray[np.bool_], *, max_distance: int = MAX_DISTANCE
) -> list[tuple[int, int]]:
    """Near-duplicates between two sets of images.

    Args:
        one: (N, 256) bits, a row per image.
        other: (M, 256) bits.
        max_distance: Maximum Hamming distance of a pair, 0..256.

    Returns:
        (row of ``one``, row of ``other``) of each pair, in order.
    """
    signs = np.where(other, 1, -1).astype(np.float32).T
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(one), BLOCK):
        block = np.where(one[start : start + BLOCK], 1, -1).astype(np.float32)
        rows, columns = np.nonzero((BITS - block @ signs) / 2 <= max_distance)
        pairs += zip((rows + start).tolist(), columns.tolist(), strict=True)
    return pairs


def group_names(names: Sequence[str], labels: NDArray[np.intp]) -> list[str]:
    """A stable name of each image's group: that of the group's first image."""
    first: dict[int, str] = {}
    for name, label in zip(names, labels.tolist(), strict=True):
        first.setdefault(label, name)
    return [first[label] for label in labels.tolist()]
