"""The part of a model card that tells of data and training."""

from __future__ import annotations

from suraksha.inference.card import Card
from suraksha.reporting.markdown import facts_table

PROTOCOLS = {
    "paper": "a random split of the lesion images; near-duplicates may lie on both sides",
    "community": "lists of lesion images that others use; near-duplicates may lie on both sides",
    "clean": "all images; near-duplicates lie on one side",
    "hospitals": "several data sets; one is left out, or each has its own test part",
}
# keys of `Card.training` -> what they are called; others follow under their own names
TRAINING = {
    "dataset": "data set",
    "protocol": "protocol",
    "parameter": "part of the protocol",
    "images": "images trained on",
    "recipe": "recipe",
    "epochs": "epochs",
    "device": "device",
    "seconds": "seconds of training",
    "split_sha256": "SHA-256 of the split",
    "config_sha256": "SHA-256 of the recipe as used",
}


def training_section(card: Card) -> list[str]:
    """On what the network was trained, and how the test images were kept apart."""
    known = {title: card.training.get(key) for key, title in TRAINING.items()}
    others = {key.replace("_", " "): card.training[key] for key in card.training.keys() - TRAINING}
    tested = {"images tested on": len(card.test_images) or None}
    meaning = PROTOCOLS.get(str(card.training.get("protocol")))
    said = [f"Protocol `{card.training['protocol']}`: {meaning}."] if meaning else []
    return [
        "## Data and training",
        facts_table({**known, **dict(sorted(others.items())), **tested}),
        *said,
    ]
