"""Segment every PNG file of a folder and write one CSV row per lesion.

Usage: python examples/segment_folder.py [FOLDER] [OUT.csv]
"""

import csv
import sys
from pathlib import Path

import suraksha as su

SAMPLES = Path(__file__).parent / "images"
MM_PER_PIXEL = 0.1


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("lesions.csv")

    segment = su.load_segmenter()
    failed = 0
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "lesion", "long_axis_mm", "short_axis_mm", "confidence"])
        for path in sorted(folder.glob("*.png")):
            try:
                result = segment(su.read_image(path, spacing=MM_PER_PIXEL))
            except su.SurakshaError as error:  # for example a damaged file
                print(f"{path.name}: {error}", file=sys.stderr)
                failed += 1
                continue
            for lesion in result.lesions:
                sizes = (f"{lesion.long_axis_mm:.2f}", f"{lesion.short_axis_mm:.2f}")
                writer.writerow([path.name, lesion.label, *sizes, f"{lesion.confidence:.3f}"])
            print(f"{path.name}: {len(result.lesions)} lesion(s)")
    print(f"written: {out}; failed: {failed}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
