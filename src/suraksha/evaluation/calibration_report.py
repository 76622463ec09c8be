"""What an export fits and measures of trust, on a run's own images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suraksha.datasets.phantom import sample_phantoms
from suraksha.datasets.samples import Sample, dataset_of, name_of, read_samples
from suraksha.evaluation.evaluate import Predict, network_predictor
from suraksha.evaluation.fit_calibration import (
    CalibrationCase,
    answer,
    fit_calibration,
    measured,
    temperature_scaled,
    temperature_scaled_level,
)
from suraksha.inference.card import Card
from suraksha.inference.ood import out_of_distribution_reason
from suraksha.inference.prediction import Prediction
from suraksha.runs.folder import Run
from suraksha.types import Image

# phantoms stand beside the training images for what ultrasound looks like: (how many, shape)
PHANTOMS = ((24, (400, 500)), (12, (200, 250)), (12, (96, 120)))


def temperature_scaled_predictor(predict: Predict, temperature: float) -> Predict:
    """What a network tells at a temperature.

    Args:
        tell: The network, at temperature 1.
        temperature: What divides the mask's logits.
    """

    def told(image: Image) -> Prediction:
        return temperature_scaled(predict(image), temperature)

    return told if temperature != 1 else predict


def _phantoms() -> Iterator[Image]:
    for count, shape in PHANTOMS:
        yield from (phantom.image for phantom in sample_phantoms(count, 1, shape=shape))


def trusted(run: Run, card: Card, *, data: str | Path) -> Card:
    """The card with what is fitted on a run's validation part; as it is without one.

    The run's own network answers for these images, which it did not train on.

    Args:
        run: A finished run.
        card: The card so far.
        data: Data set or cache with the validation and training images.

    Raises:
        DataError: The data do not hold the images.
    """
    if not run.split.validation:
        return card
    predict = network_predictor(run.network(), run.config.data.preparation, classes=run.classes)
    samples = read_samples(data, run.split.validation)
    cases = [CalibrationCase(one.image, predict(one.image), one.truth) for one in samples]
    trained = (one.image for one in read_samples(data, run.split.train))
    confidence_calibration, threshold, rule = fit_calibration(
        cases, threshold=card.threshold, rule=card.postprocessing, like=[*trained, *_phantoms()]
    )
    part = f"validation part of {run.split.protocol} {run.split.parameter}"
    fit = {"dataset": name_of(dataset_of(data)), "part": part, **confidence_calibration.fit}
    facts = _tempered_facts(card.postprocessing_fit, confidence_calibration.temperature)
    return replace(
        card,
        confidence_calibration=replace(confidence_calibration, fit=fit),
        threshold=threshold,
        postprocessing=rule,
        postprocessing_fit=facts,
    )


def _tempered_facts(fit: Any, temperature: float) -> Any:  # noqa: ANN401 - any part of a card
    """The facts of the presence rule with all peaks at a temperature."""
    if isinstance(fit, Mapping):
        return {
            key: temperature_scaled_level(value, temperature)
            if key == "min_peak"
            else _tempered_facts(value, temperature)
            for key, value in fit.items()
        }
    return [_tempered_facts(one, temperature) for one in fit] if isinstance(fit, list) else fit


def calibration_metrics(
    card: Card, samples: Sequence[Sample], *, predict: Predict
) -> dict[str, Any]:
    """What confidence, review and looks give on the test images, as JSON takes it.

    Args:
        card: The card with its trust.
        samples: The test images.
        tell: The network, at the card's temperature.
    """
    cases = [CalibrationCase(one.image, predict(one.image), one.truth) for one in samples]
    answers = [answer(case, threshold=card.threshold, rule=card.postprocessing) for case in cases]
    refused = sum(
        bool(out_of_distribution_reason(one.image, card.confidence_calibration.feature_bounds))
        for one in samples
    )
    return {
        "images": len(cases),
        "refused": refused,
        **measured(answers, card.confidence_calibration),
    }
