"""What an export fits and measures of trust, on a run's own pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suraksha.core import Image
from suraksha.data.samples import Sample, dataset_of, name_of, read_samples
from suraksha.imaging.looks import unlike
from suraksha.imaging.phantom import sample_phantoms
from suraksha.runtime.card import Card
from suraksha.runtime.told import Told
from suraksha.train.evaluate import Tell, network_teller
from suraksha.train.run import Run
from suraksha.train.trust import TrustCase, answer, fit_trust, measured, tempered, tempered_level

# phantoms stand beside the training pictures for what ultrasound looks like: (how many, shape)
PHANTOMS = ((24, (400, 500)), (12, (200, 250)), (12, (96, 120)))


def tempered_teller(tell: Tell, temperature: float) -> Tell:
    """What a network tells at a temperature.

    Args:
        tell: The network, at temperature 1.
        temperature: What divides the mask's logits.
    """

    def told(image: Image) -> Told:
        return tempered(tell(image), temperature)

    return told if temperature != 1 else tell


def _phantoms() -> Iterator[Image]:
    for count, shape in PHANTOMS:
        yield from (phantom.image for phantom in sample_phantoms(count, 1, shape=shape))


def trusted(run: Run, card: Card, *, data: str | Path) -> Card:
    """The card with what is fitted on a run's validation part; as it is without one.

    The run's own network answers for these pictures, which it did not train on.

    Args:
        run: A finished run.
        card: The card so far.
        data: Data set or cache with the validation and training pictures.

    Raises:
        DataError: The data do not hold the pictures.
    """
    if not run.split.validation:
        return card
    tell = network_teller(run.network(), run.config.data.preparation, classes=run.classes)
    samples = read_samples(data, run.split.validation)
    cases = [TrustCase(one.image, tell(one.image), one.truth) for one in samples]
    trained = (one.image for one in read_samples(data, run.split.train))
    trust, threshold, rule = fit_trust(
        cases, threshold=card.threshold, rule=card.presence, like=[*trained, *_phantoms()]
    )
    part = f"validation part of {run.split.protocol} {run.split.parameter}"
    fit = {"dataset": name_of(dataset_of(data)), "part": part, **trust.fit}
    facts = _tempered_facts(card.presence_fit, trust.temperature)
    return replace(
        card,
        trust=replace(trust, fit=fit),
        threshold=threshold,
        presence=rule,
        presence_fit=facts,
    )


def _tempered_facts(fit: Any, temperature: float) -> Any:  # noqa: ANN401 - any part of a card
    """The facts of the presence rule with all peaks at a temperature."""
    if isinstance(fit, Mapping):
        return {
            key: tempered_level(value, temperature)
            if key == "peak"
            else _tempered_facts(value, temperature)
            for key, value in fit.items()
        }
    return [_tempered_facts(one, temperature) for one in fit] if isinstance(fit, list) else fit


def trust_metrics(card: Card, samples: Sequence[Sample], *, tell: Tell) -> dict[str, Any]:
    """What confidence, review and looks give on the test pictures, as JSON takes it.

    Args:
        card: The card with its trust.
        samples: The test pictures.
        tell: The network, at the card's temperature.
    """
    cases = [TrustCase(one.image, tell(one.image), one.truth) for one in samples]
    answers = [answer(case, threshold=card.threshold, rule=card.presence) for case in cases]
    refused = sum(bool(unlike(one.image, card.trust.looks)) for one in samples)
    return {"pictures": len(cases), "refused": refused, **measured(answers, card.trust)}
