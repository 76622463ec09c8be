"""The sections of a model card with scores: masks, images without a lesion, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from suraksha.inference.card import DECISION_SUPPORT, Card
from suraksha.metrics.subsets import CONSISTENT, LESION, NO_CLASS, SIZE_BANDS
from suraksha.reporting.markdown import (
    NO_FIGURE,
    interval_text,
    known_columns,
    look_up,
    markdown_table,
    number_text,
    percent_text,
    plain_text,
)

TITLES = {LESION: "all with a lesion", CONSISTENT: "excluding contradictory near-duplicates"}
# heading -> where the summary of a subset holds it
PER_IMAGE = {
    "Dice": ("mean", "dice"),
    "median Dice": ("median", "dice"),
    "IoU": ("mean", "iou"),
    "HD95 px": ("mean", "hd95_px"),
    "HD95 mm": ("mean", "hd95_mm"),
    "NSD": ("mean", "nsd"),
}
POOLED = {
    title: ("pooled", title.lower()) for title in ("Dice", "IoU", "precision", "recall", "accuracy")
}


def scores_section(card: Card) -> list[str]:
    """Scores of the images with a lesion: all, by class, by size of the lesion, and pooled."""
    head = "## Results on the held-out test set"
    whole = [part for part in (LESION, CONSISTENT) if part in card.metrics]
    if not whole:
        return [head, "The card has no scores of images with a lesion."]
    grid = plain_text(card.metrics_grid)
    where = "at their own size" if grid == "native" else f"at {grid} pixels"
    return [
        head,
        f"Images that were not used for training, scored {where}. Means per image; in brackets "
        "95 % confidence intervals by bootstrap over groups of near-duplicates, which are too "
        "narrow for a small number of images.",
        _table(card, whole, PER_IMAGE),
        *_detection(card),
        "### By class",
        *_by_class(card),
        "### By lesion size",
        *_by_size(card),
        "### Pooled",
        "All pixels of all images counted together, so that large lesions have more weight.",
        _table(card, whole, POOLED),
    ]


def _table(card: Card, parts: Sequence[str], places: Mapping[str, tuple[str, str]]) -> str:
    rows = []
    for part in parts:
        summary = card.metrics[part]
        cells = [interval_text(look_up(summary, *place)) for place in places.values()]
        number = plain_text(look_up(summary, "images"))
        rows.append([plain_text(TITLES.get(part, part)), number, *cells])
    return known_columns(["images", "number", *places], rows)


def _detection(card: Card) -> list[str]:
    keys = ("found", "missed", "false")
    counts = [look_up(card.metrics, LESION, "lesions", key) for key in keys]
    if None in counts:
        return []
    found, missed, false = map(plain_text, counts)
    return [
        f"Per lesion, where an overlap of one pixel counts as found: {found} found, {missed} "
        f"missed, {false} false positive regions."
    ]


def _by_class(card: Card) -> list[str]:
    classes = sorted(card.metrics.keys() - {*NO_CLASS, *_normal_parts(card)})
    if not classes:
        return ["The card has no scores by class."]
    return [_table(card, classes, PER_IMAGE)]


def _by_size(card: Card) -> list[str]:
    bands = [band.part for band in SIZE_BANDS if band.part in card.metrics]
    if not bands:
        return ["The card has no scores by lesion size."]
    return [
        "Size is the fraction of the image that the reference mask covers.",
        _table(card, bands, PER_IMAGE),
    ]


def _normal_parts(card: Card) -> list[str]:
    """The subsets whose images show no lesion."""
    return [part for part in card.metrics if _is_normal(card.metrics[part])]


def _is_normal(summary: object) -> bool:
    images = look_up(summary, "normals", "images")
    return bool(images) and images == look_up(summary, "images")


def normals_section(card: Card) -> list[str]:
    """False positives on images without a lesion."""
    blocks = ["## Images without a lesion"]
    for part in _normal_parts(card):
        found = card.metrics[part]["normals"]
        images, flagged = (plain_text(look_up(found, key)) for key in ("images", "with_prediction"))
        blocks.append(
            f"Of the {images} images of class {plain_text(part)} in the held-out test set, "
            f"{flagged} ({percent_text(look_up(found, 'fraction'), 0)}) have at least one false "
            "positive region. The mean fraction of the image that is falsely segmented is "
            f"{percent_text(look_up(found, 'false_area_fraction'))}."
        )
    if len(blocks) == 1:
        blocks.append("There was no such image in the held-out test set.")
    return blocks


def classes_section(card: Card) -> list[str]:
    """Scores of the classification head; nothing without one."""
    if not card.classes:
        return []
    names = ", ".join(map(plain_text, card.classes))
    return [
        "## Classification head",
        f"For the whole image the network also predicts the probabilities of {names}. They are "
        f"{DECISION_SUPPORT}; not a diagnosis.",
        *_class_scores(card),
        *_confusion(card),
        *_class_temperature(card),
    ]


def _class_scores(card: Card) -> list[str]:
    areas = look_up(card.class_metrics, "auc")
    if not isinstance(areas, Mapping) or not areas:
        return ["Its accuracy was not measured."]
    images = plain_text(look_up(card.class_metrics, "images"))
    rows = [[plain_text(question), interval_text(area)] for question, area in areas.items()]
    error = number_text(look_up(card.class_metrics, "calibration_error"))
    brier = interval_text(look_up(card.class_metrics, "brier"))
    return [
        f"Areas under the ROC curve (AUC) on {images} images of the held-out test set, with 95 % "
        "confidence intervals by bootstrap over groups of near-duplicates:",
        markdown_table(["classes", "AUC"], rows),
        f"The expected calibration error of the most probable class is {error}; the Brier score "
        f"(0 to 2) is {brier}.",
    ]


def _confusion(card: Card) -> list[str]:
    table = look_up(card.class_metrics, "confusion")
    names = [plain_text(name) for name in card.classes]
    if not isinstance(table, list) or len(table) != len(names):
        return []
    if not all(isinstance(row, list) and len(row) == len(names) for row in table):
        return []
    rows = [[name, *map(plain_text, row)] for name, row in zip(names, table, strict=True)]
    return [markdown_table(["true class \\ most probable class", *names], rows)]


def _class_temperature(card: Card) -> list[str]:
    fit = look_up(card.class_metrics, "calibration")
    images, *where = (plain_text(look_up(fit, key)) for key in ("images", "part", "dataset"))
    text = f"Temperature scaling divides the logits of the classes by {card.class_temperature:.3g}"
    if NO_FIGURE in (images, *where):
        return [f"{text}."]
    before, after = (number_text(look_up(fit, key)) for key in ("nll_before", "nll_after"))
    return [
        f"{text}, fitted on {images} images ({', '.join(where)}). There it changes the mean "
        f"negative log-likelihood from {before} to {after}."
    ]
