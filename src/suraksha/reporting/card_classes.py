"""The part of a model card that tells of the classes, the network's second output."""

from __future__ import annotations

from collections.abc import Mapping

from suraksha.inference.card import DECISION_SUPPORT, Card
from suraksha.reporting.markdown import (
    NO_FIGURE,
    interval_text,
    look_up,
    markdown_table,
    number_text,
    plain_text,
)


def classes_section(card: Card) -> list[str]:
    """How well the classes are told; nothing where the network tells none."""
    if not card.classes:
        return []
    names = ", ".join(map(plain_text, card.classes))
    said = (
        f"For the whole image the network tells the probabilities of {names}. They are "
        f"{DECISION_SUPPORT}; no diagnosis."
    )
    return [
        "## Second output: classes",
        said,
        *_scores(card),
        *_confusion(card),
        *_temperature(card),
    ]


def _scores(card: Card) -> list[str]:
    areas = look_up(card.class_metrics, "auc")
    if not isinstance(areas, Mapping) or not areas:
        return ["How well they are told was not measured."]
    images = plain_text(look_up(card.class_metrics, "images"))
    rows = [[plain_text(question), interval_text(area)] for question, area in areas.items()]
    error = number_text(look_up(card.class_metrics, "calibration_error"))
    brier = interval_text(look_up(card.class_metrics, "brier"))
    return [
        f"On {images} test images, areas under the ROC curve with 95 % intervals by bootstrap "
        "over groups of near-duplicates:",
        markdown_table(["question", "AUC"], rows),
        f"The expected calibration error of the most probable class is {error}; the Brier score, "
        f"0 to 2, is {brier}.",
    ]


def _confusion(card: Card) -> list[str]:
    table = look_up(card.class_metrics, "confusion")
    names = [plain_text(name) for name in card.classes]
    if not isinstance(table, list) or len(table) != len(names):
        return []
    rows = [[name, *map(plain_text, row)] for name, row in zip(names, table, strict=True)]
    return [markdown_table(["true class, by most probable class", *names], rows)]


def _temperature(card: Card) -> list[str]:
    fit = look_up(card.class_metrics, "calibration")
    where = [plain_text(look_up(fit, key)) for key in ("images", "part", "dataset")]
    if NO_FIGURE in where:
        return [f"Their logits are divided by {card.class_temperature:.3g}."]
    before, after = (number_text(look_up(fit, key)) for key in ("nll_before", "nll_after"))
    return [
        f"Their logits are divided by {card.class_temperature:.3g}, fitted on {where[0]} images "
        f"({where[1]}, {where[2]}): there the mean negative log likelihood goes from {before} to "
        f"{after}."
    ]
