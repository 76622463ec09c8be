"""The part of a model card that tells what a confidence means, and when a person must look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suraksha.inference.card import Card
from suraksha.reporting.markdown import (
    NO_FIGURE,
    look_up,
    markdown_table,
    number_text,
    percent_text,
    plain_text,
)


def confidence_section(card: Card) -> list[str]:
    """Confidence of a lesion, review, and what an image must look like."""
    head, confidence_calibration = "## Confidence and review", card.confidence_calibration
    images = plain_text(look_up(confidence_calibration.fit, "images"))
    if images == NO_FIGURE:
        said = "Nothing was fitted: a lesion's confidence is the mean probability of its pixels."
        return [head, said]
    where = ", ".join(
        plain_text(look_up(confidence_calibration.fit, key)) for key in ("part", "dataset")
    )
    return [
        head,
        f"Fitted on {images} images ({where}). The mask's logits are divided by "
        f"{confidence_calibration.temperature:.3g}, which keeps the mask at 0.5. A lesion's confidence is the "
        "chance that its region and the lesion that it touches have Dice 0.5 or more: "
        f"1 / (1 + exp(-({confidence_calibration.intercept:.3g} + {confidence_calibration.slope:.3g} logit p))), p the mean "
        "probability of its pixels.",
        *_lesions(card.calibration_metrics),
        _rule(card),
        *_reviewed("validation", confidence_calibration.fit),
        *_reviewed("test", card.calibration_metrics),
        *_looks(card),
    ]


def _lesions(found: Mapping[str, Any]) -> list[str]:
    bins = look_up(found, "lesion_bins")
    if not isinstance(bins, list) or not bins:
        return []
    rows = [
        [
            f"{number_text(look_up(one, 'low'), 1)} to {number_text(look_up(one, 'high'), 1)}",
            plain_text(look_up(one, "lesions")),
            number_text(look_up(one, "mean_confidence"), 2),
            number_text(look_up(one, "observed"), 2),
        ]
        for one in bins
    ]
    lesions, right = (plain_text(look_up(found, key)) for key in ("lesions", "lesions_right"))
    error = number_text(look_up(found, "lesion_calibration_error"))
    return [
        f"Of {lesions} regions marked on the test images {right} are right in that sense; the "
        f"expected calibration error of the confidence is {error}:",
        markdown_table(["confidence", "regions", "mean confidence", "share right"], rows),
    ]


def _rule(card: Card) -> str:
    confidence_calibration = card.confidence_calibration
    when = [f"a lesion's confidence is below {confidence_calibration.review_below_confidence:.3g}"]
    if confidence_calibration.review_unmarked_above <= 1:
        when.append(
            "nothing is marked and the second output tells of any lesion with probability "
            f"{confidence_calibration.review_unmarked_above:.2g} or more"
        )
    return f"An answer asks for review where {', or '.join(when)}."


def _reviewed(part: str, found: Mapping[str, Any]) -> list[str]:
    told = [plain_text(look_up(found, key)) for key in ("images", "reviewed", "poor")]
    caught = plain_text(look_up(found, "poor_reviewed"))
    if NO_FIGURE in told:
        return []
    return [
        f"Of the {told[0]} {part} images {told[1]} ask for review; of the {told[2]} poor answers "
        f"(Dice below 0.5, or anything marked where there is no lesion) {caught} do."
    ]


def _looks(card: Card) -> list[str]:
    if not card.confidence_calibration.feature_bounds:
        return []
    refused = look_up(card.calibration_metrics, "refused")
    images = look_up(card.calibration_metrics, "images")
    fraction = ""
    if isinstance(refused, int) and isinstance(images, int) and images:
        fraction = f" Of the test images {refused} ({percent_text(refused / images)}) are refused."
    rows = [
        [plain_text(name), number_text(low), number_text(high)]
        for name, (low, high) in card.confidence_calibration.feature_bounds.items()
    ]
    return [
        "An image outside these limits is told to be no ultrasound, and not segmented."
        f"{fraction} A grey photograph can pass them.",
        markdown_table(["figure", "least", "greatest"], rows),
    ]
