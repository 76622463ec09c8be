"""Fit post-processing and calibration of a run on its validation images.

The order is that of serving: the temperature of the mask and of the classes first, then the rule on
temperature-scaled maps, then confidence and review rule on the masks of that rule. Every map and
mask is made by `suraksha.inference.postprocessing`, at the size of the images that are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from suraksha.datasets.samples import (
    Data,
    Sample,
    check_hashes,
    dataset_of,
    grid_of,
    name_of,
    read_samples,
)
from suraksha.evaluation.curves import draw_rule_fit
from suraksha.evaluation.evaluate import torch_runner
from suraksha.evaluation.fit_calibration import calibration_result, fit_confidence
from suraksha.evaluation.fit_postprocessing import Case, PostProcessingFit, fit_postprocessing
from suraksha.evaluation.fit_temperature import fit_class_temperature, fit_mask_temperature
from suraksha.evaluation.samples import MEAN_MASK_GRID, Mask
from suraksha.inference.calibration import ConfidenceCalibration
from suraksha.inference.engines import Logits
from suraksha.inference.postprocessing import PostProcessingCard, PostProcessingSettings
from suraksha.inference.prediction import Prediction
from suraksha.inference.roi import InferenceSpec, Stopwatch, predict_image, segment_image
from suraksha.metrics.baseline import mean_mask
from suraksha.preprocessing import Preparation, prepare, resize_mask
from suraksha.runs.fits import RunFits
from suraksha.runs.folder import Run

NO_VALIDATION = {"part": "none: the split has no validation part", "images": 0}
RULE_CURVE = "postprocessing.png"


@dataclass(frozen=True, slots=True, eq=False)
class _Recorded:
    """A validation image with the logits of its scans, which each trial post-processes again."""

    sample: Sample
    logits: tuple[Logits, ...]
    preparation: Preparation

    def spec(self, card: PostProcessingCard) -> InferenceSpec:
        """A network that returns the recorded logits, scan by scan."""
        recorded: Iterator[Logits] = iter(self.logits)
        return InferenceSpec(lambda batch: next(recorded), self.preparation, card)

    def predict(self, card: PostProcessingCard) -> Prediction:
        """The prediction with other post-processing."""
        image = self.sample.image
        return predict_image(image, self.spec(card), watch=Stopwatch()).prediction

    def case(self, card: PostProcessingCard) -> Case:
        """The probability map and its truth, to fit the rule on."""
        found = self.predict(card)
        return Case(found.probability, self.sample.truth, found.lesion_probability)


def fit_run(
    run: Run,
    data: Data,
    *,
    base: PostProcessingSettings,
    training_masks: Sequence[Mask] = (),
) -> RunFits:
    """Fit on the validation part of a run.

    Args:
        run: A run that is trained to its last epoch.
        data: Data set (fitted at the images' own size) or cache with the validation images.
        base: Its classes; the rest is fitted.
        training_masks: Masks of the mean mask, which the network is compared with; empty leaves
            the comparison out.

    Returns:
        What was fitted; ``base`` where the split has no validation part.

    Raises:
        TrainError: The run is not finished, or its logits are not finite.
        DataError: The data do not hold the images.
    """
    if not run.split.validation:
        return RunFits(base, NO_VALIDATION if base.classes else {})
    samples = read_samples(data, run.split.validation)
    check_hashes(samples, run.split.images)
    recorded = _record(run, run.network(), samples)
    settings, class_fit = _fit_temperatures(recorded, base)
    fitted = fit_postprocessing([record.case(settings) for record in recorded])
    settings = replace(settings, threshold=fitted.threshold, postprocessing=fitted.rule)
    results = [
        calibration_result(segment_image(r.sample.image, r.spec(settings)), r.sample.truth)
        for r in recorded
    ]
    where = _fitted_on(run, data)
    calibration = fit_confidence(results, temperature=settings.confidence_calibration.temperature)
    calibration = replace(calibration, fit={**where, **calibration.fit})
    facts: dict[str, Any] = {
        **where,
        "images": len(samples),
        "postprocessing": {**where, **fitted.to_dict()},
        "classes": {**where, **class_fit} if class_fit else {},
        "score": _score(fitted, samples, training_masks),
    }
    return RunFits(replace(settings, confidence_calibration=calibration), facts)


def _fitted_on(run: Run, data: Data) -> dict[str, str]:
    return {
        "dataset": name_of(dataset_of(data)),
        "part": f"validation part of {run.split.protocol} {run.split.parameter}",
        "grid": grid_of(data),
    }


def draw_run_fit(run: Run, fits: RunFits) -> None:
    """Draw the rules that were tried, as ``postprocessing.png`` in the run's folder."""
    if fits.facts.get("postprocessing"):
        draw_rule_fit(
            fits.facts["postprocessing"],
            run.folder / RULE_CURVE,
            rule=fits.settings.postprocessing,
            title=run.config.run_name,
        )


def _record(run: Run, network: nn.Module, samples: Sequence[Sample]) -> list[_Recorded]:
    predict, preparation = torch_runner(network), run.config.data.preparation
    return [
        _Recorded(
            sample,
            tuple(
                predict(prepare(sample.image.cut(scan), preparation)) for scan in sample.image.scans
            ),
            preparation,
        )
        for sample in samples
    ]


def _fit_temperatures(
    recorded: Sequence[_Recorded], base: PostProcessingSettings
) -> tuple[PostProcessingSettings, dict[str, Any]]:
    """The settings with both temperatures, and the facts of the class temperature."""

    def at(temperature: float) -> PostProcessingSettings:
        return replace(base, confidence_calibration=ConfidenceCalibration(temperature))

    def predict(temperature: float) -> list[NDArray[np.float32]]:
        return [record.predict(at(temperature)).probability for record in recorded]

    temperature = fit_mask_temperature(predict, [record.sample.truth for record in recorded])
    settings = at(temperature)
    if not base.classes:
        return settings, {}
    known = [r for r in recorded if r.sample.item.label in base.classes]
    logits = np.stack([r.logits[0].classes[0] for r in known if r.logits[0].classes is not None])
    labels = np.array([base.classes.index(r.sample.item.label) for r in known])
    facts = asdict(fit_class_temperature(logits, labels))
    return replace(settings, class_temperature=facts.pop("temperature")), facts


def _score(
    fitted: PostProcessingFit, samples: Sequence[Sample], training_masks: Sequence[Mask]
) -> dict[str, Any]:
    """Mean Dice per lesion image, that of the mean mask beside it."""
    lesions = [sample.truth for sample in samples if sample.truth.any()]
    if not lesions:
        return {}
    score: dict[str, Any] = {"images": len(lesions), "dice": fitted.chosen.dice}
    if len(training_masks):
        grid = np.stack([resize_mask(mask, MEAN_MASK_GRID) for mask in training_masks])
        average = mean_mask(grid)
        score["mean_mask_dice"] = float(
            np.mean([_dice(resize_mask(average, truth.shape), truth) for truth in lesions])
        )
    return score


def _dice(mask: Mask, truth: Mask) -> float:
    return 2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())
