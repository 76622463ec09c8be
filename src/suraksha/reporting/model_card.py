"""A bundle's card as a page in Markdown.

Its sections are those of a model card (Mitchell 2019, doi:10.1145/3287560.3287596), as far as the
card has the facts.
"""

from __future__ import annotations

from suraksha.inference.card import Card
from suraksha.reporting.card_calibration import (
    calibration_section,
    confidence_section,
    input_check_section,
    postprocessing_section,
)
from suraksha.reporting.card_scores import classes_section, normals_section, scores_section
from suraksha.reporting.markdown import facts_table, look_up, number_text, plain_text

RESEARCH = "Research use only."
PROTOCOLS = {
    "paper": "a random split of the lesion images; near-duplicates may be on both sides",
    "community": "published lists of lesion images; near-duplicates may be on both sides",
    "clean": "all images; near-duplicates are on the same side",
    "hospitals": "several data sets; one is left out, or each has its own test part",
}
# keys of `Card.training` -> how they are shown; others follow under their own names
TRAINING = {
    "dataset": "data set",
    "protocol": "protocol",
    "parameter": "fold or seed",
    "images": "training images",
    "recipe": "recipe",
    "epochs": "epochs",
    "device": "device",
    "seconds": "training time in seconds",
    "split_sha256": "SHA-256 of the split",
    "config_sha256": "SHA-256 of the config",
}


def model_card(card: Card) -> str:
    """The model card of a bundle, in Markdown, made from its card alone.

    Facts that the card does not have are left out, or named as unknown.

    Args:
        card: The bundle's card.
    """
    sections = (
        _purpose(card),
        _network(card),
        _input(card),
        _training(card),
        scores_section(card),
        normals_section(card),
        postprocessing_section(card),
        calibration_section(card),
        confidence_section(card),
        input_check_section(card),
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
        "This page is generated from the card inside the bundle.",
        "## Intended use",
        "Research on breast ultrasound images. The network predicts for each pixel the probability "
        "that it is lesion; from this map a mask is made, and the lesions in it are measured.",
    ]


def _network(card: Card) -> list[str]:
    height, width = card.preparation.shape
    options = {key: value for key, value in card.model.items() if key != "name"}
    before = ", before quantisation" if card.quantisation else ""
    facts = {
        "network": card.model.get("name"),
        "options": ", ".join(f"{key} {plain_text(value)}" for key, value in options.items()),
        "parameters": f"{card.parameters / 1e6:.2f} M",
        f"multiply-accumulates at {height} x {width}": f"{card.macs / 1e9:.2f} G",
        "SHA-256 of `model.onnx`": card.model_sha256,
        f"ONNX parity: max absolute difference{before}": ", ".join(
            f"{size}: {gap:.1e}" for size, gap in card.parity.items()
        ),
        **_quantisation(card),
        "licence of the weights": card.licence,
        "written by": f"Suraksha {card.suraksha_version}, card format {card.card_format}",
    }
    return ["## Network", facts_table(facts)]


def _quantisation(card: Card) -> dict[str, object]:
    """How the network is quantised; nothing for 32-bit floats."""
    found = card.quantisation
    if not found:
        return {}
    before, after = (number_text(look_up(found, key), 4) for key in ("dice_float32", "dice_int8"))
    return {
        "quantisation": f"weights {plain_text(look_up(found, 'weights'))}; activations "
        f"{plain_text(look_up(found, 'activations'))}",
        "mean Dice before and after": f"{before} and {after}, on "
        f"{plain_text(look_up(found, 'images'))} lesion images of the validation part",
    }


def _input(card: Card) -> list[str]:
    size = card.preparation
    colour = "grey" if size.channels == 1 else "RGB"
    return [
        "## Input",
        f"One {colour} image, resized to {size.height} rows x {size.width} columns (the aspect "
        f"ratio is not kept), scaled to 0..1, minus {size.mean:g}, divided by {size.std:g}. Other "
        f"input sizes work if both sides are multiples of {card.divisor}; the scores on this page "
        "do not apply to them. The probability map is resized to the image's own size.",
    ]


def _training(card: Card) -> list[str]:
    """Training data, and how the held-out test set was kept apart."""
    known = {title: card.training.get(key) for key, title in TRAINING.items()}
    others = {key.replace("_", " "): card.training[key] for key in card.training.keys() - TRAINING}
    tested = {"images in the held-out test set": len(card.test_images) or None}
    protocol = str(card.training.get("protocol"))
    explained = [f"Protocol `{protocol}`: {PROTOCOLS[protocol]}."] if protocol in PROTOCOLS else []
    return [
        "## Data and training",
        facts_table({**known, **dict(sorted(others.items())), **tested}),
        *explained,
    ]


def _limits(card: Card) -> list[str]:
    limits = [f"* {plain_text(limit)}" for limit in card.limits]
    return ["## Limitations", "\n".join(limits) or "The card states none."]


def _test_images(card: Card) -> list[str]:
    names = ", ".join(map(plain_text, card.test_images))
    if not names:
        return ["## Held-out test set", "The card names no images."]
    return [
        "## Held-out test set",
        "These images were not used for training. The card has the SHA-256 of the pixels of each.",
        f"<details><summary>{len(card.test_images)} names</summary>\n\n{names}\n\n</details>",
    ]
