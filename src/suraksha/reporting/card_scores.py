"""The part of a model card that tells scores of images with a lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from suraksha.inference.card import Card
from suraksha.metrics.subsets import CONSISTENT, LESION, NO_CLASS, SIZE_BANDS
from suraksha.reporting.markdown import interval_text, known_columns, look_up, plain_text

TITLES = {LESION: "all with a lesion", CONSISTENT: "those that no near-duplicate contradicts"}
# heading -> where a part's summary holds it
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
    """Scores of all images with a lesion, by class, by size of the lesion, and pooled."""
    head = "## Results on the test images"
    whole = [part for part in (LESION, CONSISTENT) if part in card.metrics]
    if not whole:
        return [head, "The card holds no scores of images with a lesion."]
    grid = plain_text(card.metrics_grid)
    where = "at their own size" if grid == "native" else f"at {grid} pixels"
    return [
        head,
        f"Images that the training never saw, scored {where}. Means per image; in brackets "
        "the 95 % interval by bootstrap over groups of near-duplicates, which is too narrow where "
        "there are few images.",
        _table(card, whole, PER_IMAGE),
        *_lesion_by_lesion(card),
        "### By class",
        *_by_class(card),
        "### By lesion size",
        *_by_size(card),
        "### Pooled",
        "All pixels of all images counted together, so that large lesions weigh more.",
        _table(card, whole, POOLED),
    ]


def normal_parts(card: Card) -> list[str]:
    """The parts whose images show no lesion."""
    return [part for part in card.metrics if _normal(card.metrics[part])]


def _normal(summary: object) -> bool:
    images = look_up(summary, "normals", "images")
    return bool(images) and images == look_up(summary, "images")


def _table(card: Card, parts: Sequence[str], places: Mapping[str, tuple[str, str]]) -> str:
    rows = []
    for part in parts:
        summary = card.metrics[part]
        cells = [interval_text(look_up(summary, *place)) for place in places.values()]
        number = plain_text(look_up(summary, "images"))
        rows.append([plain_text(TITLES.get(part, part)), number, *cells])
    return known_columns(["images", "number", *places], rows)


def _lesion_by_lesion(card: Card) -> list[str]:
    names = ("found", "missed", "false")
    counted = [look_up(card.metrics, LESION, "lesions", name) for name in names]
    if None in counted:
        return []
    found, missed, false = map(plain_text, counted)
    return [
        f"Lesion by lesion, one marked pixel being enough: {found} found, {missed} missed, "
        f"{false} regions marked that touch none."
    ]


def _by_class(card: Card) -> list[str]:
    classes = sorted(card.metrics.keys() - {*NO_CLASS, *normal_parts(card)})
    if not classes:
        return ["The card holds no scores by class."]
    return [_table(card, classes, PER_IMAGE)]


def _by_size(card: Card) -> list[str]:
    bands = [band.part for band in SIZE_BANDS if band.part in card.metrics]
    if not bands:
        return ["The card holds no scores by lesion size."]
    said = "The size is the fraction of the image that its true lesions cover."
    return [said, _table(card, bands, PER_IMAGE)]
