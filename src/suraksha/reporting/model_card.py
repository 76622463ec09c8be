"""A bundle's card as a page to read.

Its parts are those of a model card (Mitchell 2019, doi:10.1145/3287560.3287596), as far as the card
knows them.
"""

from __future__ import annotations

from suraksha.inference.card import Card
from suraksha.reporting.card_calibration import calibration_section, normals_section
from suraksha.reporting.card_classes import classes_section
from suraksha.reporting.card_confidence import confidence_section
from suraksha.reporting.card_scores import scores_section
from suraksha.reporting.card_training import training_section
from suraksha.reporting.markdown import facts_table, look_up, number_text, plain_text

RESEARCH = "Research use only."


def model_card(card: Card) -> str:
    """The page of a bundle, in Markdown, made from its card alone.

    What the card does not know is left out, or said to be unknown.

    Args:
        card: The bundle's card.
    """
    sections = (
        _purpose(card),
        _network(card),
        _input(card),
        training_section(card),
        scores_section(card),
        normals_section(card),
        calibration_section(card),
        confidence_section(card),
        classes_section(card),
        _limits(card),
        _test_images(card),
    )
    return "\n\n".join(block for section in sections for block in section) + "\n"


def _purpose(card: Card) -> list[str]:
    rest = plain_text(card.intended_use.removeprefix(RESEARCH))
    return [
        f"# Model card: {plain_text(card.name)}",
        f"**{RESEARCH}** {rest}".strip(),
        "Made from the card inside the bundle; nothing was added by hand.",
        "## Intended use",
        "For research on images of breast ultrasound. It gives each pixel the probability that "
        "it is lesion, and from that a mask, which is measured.",
    ]


def _network(card: Card) -> list[str]:
    height, width = card.preparation.shape
    options = {key: value for key, value in card.model.items() if key != "name"}
    before = ", before it was stored in 8 bits" if card.quantisation else ""
    facts = {
        "network": card.model.get("name"),
        "options": ", ".join(f"{key} {plain_text(value)}" for key, value in options.items()),
        "parameters": f"{card.parameters / 1e6:.2f} M",
        f"multiply-accumulates at {height} x {width}": f"{card.macs / 1e9:.2f} G",
        "SHA-256 of `model.onnx`": card.model_sha256,
        f"greatest difference to torch at export, in probability{before}": ", ".join(
            f"{size}: {gap:.1e}" for size, gap in card.parity.items()
        ),
        **_bits(card),
        "licence of the weights": card.licence,
        "written by": f"Suraksha {card.suraksha_version}, card format {card.card_format}",
    }
    return ["## Network", facts_table(facts)]


def _bits(card: Card) -> dict[str, object]:
    """How the network is stored, where that is not in 32-bit floats."""
    found = card.quantisation
    if not found:
        return {}
    before, after = (number_text(look_up(found, key), 4) for key in ("dice_float32", "dice_int8"))
    return {
        "stored in": f"{look_up(found, 'weights')}; activations {look_up(found, 'activations')}",
        "what that costs": f"mean Dice {before} before and {after} after, on "
        f"{look_up(found, 'images')} lesion images of the validation part",
    }


def _input(card: Card) -> list[str]:
    wanted = card.preparation
    colour = "grey" if wanted.channels == 1 else "RGB"
    return [
        "## Input",
        f"One image, {colour}, stretched to {wanted.height} rows x {wanted.width} columns, its "
        f"values scaled to 0..1, less {wanted.mean:g}, divided by {wanted.std:g}. The network also "
        f"takes other sizes whose sides {card.divisor} divides; no figure here is of them. The "
        "answer is brought back to the image's own size.",
    ]


def _limits(card: Card) -> list[str]:
    limits = [f"* {plain_text(limit)}" for limit in card.limits]
    return [
        "## Limits",
        "\n".join(limits) or "The card states none.",
    ]


def _test_images(card: Card) -> list[str]:
    names = ", ".join(map(plain_text, card.test_images))
    if not names:
        return ["## Test images", "The card names none."]
    return [
        "## Test images",
        "The training never saw these. The card holds the SHA-256 of the pixels of each.",
        f"<details><summary>{len(card.test_images)} names</summary>\n\n{names}\n\n</details>",
    ]
