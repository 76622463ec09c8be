"""A small data set of BUSI's layout, drawn with numpy: every kind of image that BUSI has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage


class Tree:
    """Writes images and masks of BUSI's layout under ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def texture(self, seed: int, shape=(60, 80)) -> np.ndarray:
        coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
        image = PilImage.fromarray(coarse).resize(shape[::-1], PilImage.Resampling.BICUBIC)
        return np.asarray(image)

    def disc(self, shape=(60, 80), centre=(30, 40), radius=10) -> np.ndarray:
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2

    def save(self, relative: str, array: np.ndarray) -> Path:
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if array.dtype == np.bool_:
            array = array.astype(np.uint8) * 255
        PilImage.fromarray(array).save(path)
        return path

    def case(self, label: str, number: int, seed: int, mask: np.ndarray | None = None) -> Path:
        shape = (60, 80) if mask is None else mask.shape
        self.save(f"{label}/{label} ({number}).png", self.texture(seed, shape))
        mask = self.disc() if mask is None else mask
        return self.save(f"{label}/{label} ({number})_mask.png", mask)


@pytest.fixture
def empty_tree(tmp_path) -> Tree:
    return Tree(tmp_path / "my data (copy)" / "Dataset_BUSI_with_GT")


@pytest.fixture
def tree(empty_tree) -> Tree:
    """benign 1, 2 (twin of 1), 3 (colour, RGBA mask), 10 (two masks); malignant 1, 2 (= benign 1);
    normal 1 and 2 (empty masks)."""
    tree = empty_tree
    tree.case("benign", 1, seed=1)
    twin = np.clip(tree.texture(1).astype(int) * 9 // 10 + 7, 0, 255).astype(np.uint8)
    tree.save("benign/benign (2).png", twin)
    tree.save("benign/benign (2)_mask.png", tree.disc(radius=8))
    colour = np.stack([tree.texture(3)] * 3, axis=2)
    colour[:3, :3] = (255, 255, 0)
    tree.save("benign/benign (3).png", colour)
    rgba = np.full((60, 80, 4), 255, np.uint8)
    rgba[..., :3] = tree.disc()[..., None] * np.uint8(255)
    tree.save("benign/benign (3)_mask.png", rgba)
    tree.case("benign", 10, seed=10, mask=tree.disc(centre=(15, 15)))
    tree.save("benign/benign (10)_mask_1.png", tree.disc(centre=(40, 60)))
    tree.case("malignant", 1, seed=21, mask=tree.disc((70, 50), (30, 20)))
    tree.case("malignant", 2, seed=1)
    tree.case("normal", 1, seed=31, mask=np.zeros((60, 80), np.bool_))
    tree.case("normal", 2, seed=32, mask=np.zeros((60, 80), np.bool_))
    return tree
