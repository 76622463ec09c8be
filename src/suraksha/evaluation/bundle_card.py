"""The measured part of a bundle's card: scores, calibration and classes on the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

import suraksha
from suraksha.datasets.catalogue import DATASETS, DatasetSpec
from suraksha.datasets.phantom import sample_phantoms
from suraksha.datasets.samples import (
    Sample,
    check_hashes,
    grid_of,
    name_of,
    read_samples,
)
from suraksha.evaluation.evaluate import Evaluation, score
from suraksha.evaluation.fit_calibration import (
    CalibrationResult,
    calibration_metrics,
    calibration_result,
)
from suraksha.evaluation.samples import Mask, Progress, silent
from suraksha.inference.card import Card
from suraksha.inference.ood import fit_bounds, image_features, out_of_distribution_reason
from suraksha.inference.postprocessing import Segmentation
from suraksha.inference.segmenter import Segmenter
from suraksha.networks.cost import count_macs, count_parameters
from suraksha.networks.zoo import find_model, model_options
from suraksha.runs.folder import Run, training_facts
from suraksha.types import Image

# phantoms that widen the limits of the input check: (number, shape)
PHANTOMS = ((24, (400, 500)), (12, (200, 250)), (12, (96, 120)))


def describe(run: Run, network: nn.Module, *, name: str) -> Card:
    """The card of a run before anything is fitted or measured.

    Args:
        run: A finished run.
        network: Its network.
        name: The bundle's name.
    """
    entry, preparation = find_model(run.config.model.name), run.config.data.preparation
    return Card(
        name=name,
        model={"name": entry.name, **model_options(network)},
        model_sha256="",
        preparation=preparation,
        divisor=entry.divisor,
        parameters=count_parameters(network),
        macs=count_macs(network, (preparation.channels, *preparation.shape)),
        parity={},
        training=training_facts(run),
        test_images={name: run.split.images[name] for name in run.split.test},
        metrics={},
        metrics_grid="",
        suraksha_version=suraksha.__version__,
    )


def with_fits(card: Card, run: Run, *, data: str | Path) -> Card:
    """The card with the post-processing of a run, and the limits of the input check.

    Args:
        card: The card.
        run: A run whose fits are those of ``data``.
        data: Data set or cache with its training images, which the limits are fitted on.

    Raises:
        DataError: The data do not hold the images.
    """
    settings, facts = run.fits.settings, run.fits.facts
    calibration = settings.confidence_calibration
    if run.split.validation:
        names = (*run.split.train, *run.split.validation)
        features = [image_features(one.image) for one in read_samples(data, names)]
        features += _phantom_features()
        calibration = replace(
            calibration,
            feature_bounds=fit_bounds(features),
            fit={**calibration.fit, "ultrasound_images": len(features)},
        )
    return replace(
        card,
        threshold=settings.threshold,
        postprocessing=settings.postprocessing,
        postprocessing_fit=facts.get("postprocessing", {}),
        confidence_calibration=calibration,
        classes=settings.classes,
        normal_classes=settings.normal_classes,
        class_temperature=settings.class_temperature,
        class_metrics={"calibration": _class_facts(facts)} if settings.classes else {},
    )


@cache
def _phantom_features() -> tuple[dict[str, float], ...]:
    """The features of the phantoms, which are always the same."""
    return tuple(
        image_features(phantom.image)
        for count, shape in PHANTOMS
        for phantom in sample_phantoms(count, 1, shape=shape)
    )


def _class_facts(facts: Any) -> dict[str, Any]:  # noqa: ANN401 - a table of JSON
    return dict(facts.get("classes") or {key: facts[key] for key in ("part", "images")})


def measure_card(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    *,
    training_masks: Sequence[Mask] = (),
    progress: Progress = silent,
) -> tuple[Card, Evaluation]:
    """Score a bundle on its test images with the network and the functions that are served.

    Args:
        segmenter: The bundle.
        samples: Its test images.
        training_masks: Masks of the mean mask; empty leaves the comparison out.
        progress: Wraps the images, as ``tqdm`` does.

    Returns:
        The card with the measured parts replaced, and the evaluation.
    """
    card = segmenter.card
    results: list[CalibrationResult] = []
    truths = {id(sample.image): sample.truth for sample in samples}

    def segment(image: Image) -> Segmentation:
        found = segmenter.predict_mask(image)
        results.append(calibration_result(found, truths[id(image)]))
        return found

    found = score(segment, progress(samples), name=card.name, training_masks=training_masks)
    calibration = card.confidence_calibration
    refused = sum(
        bool(out_of_distribution_reason(sample.image, calibration.feature_bounds))
        for sample in samples
    )
    classes = {} if found.classes is None else found.classes.to_dict()
    fitted = {key: card.class_metrics[key] for key in ("calibration",) if key in card.class_metrics}
    measured = replace(
        card,
        metrics=found.to_dict()["models"][card.name],
        calibration=found.calibration.to_dict(),
        calibration_metrics={"refused": refused, **calibration_metrics(results, calibration)},
        class_metrics={**classes, **fitted},
    )
    return measured, found


def rescore_bundle(
    segmenter: Segmenter, data: str | Path, *, progress: Progress = silent
) -> tuple[Card, Evaluation]:
    """Measure a bundle again on its test images, for instance after a change of a metric.

    Args:
        segmenter: The bundle.
        data: Data set or cache with its test images.
        progress: Wraps the images, as ``tqdm`` does.

    Returns:
        The card with the measured parts replaced (`suraksha.inference.bundle.write_bundle` writes
        it), and the evaluation.

    Raises:
        DataError: The data do not hold the test images, or hold altered ones.
    """
    card = segmenter.card
    samples = read_samples(data, tuple(card.test_images), progress=progress)
    check_hashes(samples, card.test_images)
    measured, found = measure_card(segmenter, samples, progress=progress)
    return replace(measured, metrics_grid=grid_of(data)), found


def limits_of(dataset: DatasetSpec | str) -> tuple[str, ...]:
    """The known limitations of a data set, for the card.

    Args:
        dataset: Its description, or its name where there is only a cache.
    """
    known = {spec.name: spec for spec in DATASETS}
    spec = known.get(dataset) if isinstance(dataset, str) else dataset
    if spec is not None and spec.limits:
        return spec.limits
    return (f"Trained on the data set '{name_of(dataset)}', whose limitations are not stated.",)
