"""The sections of a model card on post-processing, calibration, review and the input check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from suraksha.inference.card import Card
from suraksha.reporting.markdown import (
    NO_FIGURE,
    figure,
    look_up,
    markdown_table,
    number_text,
    percent_text,
    plain_text,
)

# headings of the columns of the trade-off curve, in the order of `PostProcessing`
RULE_COLUMNS = ("min peak", "min area fraction", "min lesion probability of the image")


def postprocessing_section(card: Card) -> list[str]:
    """Threshold, rule and the operating point that was chosen for it."""
    return ["## Post-processing", _rule(card), *_operating_point(card)]


def _rule(card: Card) -> str:
    threshold = f"A pixel is lesion from probability {plain_text(card.threshold)}"
    rule = card.postprocessing
    if rule.is_identity(card.threshold):
        return f"{threshold}. There is no further rule: every region of such pixels is kept."
    needs = []
    if rule.min_peak > card.threshold:
        needs.append(f"its highest probability is at least {number_text(rule.min_peak)}")
    if rule.min_area_fraction:
        needs.append(f"it covers at least {percent_text(rule.min_area_fraction)} of the image")
    if rule.min_image_probability:
        needs.append(
            "the classification head gives the image a lesion probability of at least "
            f"{number_text(rule.min_image_probability)}"
        )
    return f"{threshold}. A region of such pixels is kept if {' and '.join(needs)}."


def _operating_point(card: Card) -> list[str]:
    fit = card.postprocessing_fit
    if look_up(fit, "images") is None:
        return _curve(card)
    where = [plain_text(look_up(fit, key)) for key in ("part", "dataset") if look_up(fit, key)]
    images, normals = (plain_text(look_up(fit, key)) for key in ("images", "normals"))
    text = f"The rule was fitted on {images} images, {normals} of them without a lesion"
    text += f" ({', '.join(where)})." if where else "."
    if not figure(look_up(fit, "normals")) > 0:
        text += " Without normal images it says nothing about false positives on them."
        return [text, *_curve(card)]
    most = percent_text(look_up(fit, "max_flagged"), 0)
    return [
        f"{text} It is the rule with the highest Dice among those with false positives on at most "
        f"{most} of the normal images. There it has false positives on "
        f"{plain_text(look_up(fit, 'flagged'))} normal images, misses "
        f"{plain_text(look_up(fit, 'missed'))} lesion images and has Dice "
        f"{number_text(look_up(fit, 'dice'))}. Without a rule "
        f"{percent_text(look_up(fit, 'without', 'flagged'))} of the normal images have false "
        f"positives, and Dice is {number_text(look_up(fit, 'without', 'dice'))}.",
        *_curve(card),
    ]


def _curve(card: Card) -> list[str]:
    """The trade-off curve, the chosen operating point in bold."""
    points = look_up(card.postprocessing_fit, "curve")
    rows: list[list[str]] = []
    chosen = asdict(card.postprocessing)
    for point in points if isinstance(points, list) else []:
        rule = look_up(point, "rule")
        fractions = [percent_text(look_up(point, key)) for key in ("flagged", "missed")]
        row = [*fractions, number_text(look_up(point, "dice"))]
        row += [number_text(look_up(rule, key), 3) for key in chosen]
        rows.append([f"**{cell}**" for cell in row] if rule == chosen else row)
    if not rows:
        return []
    head = ["normal images with false positives", "lesion images missed", "Dice", *RULE_COLUMNS]
    return [
        "Operating points on those images, the chosen one in bold:",
        markdown_table(head, rows),
    ]


def calibration_section(card: Card) -> list[str]:
    """Reliability of the pixel probabilities."""
    head, found = "## Calibration of the probability map", card.calibration
    fraction = figure(look_up(found, "lesion_fraction"))
    bins = look_up(found, "bins")
    if not isinstance(bins, list) or not fraction >= 0:
        return [head, "It was not measured. Do not read a probability as a frequency."]
    rows = [
        [
            f"{number_text(look_up(one, 'low'), 1)} to {number_text(look_up(one, 'high'), 1)}",
            percent_text(look_up(one, "fraction"), 2),
            number_text(look_up(one, "mean_probability")),
            number_text(look_up(one, "observed")),
        ]
        for one in bins
    ]
    error, brier = (
        number_text(look_up(found, key), 4) for key in ("expected_calibration_error", "brier")
    )
    return [
        head,
        f"Over all pixels of the held-out test set the expected calibration error is {error} and "
        f"the Brier score {brier}. For comparison: {percent_text(fraction)} of the pixels are "
        "lesion, and a constant prediction of that fraction has Brier score "
        f"{number_text(fraction * (1 - fraction), 4)}. Most pixels are clear background and "
        "dominate both numbers, so read the table: a bin is calibrated where its last two columns "
        "agree.",
        markdown_table(["probability", "pixels", "mean probability", "fraction of lesion"], rows),
    ]


def confidence_section(card: Card) -> list[str]:
    """Confidence of a lesion and the review rule."""
    head, calibration = "## Confidence and review", card.confidence_calibration
    images = plain_text(look_up(calibration.fit, "images"))
    if images == NO_FIGURE:
        return [
            head,
            "No calibration was fitted: a lesion's confidence is the mean probability of its "
            "pixels.",
        ]
    where = ", ".join(plain_text(look_up(calibration.fit, key)) for key in ("part", "dataset"))
    return [
        head,
        f"Fitted on {images} images ({where}). Temperature scaling divides the logits of the mask "
        f"by {calibration.temperature:.3g}, before they become probabilities and are resized to "
        "the image. A lesion's confidence is the estimated probability that its region and the "
        "lesions that it touches have a Dice of 0.5 or more: "
        f"1 / (1 + exp(-({calibration.intercept:.3g} + {calibration.slope:.3g} logit p))), where "
        "p is the mean probability of its pixels.",
        *_confidence_table(card.calibration_metrics),
        _review_rule(card),
        *_reviewed("validation images", calibration.fit),
        *_reviewed("images of the held-out test set", card.calibration_metrics),
    ]


def _confidence_table(found: Mapping[str, Any]) -> list[str]:
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
    lesions, correct = (plain_text(look_up(found, key)) for key in ("lesions", "lesions_right"))
    error = number_text(look_up(found, "lesion_calibration_error"))
    return [
        f"On the held-out test set {correct} of {lesions} predicted regions are correct in that "
        f"sense; the expected calibration error of the confidence is {error}:",
        markdown_table(["confidence", "regions", "mean confidence", "fraction correct"], rows),
    ]


def _review_rule(card: Card) -> str:
    calibration = card.confidence_calibration
    reasons = [f"a lesion's confidence is below {calibration.review_below_confidence:.3g}"]
    if calibration.review_unmarked_above <= 1:
        reasons.append(
            "the mask is empty but the classification head gives a lesion probability of "
            f"{calibration.review_unmarked_above:.2g} or more"
        )
    return f"A result is flagged for review if {', or if '.join(reasons)}."


def _reviewed(images: str, found: Mapping[str, Any]) -> list[str]:
    keys = ("images", "reviewed", "poor", "poor_reviewed")
    total, reviewed, poor, caught = (plain_text(look_up(found, key)) for key in keys)
    if NO_FIGURE in (total, reviewed, poor):
        return []
    return [
        f"Of {total} {images}, {reviewed} are flagged for review, among them {caught} of the "
        f"{poor} poor results (Dice below 0.5, or a false positive on an image without a lesion)."
    ]


def input_check_section(card: Card) -> list[str]:
    """The bounds outside which an image is rejected; nothing where none were fitted."""
    bounds = card.confidence_calibration.feature_bounds
    if not bounds:
        return []
    refused = look_up(card.calibration_metrics, "refused")
    images = look_up(card.calibration_metrics, "images")
    rejected = ""
    if isinstance(refused, int) and isinstance(images, int) and images:
        rejected = (
            f" Of the held-out test set {refused} images ({percent_text(refused / images)}) are "
            "rejected."
        )
    rows = [
        [plain_text(name), number_text(low), number_text(high)]
        for name, (low, high) in bounds.items()
    ]
    return [
        "## Input check",
        f"Images outside these bounds are rejected as out-of-distribution.{rejected} The check is "
        "coarse: a grey photograph can pass it.",
        markdown_table(["feature", "min", "max"], rows),
    ]
