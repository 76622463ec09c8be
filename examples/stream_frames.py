"""Segment a stream of frames while a second thread produces them.

The frames come from a generator here; a camera or a frame grabber works the same way.

Usage: python examples/stream_frames.py [NUMBER_OF_FRAMES]
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import suraksha as su

SAMPLE = Path(__file__).parent / "images" / "synthetic-malignant-4-0001.png"


def frames(count: int) -> Iterator[su.Image]:
    """A clip: the sample image moves to the right by four pixels per frame."""
    still = su.read_image(SAMPLE, spacing=0.1)
    for index in range(count):
        pixels = np.roll(still.pixels, 4 * index, axis=1)
        yield su.Image(pixels, still.spacing, name=f"frame-{index:03d}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8

    segment = su.load_segmenter()
    start = time.perf_counter()
    done = 0
    for result in segment.stream(frames(count)):
        sizes = ", ".join(f"{lesion.long_axis_mm:.1f} mm" for lesion in result.lesions)
        print(f"{result.image.name}: {sizes or 'no lesion'}")
        done += 1
    print(f"{done} frames, {done / (time.perf_counter() - start):.1f} per second")


if __name__ == "__main__":
    main()
