"""Hashes of images, masks and records."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suraksha.preprocessing import to_uint8
from suraksha.types import Image

CHUNK_BYTES = 1 << 20


def image_sha256(image: Image) -> str:
    """SHA-256 of an image's size and its grey 8-bit pixels.

    An RGB file whose channels are equal and its single-channel copy have the same hash. The
    published folds and splits identify images by this hash, so it must never change.
    """
    grey = np.ascontiguousarray(to_uint8(image.pixels, 1))
    return _array_sha256("picture", grey.shape, grey.tobytes())


def mask_sha256(mask: NDArray[np.bool_]) -> str:
    """SHA-256 of the size and the bits of a (H, W) mask."""
    return _array_sha256("mask", mask.shape, np.packbits(mask).tobytes())


def _array_sha256(kind: str, shape: tuple[int, ...], content: bytes) -> str:
    digest = hashlib.sha256(f"{kind} {shape[0]}x{shape[1]}\n".encode())
    digest.update(content)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        OSError: A file that cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: object) -> bytes:
    """The canonical JSON of a record: sorted keys, indented, UTF-8, with a final newline."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def record_sha256(value: object) -> str:
    """SHA-256 of a record's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
