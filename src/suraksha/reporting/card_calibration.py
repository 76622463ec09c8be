"""The part of a model card that tells how far an answer can be trusted."""

from __future__ import annotations

from dataclasses import asdict

from suraksha.inference.card import Card
from suraksha.reporting.card_scores import normal_parts
from suraksha.reporting.markdown import (
    figure,
    look_up,
    markdown_table,
    number_text,
    percent_text,
    plain_text,
)

RULE_COLUMNS = ("least peak", "least area", "least probability of any lesion")


def normals_section(card: Card) -> list[str]:
    """What is marked where there is no lesion, and the rule that keeps it down."""
    blocks = ["## Images without a lesion"]
    for part in normal_parts(card):
        found = card.metrics[part]["normals"]
        counted = (look_up(found, key) for key in ("images", "with_prediction"))
        images, flagged = map(plain_text, counted)
        blocks.append(
            f"Of {images} test images of class {plain_text(part)}, {flagged} "
            f"({percent_text(look_up(found, 'fraction'), 0)}) get a marked region, where an empty "
            f"mask is right. On the mean of all of them "
            f"{percent_text(look_up(found, 'false_area_fraction'))} of the image is marked."
        )
    if len(blocks) == 1:
        blocks.append("No such image was among the test images.")
    return [*blocks, "### Presence rule", _rule(card), *_fit(card)]


def _rule(card: Card) -> str:
    cut = f"A pixel is lesion from probability {plain_text(card.threshold)}"
    rule = card.postprocessing
    if rule.is_identity(card.threshold):
        return f"{cut}. There is no presence rule: every region of such pixels is marked."
    needs = []
    if rule.min_peak > card.threshold:
        needs.append(f"its greatest probability is at least {plain_text(rule.min_peak)}")
    if rule.min_area_fraction:
        needs.append(f"it covers at least {percent_text(rule.min_area_fraction)} of the image")
    if rule.min_image_probability:
        needs.append(
            "the second output tells of any lesion with probability at least "
            f"{plain_text(rule.min_image_probability)}"
        )
    return f"{cut}. A region of such pixels is marked if {' and '.join(needs)}."


def _fit(card: Card) -> list[str]:
    fit = card.postprocessing_fit
    if look_up(fit, "images") is None:
        return _curve(card)
    where = [plain_text(look_up(fit, key)) for key in ("part", "dataset") if look_up(fit, key)]
    images, normals = (plain_text(look_up(fit, key)) for key in ("images", "normals"))
    said = f"It was fitted on {images} images, {normals} of them normal"
    said += f" ({', '.join(where)})." if where else "."
    if not figure(look_up(fit, "normals")) > 0:
        return [f"{said} Without normals it promises nothing for them.", *_curve(card)]
    most = percent_text(look_up(fit, "max_flagged"), 0)
    goal = f"Of the rules that flag at most {most} of the normals it has the greatest Dice."
    gave = (
        f"There it flags {plain_text(look_up(fit, 'flagged'))} normals, misses "
        f"{plain_text(look_up(fit, 'missed'))} lesion images and has Dice "
        f"{number_text(look_up(fit, 'dice'))}; without a rule "
        f"{percent_text(look_up(fit, 'without', 'flagged'))} of the normals are flagged and "
        f"Dice is {number_text(look_up(fit, 'without', 'dice'))}."
    )
    return [f"{said} {goal} {gave}", *_curve(card)]


def _curve(card: Card) -> list[str]:
    """The trade, the chosen point in bold."""
    points = look_up(card.postprocessing_fit, "curve")
    rows: list[list[str]] = []
    chosen = asdict(card.postprocessing)
    for point in points if isinstance(points, list) else []:
        rule = look_up(point, "rule")
        shares = [percent_text(look_up(point, key)) for key in ("flagged", "missed")]
        row = [*shares, number_text(look_up(point, "dice"))]
        row += [number_text(look_up(rule, key), 3) for key in chosen]
        rows.append([f"**{cell}**" for cell in row] if rule == chosen else row)
    if not rows:
        return []
    head = ["normals flagged", "lesion images missed", "Dice", *RULE_COLUMNS]
    return ["What the best rules give there, the chosen one in bold:", markdown_table(head, rows)]


def calibration_section(card: Card) -> list[str]:
    """How the probabilities agree with the truth, pixel by pixel."""
    head, found = "## Calibration of the probability", card.calibration
    fraction = figure(look_up(found, "lesion_fraction"))
    bins = look_up(found, "bins")
    if not isinstance(bins, list) or not fraction >= 0:
        return [head, "It was not measured: do not read a probability as a chance."]
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
    said = (
        f"Over all pixels of the test images the expected calibration error is {error} and the "
        f"Brier score {brier}. {percent_text(fraction)} of the pixels are lesion; a map of that share "
        f"everywhere has Brier score {number_text(fraction * (1 - fraction), 4)}. Most pixels are clear "
        "background, so read the rows: where a probability can be taken as a chance, the last two "
        "columns agree."
    )
    columns = ["probability", "pixels", "mean probability", "fraction of lesion"]
    return [head, said, markdown_table(columns, rows)]
