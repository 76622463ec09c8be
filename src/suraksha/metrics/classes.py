"""Scores of the classification head: AUC, Brier score, calibration, confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import InputError
from suraksha.metrics.bootstrap import Estimate, Resampler, estimate
from suraksha.metrics.calibration import reliability
from suraksha.metrics.image import jsonable

BENIGN, MALIGNANT, NORMAL = "benign", "malignant", "normal"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores:
    """Scores of the class probabilities of a set of images.

    Args:
        names: The classes.
        images: Number of images.
        groups: Number of groups in the bootstrap.
        auc: Area under the ROC curve with its 95 % interval, by question: ``NAME vs rest`` for
            each class; for BUSI's three also ``lesion vs normal`` and, among lesion images,
            ``malignant vs benign``. NaN if a side has no image.
        brier: Mean over images of the summed squared differences between probability and truth,
            0..2 (Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
        calibration_error: Expected calibration error of the most probable class in 10 bins, 0..1.
        confusion: Images by true class (rows) and most probable class (columns), as ``names``.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """

    names: tuple[str, ...]
    images: int
    groups: int
    auc: Mapping[str, Estimate]
    brier: Estimate
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]
    seed: int
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-compatible values, with None for NaN."""
        lists = {"names": list(self.names), "confusion": [list(row) for row in self.confusion]}
        return jsonable({**asdict(self), **lists})


def score_classes(
    probabilities: Floats,
    labels: Sequence[str],
    *,
    names: Sequence[str],
    groups: Sequence[str],
    seed: int = 0,
    resamples: int = 1000,
) -> ClassScores:
    """Score the class probabilities of images, with 95 % intervals by bootstrap over groups.

    Args:
        probabilities: (images, classes) floats in 0..1, each row sums to 1.
        labels: The true class of each image.
        names: The classes, in the order of the columns.
        groups: The group of near-duplicates of each image.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.

    Raises:
        InputError: The lengths differ, a row is not a probability distribution, or a label is not a
            class.
        UsageError: There are no images, or fewer than one resample.
    """
    _check(probabilities, labels, names=names, groups=groups)
    resampler = Resampler.of(groups, seed=seed, resamples=resamples)
    truth = np.array([list(names).index(label) for label in labels])
    predicted, rows = probabilities.argmax(axis=1), np.arange(len(labels))
    correct = np.eye(len(names))[truth]
    brier = resampler.means(np.square(probabilities - correct).sum(axis=1))
    confusion = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(confusion, (truth, predicted), 1)
    areas = {
        question: auc(scores, sides, resampler=resampler)
        for question, scores, sides in _questions(probabilities, truth, tuple(names))
    }
    confidence = probabilities[rows, predicted]
    calibration = reliability(confidence[:, None], (predicted == truth)[:, None])
    return ClassScores(
        names=tuple(names),
        images=len(labels),
        groups=resampler.weights.shape[1],
        auc=areas,
        brier=estimate(float(brier[0]), brier[1:]),
        calibration_error=calibration.calibration_error,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        seed=seed,
        resamples=resamples,
    )


def _check(
    probabilities: Floats, labels: Sequence[str], *, names: Sequence[str], groups: Sequence[str]
) -> None:
    fits = probabilities.shape == (len(labels), len(names)) and len(groups) == len(labels)
    unknown = sorted(set(labels) - set(names))
    usable = fits and (probabilities >= 0).all()
    if unknown or not usable or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-4):
        raise InputError(
            f"class probabilities of shape {probabilities.shape} are not valid",
            f"there are {len(labels)} labels, {len(groups)} groups and {len(names)} classes, "
            f"rows must be at least 0 and sum to 1, and these labels are not classes: {unknown}",
            "Pass one row per image and one column per class",
        )


def _questions(
    probabilities: Floats, truth: NDArray[np.int_], names: tuple[str, ...]
) -> list[tuple[str, Floats, tuple[Flags, Flags]]]:
    """The binary questions: (question, scores, (positive images, negative images))."""
    asked = [
        (f"{name} vs rest", probabilities[:, place], (truth == place, truth != place))
        for place, name in enumerate(names)
    ]
    if set(names) == {BENIGN, MALIGNANT, NORMAL}:
        benign, malignant, normal = (names.index(n) for n in (BENIGN, MALIGNANT, NORMAL))
        asked.append(
            ("lesion vs normal", -probabilities[:, normal], (truth != normal, truth == normal))
        )
        lesion = probabilities[:, benign] + probabilities[:, malignant]
        fraction = np.divide(
            probabilities[:, malignant], lesion, out=np.full(len(truth), 0.5), where=lesion > 0
        )
        asked.append(("malignant vs benign", fraction, (truth == malignant, truth == benign)))
    return asked


def auc(scores: Floats, sides: tuple[Flags, Flags], *, resampler: Resampler) -> Estimate:
    """Area under the ROC curve with its 95 % interval; NaN if a side has no image.

    It is the probability that a positive image has a higher score than a negative one, with ties
    counted half: the Mann-Whitney statistic (Hanley and McNeil 1982,
    doi:10.1148/radiology.143.1.7063747).

    Args:
        scores: (images,) floats, higher for positive images.
        sides: Two (images,) bool arrays, positive and negative images; the others are ignored.
        resampler: The resamples of these images.
    """
    order = np.argsort(scores, kind="stable")
    first = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)  # of each run of ties
    drawn = resampler.weights[:, resampler.group_of[order]]
    yes, no = (np.add.reduceat(drawn * side[order], first, axis=1) for side in sides)
    below = np.cumsum(no, axis=1) - no
    pairs = yes.sum(axis=1) * no.sum(axis=1)
    won = (yes * (below + no / 2)).sum(axis=1)
    areas = np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return estimate(float(areas[0]), areas[1:])
