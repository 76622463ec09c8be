"""Compare patch size ``auto`` with fixed sizes on BUSI: Dice, normals, cost, milliseconds.

    python trials/patches.py Dataset_BUSI_with_GT cache/busi-256

A shipped bundle is scored on the validation and test images of ``clean`` fold 0, each image at each
size in turn. Writes docs/results/patches/.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from tqdm import tqdm

from suraksha.datasets.cache import open_cache
from suraksha.datasets.samples import Sample, read_samples
from suraksha.inference.segmenter import Segmenter, load_segmenter
from suraksha.reporting.markdown import markdown_table
from suraksha.runs.config import load_recipe
from suraksha.runs.folder import device_name
from suraksha.training.fit import split_of

PATCHES = (128, 160, 192, 224, 256, "auto")
SMALL = 0.02
REPORT = Path(__file__).resolve().parents[1] / "docs" / "results" / "patches"
HEAD = ("part", "patch", "post-processing rule", "Dice, all", "consistent", "under 2 %", "the rest")
MORE = ("normals flagged", "G MACs, mean", "ms, median")


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Dice of two masks, 0..1; 1 where both are empty."""
    both = int(mask.sum() + truth.sum())
    return 2 * int((mask & truth).sum()) / both if both else 1.0


def score(segment: Segmenter, sample: Sample) -> dict[str, Any]:
    """The scores of one image at one patch size, with the post-processing rule and without."""
    result, card = segment(sample.image), segment.card
    macs_per_pixel = card.macs / np.prod(card.preparation.shape)
    plain = segment.predict(sample.image).probability >= card.threshold
    return {
        "with": (dice(result.mask, sample.truth), bool(result.mask.any())),
        "without": (dice(plain, sample.truth), bool(plain.any())),
        "macs": macs_per_pixel * sum(p.size[0] * p.size[1] for p in result.patches) / 1e9,
        "ms": result.latency_ms["total"],
    }


Found = list[tuple[Sample, dict[str, Any]]]


def row(part: str, patch: object, rule: str, *, found: Found) -> dict[str, Any]:
    """Means over the images of a part at one patch size."""
    lesions = [(s, one[rule][0]) for s, one in found if s.truth.any()]
    groups = {
        "all": [d for _, d in lesions],
        "consistent": [d for s, d in lesions if s.item.consistent],
        "small": [d for s, d in lesions if s.truth.mean() < SMALL],
        "rest": [d for s, d in lesions if s.truth.mean() >= SMALL],
    }
    normals = [one[rule][1] for s, one in found if not s.truth.any()]
    return {
        "part": part, "patch": patch, "rule": rule,
        **{f"dice_{name}": mean(values) for name, values in groups.items()},
        "images": {name: len(values) for name, values in groups.items()},
        "normals": len(normals), "flagged": sum(normals),
        "gmacs": mean(one["macs"] for _, one in found),
        "ms": median(one["ms"] for _, one in found),
    }  # fmt: skip


def main() -> int:
    """Run both parts at every size and write the table."""
    data, cache = Path(sys.argv[1]), open_cache(Path(sys.argv[2]))
    split = split_of(load_recipe("lite"), cache)
    bundle = sys.argv[3] if len(sys.argv) > 3 else None
    segments = {p: load_segmenter(bundle, threads=1, patch=p, check=False) for p in PATCHES}
    rows = []
    for part, names in (("validation", split.validation), ("test", split.test)):
        found = defaultdict(list)
        for sample in tqdm(read_samples(data, names), desc=part, unit="image"):
            for patch, segment in segments.items():
                found[patch].append((sample, score(segment, sample)))
        rows += [
            row(part, patch, rule, found=found[patch])
            for rule in ("with", "without")
            for patch in PATCHES
        ]
    lines = [
        [
            *(str(one[key]) for key in ("part", "patch", "rule")),
            *(f"{one[f'dice_{name}']:.3f}" for name in ("all", "consistent", "small", "rest")),
            f"{one['flagged']} of {one['normals']}", f"{one['gmacs']:.3f}", f"{one['ms']:.1f}",
        ]
        for one in rows
    ]  # fmt: skip
    table = markdown_table((*HEAD, *MORE), lines)
    card = segments["auto"].card
    about = f"{card.name}, network {card.model_sha256[:12]}, {device_name()}, one thread"
    REPORT.mkdir(parents=True, exist_ok=True)
    facts = {"bundle": card.name, "model_sha256": card.model_sha256, "device": device_name()}
    (REPORT / "patches.json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    (REPORT / "patches.md").write_text(f"{about}\n\n{table}\n")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
