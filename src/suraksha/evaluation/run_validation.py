"""What a run fits on its validation images: the presence rule and the classes' temperature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from suraksha.datasets.cache import Cache
from suraksha.datasets.loaders import classes_of, normal_classes_of
from suraksha.evaluation.curves import draw_trade
from suraksha.evaluation.fit_postprocessing import Case, fit_postprocessing
from suraksha.evaluation.fit_temperature import fit_temperature
from suraksha.evaluation.predict import Answer, answers
from suraksha.inference.prediction import Prediction, class_probabilities
from suraksha.runs.fits import (
    CLASSES_FILE,
    POSTPROCESSING_FILE,
    RunClasses,
    RunPostProcessing,
    save_classes,
    save_postprocessing,
)
from suraksha.runs.folder import Run

NO_VALIDATION = {"part": "none: the split has no validation part", "images": 0}


def write_fits(run: Run, cache: Cache) -> None:
    """Fit on a run's validation part, whose images are run once, and write what was found.

    ``presence.json`` and ``presence.png`` hold the presence rule, ``classes.json`` the classes of
    the second output with their temperature. Without a validation part there is no rule, and the
    temperature is 1: the test part chooses nothing.

    Args:
        run: A run that is trained to its last epoch.
        cache: The images that it trained from.

    Raises:
        TrainError: The run is not finished, or its logits are no numbers.
        DataError: The cache does not hold the images.
    """
    names, config = run.split.validation, run.config
    if not names:
        if config.classes:
            unfitted = RunClasses(
                classes_of(cache), normal=normal_classes_of(cache), fit=NO_VALIDATION
            )
            save_classes(unfitted, run.folder / CLASSES_FILE)
        return
    preparation = config.data.preparation
    found = list(answers(run.network(), cache, names=names, preparation=preparation))
    fitted_on = {
        "dataset": cache.dataset,
        "part": f"validation part of {run.split.protocol} {run.split.parameter}",
        "grid": f"{preparation.height}x{preparation.width}",
    }
    classes = _fit_classes(run, cache, found, fitted_on)
    if classes is not None:
        save_classes(classes, run.folder / CLASSES_FILE)
    fitted = fit_postprocessing(_cases(run, cache, found, classes))
    draw_trade(fitted, run.folder / "postprocessing.png", title=config.run_name)
    found_postprocessing = RunPostProcessing(
        fitted.threshold, fitted.rule, {**fitted_on, **fitted.to_dict()}
    )
    save_postprocessing(found_postprocessing, run.folder / POSTPROCESSING_FILE)


def _fit_classes(
    run: Run, cache: Cache, found: Sequence[Answer], fitted_on: dict[str, Any]
) -> RunClasses | None:
    logits = [answer.classes for answer in found if answer.classes is not None]
    if not logits:
        return None
    names = classes_of(cache)
    rows = cache.select(run.split.validation)
    labels = np.array([names.index(cache.items[row].label) for row in rows])
    fitted = asdict(fit_temperature(np.stack(logits), labels))
    temperature = fitted.pop("temperature")
    return RunClasses(names, temperature, normal_classes_of(cache), {**fitted_on, **fitted})


def _cases(
    run: Run, cache: Cache, found: Sequence[Answer], classes: RunClasses | None
) -> Iterator[Case]:
    truths = cache.masks()[cache.select(run.split.validation)]
    for answer, truth in zip(found, truths, strict=True):
        told = Prediction(answer.probability)
        if classes is not None and answer.classes is not None:
            probabilities = class_probabilities(
                answer.classes, names=classes.names, temperature=classes.temperature
            )
            told = Prediction(answer.probability, probabilities, classes.normal)
        yield Case(told.probability, truth, told.lesion_probability)
