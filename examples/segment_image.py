"""Segment one image and print the size of each lesion.

Usage: python examples/segment_image.py [IMAGE] [MM_PER_PIXEL]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

import suraksha as su

SAMPLE = Path(__file__).parent / "images" / "synthetic-malignant-4-0001.png"


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE
    spacing = float(sys.argv[2]) if len(sys.argv) > 2 else 0.1

    segment = su.load_segmenter()  # load once, call often
    result = segment(su.read_image(path, spacing=spacing))

    print(f"{path.name}: {len(result.lesions)} lesion(s), needs review: {result.needs_review}")
    for lesion in result.lesions:
        size = f"{lesion.long_axis_mm:.1f} x {lesion.short_axis_mm:.1f} mm"
        print(f"  lesion {lesion.label}: {size}, confidence {lesion.confidence:.2f}")

    out = Path(f"{path.stem}_mask.png")
    PilImage.fromarray(result.mask.astype(np.uint8) * 255).save(out)
    print(f"mask: {out}")


if __name__ == "__main__":
    main()
