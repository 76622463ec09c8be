"""The images of a data set, and one of them read with its truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suraksha.datasets.catalogue import DatasetSpec
from suraksha.datasets.hashes import image_sha256, mask_sha256
from suraksha.datasets.layouts import Case, Progress, locate, scan
from suraksha.datasets.names import listing
from suraksha.errors import DataError
from suraksha.io.images import read_image, read_mask
from suraksha.types import Image, Spacing

__all__ = [
    "Case",
    "Progress",
    "find_cases",
    "image_sha256",
    "load_case",
    "locate",
    "mask_sha256",
    "scan",
    "size_error",
]

CHECK = "Run 'suraksha data check' on the folder for the list of all faults"


def find_cases(root: str | Path, spec: DatasetSpec | None = None) -> tuple[Case, ...]:
    """The images of a data set, natural-sorted by name.

    Args:
        root: The data set's folder, or one that contains the official folder.
        spec: Its description; by default found as ``locate`` says.

    Raises:
        DataError: A folder or description that cannot be used, a class without images, or a
            name that two images share.
    """
    found = scan(root, spec)
    if found.empty_classes:
        raise DataError(
            f"{found.root} is not whole",
            f"no images stand at {listing(entry.images for entry in found.empty_classes)}",
            "Complete the copy, or correct the description",
        )
    counts = Counter(case.name for case in found.cases)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{len(twice)} image names in {found.root} are there more than once",
            f"they are {listing(twice)}; lists and splits know an image by its name",
            "Rename the files so that every name is there once",
        )
    return found.cases


def load_case(case: Case) -> tuple[Image, NDArray[np.bool_]]:
    """Read an image and its truth.

    Returns:
        The image as it stands in its file (colour stays colour), and the (H, W) union of its
        masks; all False for a normal image without a mask file.

    Raises:
        DataError: No mask file where there must be one, or a mask of another size.
        InputError: A file that cannot be read.
    """
    spacing = None if case.spacing_mm is None else Spacing.square(case.spacing_mm, "dataset")
    image = replace(read_image(case.image_path, spacing=spacing), name=case.name)
    if not case.mask_paths and not case.normal:
        raise DataError(
            f"'{case.name}' has no mask",
            f"no mask file was found for {case.image_path}, and class '{case.label}' shows lesions",
            CHECK,
        )
    mask = np.zeros(image.shape, dtype=np.bool_)
    for path in case.mask_paths:
        part = read_mask(path)
        if part.shape != image.shape:
            raise size_error(case, path, mask_shape=part.shape, shape=image.shape)
        mask |= part
    return image, mask


def size_error(
    case: Case, path: Path, *, mask_shape: tuple[int, ...], shape: tuple[int, int]
) -> DataError:
    """The error of a mask whose size is not its image's, (rows, columns)."""
    rows, columns = mask_shape
    return DataError(
        f"mask {path.name} does not fit '{case.name}'",
        f"the mask is {rows} x {columns}, the image {shape[0]} x {shape[1]} (rows x columns)",
        CHECK,
    )
