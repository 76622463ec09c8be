"""What a bundle says of itself: its network, its data, its numbers and its limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from suraksha.errors import BundleError, ModelError, UsageError
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.postprocessing import PostProcessing
from suraksha.preprocessing import THRESHOLD, Preparation

CARD_FORMAT = 2
# keys that a card may lack, each a table of facts
FACTS = (
    "postprocessing_fit",
    "calibration_metrics",
    "quantisation",
    "calibration",
    "class_metrics",
)
INTENDED_USE = (
    "Research use only. Not a medical device; not for diagnosis, treatment or any decision on a "
    "patient. For images like those of its training data alone."
)
NOT_STATED = "not stated"
# stands above class probabilities wherever they are shown
DECISION_SUPPORT = "decision support, research use only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A bundle's card, as ``card.json`` holds it.

    Args:
        name: The bundle's name.
        model: Name and options of the network.
        model_sha256: SHA-256 of ``model.onnx``.
        preparation: How an image becomes the network's input.
        divisor: What divides the sides of the network's input.
        threshold: Probability from which a pixel is lesion.
        presence: What a region of such pixels needs to stay in the mask.
        presence_fit: On what that rule was fitted, the chosen point and the trade curve; empty
            where it was not fitted.
        trust: Temperature of the pixels, confidence of a lesion, when to ask for review, and what
            an image must look like.
        trust_metrics: What these give on the test images; empty where it was not measured.
        parameters: Trained numbers in the network.
        macs: Multiply-accumulates for one image of the preparation's size.
        parity: Greatest difference between torch and ONNX Runtime at export, in probability.
        quantisation: How the network is stored in fewer bits, and what that costs on validation
            images; empty for 32-bit floats.
        training: Data set, protocol, split hash, recipe, device, seconds.
        test_images: The images that the training never saw, name -> SHA-256 of the pixels.
        metrics: The summary on those images, by part.
        calibration: How the probabilities of their pixels agree with the truth; empty where it was
            not measured.
        classes: The classes that the network tells, in the order of its second output; none where
            it has no such output.
        normal_classes: Those of the classes whose images show no lesion; what is left of their
            probability is that of any lesion, which the presence rule may ask for.
        class_temperature: What divides the logits of the classes, so that they are calibrated.
        class_metrics: How well the classes of those images were told, and under ``calibration``
            on what the temperature was fitted; empty where there are no classes.
        metrics_grid: ``native`` (the images' own size), or the cache's size.
        intended_use: What it is for.
        limits: What is known to go wrong.
        licence: Of the weights.
        suraksha_version: What wrote it.
        card_format: Version of this layout.

    Raises:
        BundleError: A card of another format, a threshold outside 0..1, classes of one name, a
            rule that they cannot answer, a temperature that is not above 0, or a size that the
            network does not take.
    """

    name: str
    model: Mapping[str, Any]
    model_sha256: str
    preparation: Preparation
    divisor: int
    threshold: float = THRESHOLD
    postprocessing: PostProcessing = field(default_factory=PostProcessing)
    postprocessing_fit: Mapping[str, Any] = field(default_factory=dict)
    confidence_calibration: ConfidenceCalibration = field(default_factory=ConfidenceCalibration)
    calibration_metrics: Mapping[str, Any] = field(default_factory=dict)
    parameters: int
    macs: int
    parity: Mapping[str, float]
    quantisation: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any]
    test_images: Mapping[str, str]
    metrics: Mapping[str, Any]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    normal_classes: tuple[str, ...] = ()
    class_temperature: float = 1.0
    class_metrics: Mapping[str, Any] = field(default_factory=dict)
    metrics_grid: str
    intended_use: str = INTENDED_USE
    limits: tuple[str, ...] = ()
    licence: str = NOT_STATED
    suraksha_version: str
    card_format: int = CARD_FORMAT

    def __post_init__(self) -> None:
        if self.card_format != CARD_FORMAT:
            raise BundleError(
                f"the card of bundle {self.name} has format {self.card_format}",
                f"this version of Suraksha reads format {CARD_FORMAT}",
                "Install the version that made the bundle, or export it again",
            )
        if self.divisor < 1 or any(side % self.divisor for side in self.preparation.shape):
            raise BundleError(
                f"the card of bundle {self.name} prepares images of {self.preparation.shape}",
                f"its network takes sides that {self.divisor} divides",
                "Export the bundle again",
            )
        if len(set(self.classes)) < len(self.classes) or not 0 < self.class_temperature < math.inf:
            raise BundleError(
                f"the card of bundle {self.name} tells classes {', '.join(self.classes)} at "
                f"temperature {self.class_temperature}",
                "each class has a name of its own and a temperature is above 0",
                "Export the bundle again",
            )
        if not set(self.normal_classes) <= set(self.classes) or (
            self.postprocessing.min_image_probability > 0 and not self.normal_classes
        ):
            raise BundleError(
                f"the presence rule of bundle {self.name} cannot be applied",
                "it asks for the probability of a lesion, and the classes do not tell it",
                "Export the bundle again",
            )
        if not 0 < self.threshold < 1:
            raise BundleError(
                f"the card of bundle {self.name} has threshold {self.threshold}",
                "a threshold lies between 0 and 1",
                "Export the bundle again",
            )

    def to_json(self) -> str:
        """The text of ``card.json``."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _texts(listed: object) -> tuple[str, ...]:
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise ValueError(f"{listed!r} is no list of texts")
    return tuple(listed)


def _trust(table: Mapping[str, Any]) -> ConfidenceCalibration:
    feature_bounds = {
        name: (float(low), float(high))
        for name, (low, high) in table.get("feature_bounds", {}).items()
    }
    return ConfidenceCalibration(**{**table, "feature_bounds": feature_bounds})


def read_card(text: str) -> Card:
    """A card from the text of ``card.json``.

    One without a presence rule keeps every region; one without trust gives mean probabilities as
    confidences.

    Raises:
        BundleError: No JSON, a key missing or unknown, or a value that does not fit.
    """
    try:
        table = json.loads(text)
        known = {f.name for f in fields(Card)}
        if unknown := set(table) - known:
            raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
        table["preparation"] = Preparation(**table["preparation"])
        table["limits"] = _texts(table["limits"])
        for key in ("classes", "normal_classes"):
            table[key] = _texts(table.get(key, []))
        table["postprocessing"] = PostProcessing(**table.get("postprocessing", {}))
        table["confidence_calibration"] = _trust(table.get("confidence_calibration", {}))
        for key in FACTS:
            table[key] = dict(table.get(key, {}))
        return Card(**table)
    except (ValueError, TypeError, KeyError, AttributeError, ModelError, UsageError) as error:
        raise BundleError(
            "the bundle's card cannot be read",
            f"card.json does not fit: {error}",
            "Get the bundle again, or export it again with this version",
        ) from error
