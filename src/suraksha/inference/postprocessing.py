"""From logits to the mask: temperature scaling, restore, threshold and region rule.

This is the only copy. The segmenter, the evaluation, the export and the fits all call it, so a
score in a card is the score of the network that ships.

    probability = restore(sigmoid(logits / temperature))    on the image's own grid
    mask        = the regions of probability >= threshold that meet the rule
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from suraksha.errors import BundleError, UsageError
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.engines import Logits
from suraksha.inference.prediction import Prediction, class_probabilities
from suraksha.measurement.components import EIGHT_NEIGHBOURS, as_mask
from suraksha.preprocessing import THRESHOLD, restore
from suraksha.types import Image


@dataclass(frozen=True, slots=True)
class PostProcessing:
    """The rule that a region of the thresholded map must meet to stay in the mask.

    The default keeps every region.

    Args:
        min_peak: Minimum of the region's highest probability, 0..1.
        min_area_fraction: Minimum fraction of the image that the region covers, 0 to below 1.
        min_image_probability: Minimum lesion probability of the whole image by the classification
            head, 0..1. Below it the mask is empty.

    Raises:
        UsageError: A number outside its range.
    """

    min_peak: float = 0.0
    min_area_fraction: float = 0.0
    min_image_probability: float = 0.0

    def __post_init__(self) -> None:
        in_range = 0 <= self.min_peak <= 1 and 0 <= self.min_image_probability <= 1
        if not (in_range and 0 <= self.min_area_fraction < 1):
            raise UsageError(
                f"{self} is not valid",
                "min_peak and min_image_probability must be in 0..1, and min_area_fraction in "
                "0..1 (1 excluded)",
                "Correct the numbers",
            )

    def is_identity(self, threshold: float) -> bool:
        """Whether every region of a map cut at the threshold meets the rule."""
        free = self.min_area_fraction == 0 and self.min_image_probability == 0
        return free and self.min_peak <= threshold


class PostProcessingCard(Protocol):
    """What post-processing needs to know: a bundle's `Card`, or a `PostProcessingSettings`."""

    @property
    def threshold(self) -> float:
        """Probability from which a pixel is lesion."""

    @property
    def postprocessing(self) -> PostProcessing:
        """The rule that a region must meet."""

    @property
    def confidence_calibration(self) -> ConfidenceCalibration:
        """Its ``temperature`` divides the logits of the mask."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the classification head; empty without one."""

    @property
    def normal_classes(self) -> tuple[str, ...]:
        """The classes whose images show no lesion."""

    @property
    def class_temperature(self) -> float:
        """What divides the logits of the classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostProcessingSettings:
    """The post-processing part of a card, for a network that has no card yet.

    Args:
        threshold: Probability from which a pixel is lesion.
        postprocessing: The rule that a region must meet.
        confidence_calibration: Its ``temperature`` divides the logits of the mask.
        classes: The classes in the order of the classification head; empty without one.
        normal_classes: The classes whose images show no lesion.
        class_temperature: What divides the logits of the classes.
    """

    threshold: float = THRESHOLD
    postprocessing: PostProcessing = field(default_factory=PostProcessing)
    confidence_calibration: ConfidenceCalibration = field(default_factory=ConfidenceCalibration)
    classes: tuple[str, ...] = ()
    normal_classes: tuple[str, ...] = ()
    class_temperature: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """A prediction and the mask that post-processing makes of it.

    Args:
        prediction: Probability map and class probabilities.
        mask: (H, W) bool, the regions that meet the rule.
        unmarked_probability: The highest lesion probability (classification head) of a scan whose
            mask is empty; 0 where there is no such scan or no classification head.
    """

    prediction: Prediction
    mask: NDArray[np.bool_]
    unmarked_probability: float = 0.0


def postprocess(logits: Logits, image: Image, *, card: PostProcessingCard) -> Segmentation:
    """Prediction and mask of one image from the logits of a network.

    Args:
        logits: Of this image alone (N = 1), on the network's grid.
        image: The image, of one scan; images with several are handled by
            `suraksha.inference.roi.segment_image`, scan by scan, with the same functions.
        card: Temperatures, threshold, rule and classes.

    Raises:
        BundleError: The number of classes in the card is not that of the network.
    """
    return apply_threshold(to_prediction(logits, image, card=card), image, card=card)


def to_prediction(logits: Logits, image: Image, *, card: PostProcessingCard) -> Prediction:
    """The first half of `postprocess`: temperature scaling, restore and class probabilities.

    The probabilities, not the logits, are resized to the image's own grid.

    Args:
        logits: Of this image alone (N = 1), on the network's grid.
        image: The image.
        card: Temperatures and classes.

    Raises:
        BundleError: The number of classes in the card is not that of the network.
    """
    temperature = np.float32(card.confidence_calibration.temperature)
    probability = restore(expit(logits.mask[0, 0] / temperature), image)
    if not card.classes:
        return Prediction(probability)
    count = 0 if logits.classes is None else logits.classes.shape[1]
    if logits.classes is None or count != len(card.classes):
        raise BundleError(
            "the network's classification head does not match the card",
            f"the card names {len(card.classes)} classes, the network predicts {count}",
            "Export the bundle again",
        )
    classes = class_probabilities(
        logits.classes[0], names=card.classes, temperature=card.class_temperature
    )
    return Prediction(probability, classes, card.normal_classes)


def apply_threshold(
    prediction: Prediction,
    image: Image,
    *,
    card: PostProcessingCard,
    scan_classes: tuple[Mapping[str, float] | None, ...] = (),
) -> Segmentation:
    """The second half of `postprocess`: threshold and rule, for each scan of the image.

    Args:
        prediction: For the whole image.
        image: The image.
        card: Threshold and rule.
        scan_classes: Class probabilities of each of ``image.scans``; empty where the image is one
            scan, whose classes are those of the prediction.
    """
    mask, unmarked = np.zeros(image.shape, np.bool_), 0.0
    per_scan = scan_classes or (prediction.classes,)
    for scan, classes in zip(image.scans, per_scan, strict=True):
        part = Prediction(prediction.probability[scan.slices], classes, card.normal_classes)
        marked = lesion_mask(
            part.probability,
            threshold=card.threshold,
            rule=card.postprocessing,
            lesion_probability=part.lesion_probability,
        )
        mask[scan.slices] |= marked
        if classes is not None and not marked.any():
            unmarked = max(unmarked, part.lesion_probability)
    return Segmentation(prediction, mask, unmarked)


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityRegions:
    """The 8-connected regions of a thresholded map; region ``i`` has label ``i + 1``.

    Args:
        labels: (H, W) int32, 0 outside the regions.
        peaks: (n,) highest probability in each, in the map's type.
        pixels: (n,) int64, number of pixels of each.
    """

    labels: NDArray[np.int32]
    peaks: NDArray[Any]
    pixels: NDArray[np.int64]

    @property
    def areas(self) -> NDArray[np.float64]:
        """(n,) fraction of the image that each covers, 0..1."""
        return self.pixels / self.labels.size

    def overlap(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n,) int64, number of pixels of each inside a mask of (H, W) bool."""
        return np.bincount(self.labels[mask], minlength=len(self.pixels) + 1)[1:]


def regions(probability: NDArray[Any], threshold: float) -> ProbabilityRegions:
    """The 8-connected regions in which a map reaches a threshold.

    Args:
        probability: (H, W) floats in 0..1.
        threshold: Probability from which a pixel is lesion; it is compared in the map's type.

    Raises:
        InputError: Not two axes, or no pixels.
    """
    return _regions(probability, as_mask(probability >= threshold))


def lesion_mask(
    probability: NDArray[Any],
    *,
    threshold: float,
    rule: PostProcessing,
    lesion_probability: float = 1.0,
) -> NDArray[np.bool_]:
    """The mask of the regions that meet a rule, (H, W) bool.

    Args:
        probability: (H, W) floats in 0..1.
        threshold: Probability from which a pixel is lesion; it is compared in the map's type.
        rule: The rule that a region must meet.
        lesion_probability: Of the whole image, by the classification head; 1 without one.

    Raises:
        InputError: Not two axes, or no pixels.
    """
    mask = as_mask(probability >= threshold)
    if rule.is_identity(threshold) or not mask.any():
        return mask
    if lesion_probability < rule.min_image_probability:
        return np.zeros_like(mask)
    # outside this box there is nothing to label
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    found = _regions(probability[box], mask[box])
    large = found.pixels / mask.size >= rule.min_area_fraction
    meets = (found.peaks >= rule.min_peak) & large
    kept = np.zeros_like(mask)
    kept[box] = np.concatenate(([False], meets))[found.labels]
    return kept


def _regions(probability: NDArray[Any], mask: NDArray[np.bool_]) -> ProbabilityRegions:
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=EIGHT_NEIGHBOURS, output=labels)
    inside = labels[mask]
    pixels = np.bincount(inside)[1:]
    # ndimage.maximum would sort every pixel of the image
    peaks = np.zeros(len(pixels), dtype=probability.dtype)
    np.maximum.at(peaks, inside - 1, probability[mask])
    return ProbabilityRegions(labels, peaks, pixels)
