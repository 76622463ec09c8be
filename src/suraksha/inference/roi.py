"""Which part of an image the network sees, and at which size: fixed, or chosen as it runs.

``auto`` looks at the whole image at three quarters of the bundle's own size. Where nothing is
seen, or where what is seen is large, that is the answer. Where it is small, a region around it is
looked at again at half the bundle's size, which is a higher resolution for that region, and takes
the place of the first look there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from suraksha.errors import UsageError
from suraksha.inference.engines import Logits
from suraksha.inference.stopwatch import Stopwatch
from suraksha.preprocessing import Preparation, prepare, restore
from suraksha.types import Box, Image, Patch

AUTO = "auto"
# sides of the two looks, as shares of the bundle's own
LOOK, CLOSER = 0.75, 0.5
# probability from which something counts as seen
SEEN = 0.3
# the region's sides are those of what was seen, and so much of its longer side more
MARGIN = 1.5
# greatest fraction of the image that such a region may cover
MOST = 0.35

Run = Callable[[NDArray[np.float32]], Logits]


@dataclass(frozen=True, slots=True, eq=False)
class RawPrediction:
    """What a network saw of an image.

    Args:
        probability: (H, W) float32 of the image's own size.
        classes: Logits of the classes, from the look at the whole of each scan; empty where the
            network tells none.
        patches: What was looked at, in order.
    """

    probability: NDArray[np.float32]
    classes: tuple[NDArray[np.float32], ...]
    patches: tuple[Patch, ...]


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """What looks: a network and how its images are prepared.

    Args:
        run: The network.
        preparation: How an image becomes its input, and at which size.
        divisor: What divides the sides of its input.
        temperature: What divides the mask's logits.
    """

    run: Run
    preparation: Preparation
    divisor: int = 1
    temperature: float = 1.0

    def at(self, fraction: float) -> InferenceSpec:
        """The same at a fraction of its size."""
        sides = [
            max(self.divisor, round(fraction * side / self.divisor) * self.divisor)
            for side in self.preparation.shape
        ]
        return replace(self, preparation=replace(self.preparation, height=sides[0], width=sides[1]))


def predict_full(image: Image, eye: InferenceSpec, *, watch: Stopwatch) -> RawPrediction:
    """Look at the whole image once.

    Args:
        image: The image.
        eye: The network, and the size at which it looks.
        watch: Takes the time of each stage.
    """
    with watch("prepare"):
        batch = prepare(image, eye.preparation)
    with watch("network"):
        logits = eye.run(batch)
    with watch("restore"):
        told = logits.mask[0, 0]
        probability = restore(expit(told / np.float32(eye.temperature)), image)
    classes = () if logits.classes is None else (logits.classes[0],)
    return RawPrediction(
        probability, classes, (Patch((0, 0, *image.shape), eye.preparation.shape),)
    )


def predict_roi(image: Image, eye: InferenceSpec, *, watch: Stopwatch) -> RawPrediction:
    """Look at the whole image, and where something small is seen, at its region again.

    Args:
        image: The image.
        eye: The network at the bundle's own size; both looks are smaller.
        watch: Takes the time of each stage.
    """
    first = predict_full(image, eye.at(LOOK), watch=watch)
    with watch("choose"):
        box = find_roi(first.probability)
    if box is None:
        return first
    top, left, bottom, right = box
    part = Image(image.pixels[top:bottom, left:right], image.spacing, image.name)
    again = predict_full(part, eye.at(CLOSER), watch=watch)
    whole = first.probability.copy()
    whole[top:bottom, left:right] = again.probability
    patches = (*first.patches, replace(again.patches[0], box=box))
    return RawPrediction(whole, first.classes, patches)


def merge_regions(seen: Sequence[RawPrediction], image: Image) -> RawPrediction:
    """What was seen of each of an image's scans, as one.

    Args:
        seen: One for each of ``image.scans``, in their order.
        image: The image.
    """
    if len(seen) == 1 and seen[0].probability.shape == image.shape:
        return seen[0]
    probability = np.zeros(image.shape, np.float32)
    patches: list[Patch] = []
    for scan, part in zip(image.scans, seen, strict=True):
        target = probability[scan.slices]
        np.maximum(target, part.probability, out=target)
        patches += [replace(patch, box=_moved(patch.box, scan.box)) for patch in part.patches]
    return RawPrediction(
        probability, tuple(told for part in seen for told in part.classes), tuple(patches)
    )


def _moved(box: Box, within: Box) -> Box:
    top, left = within[:2]
    return box[0] + top, box[1] + left, box[2] + top, box[3] + left


def find_roi(probability: NDArray[np.float32]) -> Box | None:
    """Where to look closer: around what is seen most of; None where nothing is, or it is large.

    Args:
        probability: (H, W) in 0..1.

    Returns:
        (row_min, col_min, row_max, col_max) within the image, the last two exclusive.
    """
    labels, count = ndimage.label(probability >= SEEN)
    if not count:
        return None
    weights = ndimage.sum_labels(probability, labels, range(1, count + 1))
    rows, cols = ndimage.find_objects(labels)[int(np.argmax(weights))]
    side = max(rows.stop - rows.start, cols.stop - cols.start) * (1 + MARGIN)
    height, width = (min(round(side), whole) for whole in probability.shape)
    if height * width > MOST * probability.size:
        return None
    top = _within((rows.start + rows.stop - height) / 2, probability.shape[0] - height)
    left = _within((cols.start + cols.stop - width) / 2, probability.shape[1] - width)
    return top, left, top + height, left + width


def fixed_preparation(preparation: Preparation, side: int, *, divisor: int) -> Preparation:
    """The preparation at another size.

    Raises:
        UsageError: A size that the divisor does not divide.
    """
    if side < divisor or side % divisor:
        raise UsageError(
            f"a patch of {side} pixels cannot be used",
            f"{divisor} divides the network's input",
            f"Give {max(divisor, round(side / divisor) * divisor)}, or auto",
        )
    return replace(preparation, height=side, width=side)


def _within(start: float, greatest: int) -> int:
    return int(min(max(round(start), 0), greatest))
