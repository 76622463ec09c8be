"""Score a run or a bundle on images with known masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from suraksha.datasets.cache import CacheItem
from suraksha.datasets.samples import (
    Sample,
    check_hashes,
    dataset_of,
    grid_of,
    name_of,
    read_samples,
)
from suraksha.errors import UnknownNameError, UsageError
from suraksha.evaluation.score_classes import score_class_predictions
from suraksha.evaluation.summaries import ALL, RULELESS, TEST, VALIDATION
from suraksha.inference.postprocessing import PostProcessing, lesion_mask
from suraksha.inference.prediction import Prediction, class_probabilities
from suraksha.inference.segmenter import Segmenter
from suraksha.metrics.baseline import mean_mask
from suraksha.metrics.boundary import hd95
from suraksha.metrics.calibration import Reliability, reliability
from suraksha.metrics.classes import ClassScores
from suraksha.metrics.image import ImageScore, jsonable, score_image
from suraksha.metrics.subsets import in_order, parts_of
from suraksha.metrics.summary import Summary, batch_pooled, summarise
from suraksha.networks.cost import count_macs, count_parameters
from suraksha.networks.outputs import outputs_of
from suraksha.preprocessing import (
    THRESHOLD,
    Preparation,
    prepare,
    resize_mask,
    restore,
)
from suraksha.runs.fits import RunClasses
from suraksha.runs.folder import Run, cpu_name, training_facts
from suraksha.types import Image

MEAN_MASK_GRID = (256, 256)
# images that are read at a time where only their masks stay
CHUNK = 64
NO_RULE = PostProcessing()
Predict = Callable[[Image], Prediction]
Mask = NDArray[np.bool_]
Progress = Callable[[Sequence[Any]], Iterable[Any]]


def _silent(things: Sequence[Any]) -> Iterable[Any]:
    return things


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a model on one part of the images.

    Args:
        model: What predicted.
        part: A part of `suraksha.metrics.subsets`, or a class.
        summary: Its scores.
    """

    model: str
    part: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that an evaluation found.

    Args:
        facts: What was evaluated: model, data, grid, protocol, device and so on.
        rows: The table; the model first, then, where a presence rule is in force, the model
            without it, then "all background" and, where known, "mean mask".
        community: IoU and F1 pooled over batches of 8 and averaged, lesion images in order.
        scores: The model's score of every image.
        calibration: How its probabilities, no rule applied, agree with the truth, over all pixels.
        classes: How well its second output tells the classes, or None where it tells none.
    """

    facts: Mapping[str, Any]
    rows: tuple[Row, ...]
    community: Mapping[str, float]
    scores: tuple[ImageScore, ...]
    calibration: Reliability = field(default_factory=Reliability)
    classes: ClassScores | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON takes it."""
        tables: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            tables.setdefault(row.model, {})[row.part] = row.summary.to_dict()
        return {
            **self.facts,
            "models": tables,
            "community_batches_of_8": jsonable(dict(self.community)),
            "calibration": self.calibration.to_dict(),
            **({} if self.classes is None else {"classes": self.classes.to_dict()}),
        }


def network_predictor(
    network: nn.Module, preparation: Preparation, *, classes: RunClasses | None = None
) -> Predict:
    """Image -> what a torch network tells of it, at the image's own size.

    Args:
        network: In eval mode.
        preparation: How an image becomes its input.
        classes: Those of its second output; None leaves that output alone.
    """
    device = next(network.parameters()).device

    @torch.inference_mode()
    def predict(image: Image) -> Prediction:
        batch = torch.from_numpy(prepare(image, preparation)).to(device)
        logits, *second = outputs_of(network, batch)
        probability = restore(logits.sigmoid()[0, 0].float().cpu().numpy(), image)
        if classes is None:
            return Prediction(probability)
        found = class_probabilities(
            second[0][0].cpu().numpy(), names=classes.names, temperature=classes.temperature
        )
        return Prediction(probability, found, classes.normal)

    return predict


def evaluate(
    model: Run | Segmenter,
    data: str | Path,
    *,
    part: str = TEST,
    progress: Progress = _silent,
) -> Evaluation:
    """Score a run or a loaded bundle, by default on the images that its training never saw.

    Its own threshold and presence rule make the masks.

    Args:
        model: A finished run, or a segmenter.
        data: A data set's folder, scored at the images' own size, or a cache, scored at its size.
        part: ``test``; ``validation``, on which a run is watched and fitted, to choose between
            runs; or ``all``, every image of ``data``, for data that no training saw.
        progress: Wraps the images, as ``tqdm`` does.

    Raises:
        DataError: The data do not hold the images, or hold altered ones.
        TrainError: The run is not finished.
        UnknownNameError: No part of that name.
        UsageError: The validation part of what has none.
    """
    known = model.split.images if isinstance(model, Run) else model.card.test_images
    samples = read_samples(data, _names(model, part), progress=progress)
    if part != ALL:
        check_hashes(samples, known)
    if isinstance(model, Run):
        names = () if part == ALL else model.split.train
        found = _evaluate_run(model, samples, _training_masks(data, names, progress), progress)
    else:
        found = _evaluate_bundle(model, samples, progress)
    seen = {
        "scored_dataset": name_of(dataset_of(data)),
        "grid": grid_of(data),
        "images_scored": len(samples),
        "scored_part": part,
    }
    return replace(found, facts={**found.facts, **seen})


def _training_masks(data: str | Path, names: Sequence[str], progress: Progress) -> list[Mask]:
    """The masks on the grid of the mean mask, read a few images at a time."""
    parts = [names[first : first + CHUNK] for first in range(0, len(names), CHUNK)]
    return [
        resize_mask(sample.truth, MEAN_MASK_GRID)
        for part in progress(parts)
        for sample in read_samples(data, part)
    ]


def _names(model: Run | Segmenter, part: str) -> tuple[str, ...] | None:
    """The names of a part's images, None for all."""
    parts: dict[str, tuple[str, ...] | None] = {TEST: (), VALIDATION: (), ALL: None}
    if isinstance(model, Run):
        parts |= {TEST: model.split.test, VALIDATION: model.split.validation}
    else:
        parts[TEST] = tuple(model.card.test_images)
    if part not in parts:
        raise UnknownNameError("part", part, parts)
    if parts[part] == ():
        raise UsageError(f"there is no {part} part", "none was held back", "Choose another part")
    return parts[part]


def _evaluate_run(
    run: Run, samples: Sequence[Sample], training_masks: Sequence[Mask], progress: Progress
) -> Evaluation:
    network, preparation = run.network(), run.config.data.preparation
    found = score(
        network_predictor(network, preparation, classes=run.classes),
        progress(samples),
        name=run.config.model.name,
        training_masks=training_masks,
        threshold=run.postprocessing.threshold,
        rule=run.postprocessing.rule,
    )
    trained = {run.split.images[name] for name in run.split.train}
    facts = {
        "run": run.folder.name,
        **training_facts(run),
        "parameters": count_parameters(network),
        "macs": count_macs(network, (preparation.channels, *preparation.shape)),
        "postprocessing": asdict(run.postprocessing.rule),
        "seen_in_training": sum(s.item.image_sha256 in trained for s in samples),
        "scored_with": f"torch, {cpu_name()}, {torch.get_num_threads()} threads",
    }
    return replace(found, facts=facts)


def _evaluate_bundle(
    segment: Segmenter, samples: Sequence[Sample], progress: Progress
) -> Evaluation:
    card = segment.card
    found = score(
        segment.predict,
        progress(samples),
        name=card.name,
        threshold=card.threshold,
        rule=card.postprocessing,
    )
    return replace(found, facts=_bundle_facts(segment))


def _bundle_facts(segment: Segmenter) -> dict[str, Any]:
    card = segment.card
    return {
        "bundle": card.name,
        "bundle_sha256": segment.bundle.sha256,
        **card.training,
        "parameters": card.parameters,
        "macs": card.macs,
        "postprocessing": asdict(card.postprocessing),
        "scored_with": f"{segment.engine.name}, {cpu_name()}, {segment.engine.threads} threads",
    }


def score(
    predict: Predict,
    samples: Iterable[Sample],
    *,
    name: str,
    training_masks: Sequence[Mask] = (),
    threshold: float = THRESHOLD,
    rule: PostProcessing = NO_RULE,
) -> Evaluation:
    """Score a predictor, and the trivial predictors beside it.

    Where the rule can take regions away, the predictor is scored without it too, as
    "<name>, no presence rule".

    Args:
        tell: Image -> what is told of it, at its own size.
        samples: The images with their truth; they are read once.
        name: What to call the predictor in the table.
        training_masks: Masks for the "mean mask" row; empty leaves that row out.
        threshold: Probability from which a pixel is lesion.
        rule: What a region of such pixels needs to stay in the mask.

    Raises:
        DataError: An image stands twice.
    """
    average = None
    if training_masks:
        average = mean_mask(np.stack([resize_mask(m, MEAN_MASK_GRID) for m in training_masks]))
    items: list[CacheItem] = []
    told: list[Mapping[str, float] | None] = []
    scores: dict[str, list[ImageScore]] = {name: []}
    calibration = Reliability()
    for sample in samples:
        one, shape = predict(sample.image), sample.image.shape
        calibration += reliability(one.probability, sample.truth)
        masks = {
            name: lesion_mask(
                one.probability,
                threshold=threshold,
                rule=rule,
                lesion_probability=one.lesion_probability,
            )
        }
        if not rule.is_identity(threshold):
            masks[f"{name}, {RULELESS}"] = lesion_mask(
                one.probability,
                threshold=threshold,
                rule=NO_RULE,
                lesion_probability=one.lesion_probability,
            )
        masks["all background"] = np.zeros(shape, dtype=np.bool_)
        if average is not None:
            masks["mean mask"] = resize_mask(average, shape)
        for model, mask in masks.items():
            scores.setdefault(model, []).append(_score(sample, mask))
        items.append(sample.item)
        told.append(one.classes)
    rows = [row for model, found in scores.items() for row in _rows(model, items, found)]
    lesion = [score for score, item in zip(scores[name], items, strict=True) if not item.normal]
    mine = tuple(scores[name])
    classes = score_class_predictions(items, told)
    return Evaluation({}, tuple(rows), batch_pooled(lesion), mine, calibration, classes)


def _score(sample: Sample, prediction: Mask) -> ImageScore:
    item, spacing = sample.item, sample.image.spacing
    scored = score_image(
        prediction, sample.truth, name=item.name, label=item.label, group=item.group
    )
    if spacing is None:
        return scored
    return replace(scored, hd95_mm=hd95(prediction, sample.truth, spacing=spacing))


def _rows(model: str, items: Sequence[CacheItem], scores: Sequence[ImageScore]) -> list[Row]:
    parts: dict[str, list[ImageScore]] = {}
    for item, score in zip(items, scores, strict=True):
        facts = {"normal": item.normal, "consistent": item.consistent}
        for part in parts_of(score.counts, label=item.label, **facts):
            parts.setdefault(part, []).append(score)
    return [Row(model, part, summarise(parts[part])) for part in in_order(parts)]
