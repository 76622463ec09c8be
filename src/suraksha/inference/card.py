"""The card of a bundle: its network, its data, its scores and its limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

import msgspec

from suraksha.errors import BundleError, ModelError, UsageError
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.postprocessing import PostProcessing
from suraksha.preprocessing import THRESHOLD, Preparation

CARD_FORMAT = 2
# sides of the network's input above this are refused, so that a card cannot ask for all memory
MAX_INPUT_SIDE = 4096
INTENDED_USE = (
    "Research use only. Not a medical device; not for diagnosis, treatment or any decision about "
    "a patient. Only for images like those of its training data."
)
NOT_STATED = "not stated"
# shown above class probabilities wherever they are shown
DECISION_SUPPORT = "decision support, research use only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A bundle's card, as ``card.json`` holds it.

    Args:
        name: The bundle's name.
        model: Name and options of the network.
        model_sha256: SHA-256 of ``model.onnx``.
        preparation: How an image becomes the network's input.
        divisor: The sides of the network's input must be multiples of this.
        threshold: Probability from which a pixel is lesion.
        postprocessing: The rule that a region must meet to stay in the mask.
        postprocessing_fit: The images that the rule was fitted on, the chosen operating point and
            the trade-off curve; empty where it was not fitted.
        confidence_calibration: Temperature of the pixels, confidence of a lesion, review, and
            bounds of the input check.
        calibration_metrics: What these give on the held-out test set; empty where it was not
            measured.
        parameters: Number of trained parameters.
        macs: Multiply-accumulates for one image of the preparation's size.
        parity: ONNX parity: max absolute difference in probability between torch and ONNX Runtime
            at export, by input size.
        quantisation: How the network is quantised and what that costs on validation images; empty
            for 32-bit floats.
        training: Data set, protocol, split hash, recipe, device, seconds.
        test_images: The held-out test set, name -> SHA-256 of the pixels.
        metrics: Summary on the held-out test set, by subset.
        calibration: Reliability of the pixel probabilities there; empty where it was not measured.
        classes: The classes in the order of the classification head; empty without one.
        normal_classes: The classes whose images show no lesion.
        class_temperature: Divides the logits of the classes.
        class_metrics: Scores of the classification head on the held-out test set, and under
            ``calibration`` the images that the temperature was fitted on; empty without a head.
        metrics_grid: ``native`` (the images' own size), or the size of the cache.
        intended_use: What it is for.
        limits: Known limitations.
        licence: Of the weights.
        suraksha_version: Version that wrote it.
        card_format: Version of this layout.

    Raises:
        BundleError: A card of another format, a threshold outside 0..1, repeated classes, a rule
            that needs a classification head where there is none, a temperature that is not above
            0, or an input size that the network does not take.
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
            raise _wrong_format(self.name, self.card_format)
        for problem in self._problems():
            raise BundleError(
                f"the card of bundle {self.name} is not valid", problem, "Export the bundle again"
            )

    def _problems(self) -> list[str]:
        """What does not fit together."""
        sides, found = self.preparation.shape, []
        if self.divisor < 1 or any(side % self.divisor for side in sides):
            found.append(f"the input size {sides} must be a multiple of divisor = {self.divisor}")
        if max(sides) > MAX_INPUT_SIDE:
            found.append(f"the input size {sides} is above {MAX_INPUT_SIDE} pixels")
        if len(set(self.classes)) < len(self.classes):
            found.append(f"classes are repeated: {', '.join(self.classes)}")
        if not 0 < self.class_temperature < math.inf:
            found.append(f"class_temperature = {self.class_temperature} must be above 0")
        if not set(self.normal_classes) <= set(self.classes):
            found.append(f"normal_classes are not in classes: {', '.join(self.normal_classes)}")
        if self.postprocessing.min_image_probability > 0 and not self.normal_classes:
            found.append("postprocessing.min_image_probability needs normal_classes")
        if not 0 < self.threshold < 1:
            found.append(f"threshold = {self.threshold} must be between 0 and 1")
        return found

    def to_json(self) -> str:
        """The text of ``card.json``."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_card(content: str | bytes, *, source: str = "card.json") -> Card:
    """A card from the content of ``card.json``, decoded strictly.

    Keys with a default may be missing: a card without a rule keeps every region, one without
    calibration gives mean probabilities as confidences.

    Args:
        content: The JSON text.
        source: The file, for error messages.

    Raises:
        BundleError: No JSON, another card format, a key that is missing or unknown, or a value of
            the wrong type or outside its range.
    """
    try:
        table = msgspec.json.decode(content)
        if isinstance(table, dict) and table.get("card_format", CARD_FORMAT) != CARD_FORMAT:
            raise _wrong_format(str(table.get("name")), table["card_format"])
        unknown = _unknown_keys(table, Card)
        if not unknown:
            return msgspec.convert(table, Card)
        reason = f"unknown key '{unknown[0]}'"
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        key = f"key '{place.rstrip('`')}': " if place else ""
        reason = f"{key}{message[:1].lower()}{message[1:].replace('`', chr(39))}"
    except (ModelError, UsageError) as error:
        reason = f"{error.what}: {error.why}"
    except (msgspec.DecodeError, RecursionError) as error:
        reason = str(error)
    raise BundleError(
        f"{source} cannot be read", reason, "Get the bundle again, or export it with this version"
    )


def _wrong_format(name: str, found: object) -> BundleError:
    return BundleError(
        f"the card of bundle {name} has format {found}",
        f"this version of Suraksha reads format {CARD_FORMAT}",
        "Install the version that made the bundle, or export it again",
    )


def _unknown_keys(table: object, kind: type[Any], prefix: str = "") -> list[str]:
    """The keys of a table, and of the records in it, that a dataclass does not have."""
    if not isinstance(table, dict):
        return []
    known = {one.name for one in fields(kind)}
    found = [f"{prefix}{key}" for key in table if key not in known]
    for name, inner in get_type_hints(kind).items():
        if is_dataclass(inner) and isinstance(inner, type):
            found += _unknown_keys(table.get(name), inner, f"{prefix}{name}.")
    return found
