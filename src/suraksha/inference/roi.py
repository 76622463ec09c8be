"""Run the network on an image: the whole image once, or in two passes.

Two passes (``patch="auto"``): the first sees the whole image at 0.75 of the bundle's input size.
If it finds a small candidate, the region of interest (ROI) around it is cropped and predicted again
at 0.5 of the input size, which is a higher resolution for the crop, and replaces the first pass
there. If it finds nothing, or something large, the first pass is the prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from suraksha.errors import UsageError
from suraksha.inference.engines import Logits
from suraksha.inference.postprocessing import (
    PostProcessingCard,
    Segmentation,
    apply_threshold,
    to_prediction,
)
from suraksha.inference.prediction import Prediction
from suraksha.preprocessing import Preparation, prepare
from suraksha.types import Box, Image, Patch

AUTO = "auto"
# input sizes of the two passes, as fractions of the bundle's own
FIRST_PASS, SECOND_PASS = 0.75, 0.5
# probability from which a pixel is a candidate
CANDIDATE = 0.3
# the ROI is the candidate's box, enlarged by this fraction of its longer side
MARGIN = 1.5
# maximum fraction of the image that an ROI may cover
MAX_ROI_FRACTION = 0.35


class Stopwatch:
    """Adds up the milliseconds of stages: ``with watch("network"): ...``."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the block and add it to the stage."""
        start = perf_counter()
        try:
            yield
        finally:
            taken = 1000 * (perf_counter() - start)
            self.milliseconds[stage] = self.milliseconds.get(stage, 0.0) + taken


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """A network, the preparation of its images and the card for its post-processing.

    Args:
        run: The network: (N, C, h, w) float32 -> logits.
        preparation: How an image becomes its input, and at which size.
        card: Temperatures, threshold, rule and classes.
        divisor: The input sides must be multiples of this.
        two_pass: Whether small candidates are predicted again, see the module.
    """

    run: Callable[[NDArray[np.float32]], Logits]
    preparation: Preparation
    card: PostProcessingCard
    divisor: int = 1
    two_pass: bool = False

    def scaled(self, fraction: float) -> InferenceSpec:
        """The same at a fraction of its input size."""
        height, width = (
            max(self.divisor, round(fraction * side / self.divisor) * self.divisor)
            for side in self.preparation.shape
        )
        return replace(self, preparation=replace(self.preparation, height=height, width=width))


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrediction:
    """The prediction for an image and how it was made.

    Args:
        prediction: For the whole image.
        scan_classes: Class probabilities of each of ``image.scans``.
        patches: The parts of the image that the network has seen, in order.
    """

    prediction: Prediction
    scan_classes: tuple[Mapping[str, float] | None, ...]
    patches: tuple[Patch, ...]


def segment_image(image: Image, spec: InferenceSpec) -> Segmentation:
    """Predict an image, scan by scan, and post-process the prediction.

    Args:
        image: The image.
        spec: The network with its card.

    Raises:
        BundleError: The network does not take the image, or does not match the card.
    """
    found = predict_image(image, spec, watch=Stopwatch())
    return apply_threshold(found.prediction, image, card=spec.card, scan_classes=found.scan_classes)


def predict_image(image: Image, spec: InferenceSpec, *, watch: Stopwatch) -> ImagePrediction:
    """Predict each scan of an image and merge the predictions.

    Args:
        image: The image.
        spec: The network with its card.
        watch: Times the stages ``prepare``, ``network``, ``restore`` and ``roi``.

    Raises:
        BundleError: The network does not take the image, or does not match the card.
    """
    predict = predict_roi if spec.two_pass else predict_full
    return merge_regions(
        tuple(predict(image.cut(scan), spec, watch=watch) for scan in image.scans), image
    )


def predict_full(image: Image, spec: InferenceSpec, *, watch: Stopwatch) -> ImagePrediction:
    """Predict an image of one scan in one pass.

    Args:
        image: The image.
        spec: The network with its card.
        watch: Times the stages ``prepare``, ``network`` and ``restore``.
    """
    with watch("prepare"):
        batch = prepare(image, spec.preparation)
    with watch("network"):
        logits = spec.run(batch)
    with watch("restore"):
        prediction = to_prediction(logits, image, card=spec.card)
    patch = Patch((0, 0, *image.shape), spec.preparation.shape)
    return ImagePrediction(prediction, (prediction.classes,), (patch,))


def predict_roi(image: Image, spec: InferenceSpec, *, watch: Stopwatch) -> ImagePrediction:
    """Predict an image of one scan in two passes, see the module.

    Args:
        image: The image.
        spec: The network at the bundle's input size; both passes are smaller.
        watch: Times the stages ``prepare``, ``network``, ``restore`` and ``roi``.
    """
    first = predict_full(image, spec.scaled(FIRST_PASS), watch=watch)
    with watch("roi"):
        box = find_roi(first.prediction.probability)
    if box is None:
        return first
    top, left, bottom, right = box
    crop = Image(image.pixels[top:bottom, left:right], image.spacing, image.name)
    second = predict_full(crop, spec.scaled(SECOND_PASS), watch=watch)
    probability = first.prediction.probability.copy()
    probability[top:bottom, left:right] = second.prediction.probability
    return ImagePrediction(
        replace(first.prediction, probability=probability),
        first.scan_classes,
        (*first.patches, replace(second.patches[0], box=box)),
    )


def merge_regions(parts: tuple[ImagePrediction, ...], image: Image) -> ImagePrediction:
    """The predictions of an image's scans as one of the whole image.

    Where scans overlap, the higher probability counts; outside them it is 0. The classes are those
    of the scan with the highest lesion probability.

    Args:
        parts: One for each of ``image.scans``, in their order.
        image: The image.
    """
    if len(parts) == 1 and parts[0].prediction.probability.shape == image.shape:
        return parts[0]
    probability = np.zeros(image.shape, np.float32)
    for scan, part in zip(image.scans, parts, strict=True):
        target = probability[scan.slices]
        np.maximum(target, part.prediction.probability, out=target)
    suspicious = max(
        (part.prediction for part in parts), key=lambda prediction: prediction.lesion_probability
    )
    return ImagePrediction(
        replace(suspicious, probability=probability),
        tuple(classes for part in parts for classes in part.scan_classes),
        tuple(
            replace(patch, box=_moved(patch.box, scan.box))
            for scan, part in zip(image.scans, parts, strict=True)
            for patch in part.patches
        ),
    )


def _moved(box: Box, within: Box) -> Box:
    top, left = within[:2]
    return box[0] + top, box[1] + left, box[2] + top, box[3] + left


def find_roi(probability: NDArray[np.float32]) -> Box | None:
    """The region of interest around the strongest candidate.

    Args:
        probability: (H, W) in 0..1.

    Returns:
        (row_min, col_min, row_max, col_max), pixel indices, the last two exclusive; None where
        there is no candidate, or a large one.
    """
    labels, count = ndimage.label(probability >= CANDIDATE)
    if not count:
        return None
    weights = ndimage.sum_labels(probability, labels, range(1, count + 1))
    rows, cols = ndimage.find_objects(labels)[int(np.argmax(weights))]
    side = max(rows.stop - rows.start, cols.stop - cols.start) * (1 + MARGIN)
    height, width = (min(round(side), whole) for whole in probability.shape)
    if height * width > MAX_ROI_FRACTION * probability.size:
        return None
    top = _clamped((rows.start + rows.stop - height) / 2, probability.shape[0] - height)
    left = _clamped((cols.start + cols.stop - width) / 2, probability.shape[1] - width)
    return top, left, top + height, left + width


def _clamped(start: float, maximum: int) -> int:
    return int(min(max(round(start), 0), maximum))


def fixed_preparation(preparation: Preparation, side: int, *, divisor: int) -> Preparation:
    """The preparation at another input size.

    Raises:
        UsageError: A size that is not a multiple of the divisor.
    """
    if side < divisor or side % divisor:
        raise UsageError(
            f"an input size of {side} pixels is not valid",
            f"it must be a multiple of {divisor}",
            f"Give {max(divisor, round(side / divisor) * divisor)}, or auto",
        )
    return replace(preparation, height=side, width=side)
