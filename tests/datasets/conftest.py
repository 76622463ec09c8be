"""Small data sets in the layouts of BUSI, BUS-BRA and BrEaST, drawn with numpy."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
from PIL import Image as PilImage


class Tree:
    """Writes images and masks under ``root``."""

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
    """benign 1, 2 (near-duplicate of 1), 3 (colour, RGBA mask), 10 (two masks);
    malignant 1, 2 (= benign 1); normal 1 and 2 (empty masks)."""
    tree = empty_tree
    tree.case("benign", 1, seed=1)
    duplicate = np.clip(tree.texture(1).astype(int) * 9 // 10 + 7, 0, 255).astype(np.uint8)
    tree.save("benign/benign (2).png", duplicate)
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


def write_xlsx(path: Path, rows: list[list[str | float]], *, inline: bool = False) -> None:
    """A workbook of two sheets: shared or inline texts, numbers, and no cell where it is empty."""
    texts: list[str] = []
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = ""
        for place, value in enumerate(row):
            reference = f"{chr(ord('A') + place)}{number}"
            if isinstance(value, float | int):
                cells += f'<c r="{reference}"><v>{value!r}</v></c>'
            elif value and inline:
                cells += f'<c r="{reference}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
            elif value:
                texts.append(value)
                cells += f'<c r="{reference}" t="s"><v>{len(texts) - 1}</v></c>'
        lines.append(f'<row r="{number}">{cells}</row>')
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    shared = "".join(f"<si><r><t>{escape(t)}</t></r></si>" for t in texts)
    parts = {
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{office}"><sheets>'
        '<sheet name="facts" sheetId="1" r:id="rId7"/><sheet name="x" sheetId="2" r:id="rId2"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">'
        f'<Relationship Id="rId2" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId7" Type="{office}/worksheet" Target="/xl/worksheets/sheet9.xml"/>'
        "</Relationships>",
        "xl/sharedStrings.xml": f"<sst {main}>{shared}</sst>",
        "xl/worksheets/sheet1.xml": f"<worksheet {main}><sheetData/></worksheet>",
        "xl/worksheets/sheet9.xml": f"<worksheet {main}><sheetData>{''.join(lines)}"
        "</sheetData></worksheet>",
    }
    if inline:
        del parts["xl/sharedStrings.xml"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@pytest.fixture
def busbra(tmp_path) -> Tree:
    """BUS-BRA's layout: 12 patients with two images each and 4 with one, every third malignant."""
    tree = Tree(tmp_path / "BUSBRA")
    rows = ["ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"]
    for patient in range(1, 17):
        label = "malignant" if patient % 3 == 0 else "benign"
        for side in ("l", "r") if patient <= 12 else ("s",):
            stem = f"{patient:04d}-{side}"
            seed = 1000 + 2 * patient + (side == "r")
            tree.save(f"Images/bus_{stem}.png", tree.texture(seed))
            tree.save(f"Masks/mask_{stem}.png", tree.disc(radius=5 + patient % 4))
            device = "GE Logiq 7 @10-14MHz" if patient % 2 else "U-Systems @10-14MHz"
            birads = 2 + patient % 4
            rows.append(f'bus_{stem},{patient},cyst,{label},{birads},{device},80,60,left,"[1,2]"')
    (tree.root / "bus_data.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tree.root / "LICENSE.txt").write_text("free use")
    return tree


BREAST_COLUMNS = [
    "CaseID", "Image_filename", "Mask_tumor_filename", "Mask_other_filename", "Pixel_size",
    "BIRADS", "Classification",
]  # fmt: skip
BREAST_FOLDER = "BrEaST-Lesions_USG-images_and_masks"


@pytest.fixture
def breast(tmp_path) -> Tree:
    """BrEaST's layout: 12 patients; case 2 has two further masks, case 4 and 8 are normal."""
    tree = Tree(tmp_path / "BrEaST")
    rows: list[list[str | float]] = [list(BREAST_COLUMNS)]
    for number in range(1, 13):
        stem = f"case{number:03d}"
        label = "normal" if number % 4 == 0 else ("malignant" if number % 3 == 0 else "benign")
        tree.save(f"{BREAST_FOLDER}/{stem}.png", tree.texture(500 + number))
        others = ""
        if label != "normal":
            tree.save(f"{BREAST_FOLDER}/{stem}_tumor.png", tree.disc(radius=6))
        if number == 2:
            tree.save(f"{BREAST_FOLDER}/{stem}_other1.png", tree.disc(centre=(10, 10), radius=4))
            tree.save(f"{BREAST_FOLDER}/{stem}_other2.png", tree.disc(centre=(50, 70), radius=4))
            others = f"{stem}_other1.png&{stem}_other2.png"
        tumor = "" if label == "normal" else f"{stem}_tumor.png"
        size: str | float = "" if number == 5 else 0.0078125
        rows.append([number, f"{stem}.png", tumor, others, size, "4a", label])
    write_xlsx(tree.root / "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx", rows)
    return tree
