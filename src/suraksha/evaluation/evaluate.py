"""Score a run or a bundle on images with known masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from suraksha.datasets.items import CacheItem
from suraksha.datasets.samples import Data, Sample, check_hashes, dataset_of, grid_of, name_of
from suraksha.errors import UnknownNameError, UsageError
from suraksha.evaluation.samples import (
    MEAN_MASK_GRID,
    Mask,
    Progress,
    data_warnings,
    silent,
    training_masks,
    usable_samples,
)
from suraksha.evaluation.summaries import ALL, RULELESS, TEST, VALIDATION
from suraksha.inference.engines import Logits
from suraksha.inference.postprocessing import PostProcessingCard, Segmentation
from suraksha.inference.roi import InferenceSpec, segment_image
from suraksha.inference.segmenter import Segmenter
from suraksha.metrics.baseline import mean_mask
from suraksha.metrics.boundary import hd95
from suraksha.metrics.calibration import Reliability, reliability
from suraksha.metrics.classes import ClassScores, score_classes
from suraksha.metrics.image import ImageScore, jsonable, score_image
from suraksha.metrics.subsets import LESION, in_order, parts_of
from suraksha.metrics.summary import Summary, batch_pooled, summarise
from suraksha.networks.cost import count_macs, count_parameters
from suraksha.networks.outputs import outputs_of
from suraksha.preprocessing import resize_mask
from suraksha.runs.folder import Run, cpu_name, mean_mask_warning, training_facts
from suraksha.types import Image

MEAN_MASK, BACKGROUND = "mean mask", "all background"
Segment = Callable[[Image], Segmentation]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a model on one part of the images.

    Args:
        model: The model's name.
        part: A part of `suraksha.metrics.subsets`, or a class.
        summary: Its scores.
    """

    model: str
    part: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation.

    Args:
        facts: What was evaluated: model, data, grid, protocol, device and so on.
        rows: The table; the model first, then the model without its post-processing rule (where it
            has one), then "all background" and, where known, "mean mask".
        community: IoU and F1 pooled over batches of 8 and averaged, lesion images in order.
        scores: The model's score of every image.
        calibration: Agreement of its probabilities with the truth, over all pixels.
        classes: Scores of its classification head, or None without one.
        warnings: What is wrong with the model or the data; empty if nothing is.
    """

    facts: Mapping[str, Any]
    rows: tuple[Row, ...]
    community: Mapping[str, float]
    scores: tuple[ImageScore, ...]
    calibration: Reliability = field(default_factory=Reliability)
    classes: ClassScores | None = None
    warnings: tuple[str, ...] = ()

    def summary(self, model: str, part: str) -> Summary | None:
        """The summary of a model on a part of the images; None where there is none."""
        found = (row.summary for row in self.rows if (row.model, row.part) == (model, part))
        return next(found, None)

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain tables, for JSON."""
        tables: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            tables.setdefault(row.model, {})[row.part] = row.summary.to_dict()
        return {
            **self.facts,
            "models": tables,
            "community_batches_of_8": jsonable(dict(self.community)),
            "calibration": self.calibration.to_dict(),
            **({} if self.classes is None else {"classes": self.classes.to_dict()}),
            **({"warnings": list(self.warnings)} if self.warnings else {}),
        }


def torch_runner(network: nn.Module) -> Callable[[NDArray[np.float32]], Logits]:
    """A torch network as what `suraksha.inference.roi.InferenceSpec` runs.

    Args:
        network: In eval mode.

    Returns:
        A function from a batch (N, C, h, w) float32 to its logits.
    """
    device = next(network.parameters()).device

    @torch.inference_mode()
    def run(batch: NDArray[np.float32]) -> Logits:
        mask, *classes = (
            output.float().cpu().numpy()
            for output in outputs_of(network, torch.from_numpy(batch).to(device))
        )
        return Logits(mask, classes[0] if classes else None)

    return run


def run_segmenter(
    run: Run, *, network: nn.Module | None = None, card: PostProcessingCard | None = None
) -> Segment:
    """A function that segments an image with a run's network, as its bundle will.

    Args:
        run: A finished run.
        network: Its network, where it is at hand.
        card: The post-processing; None for what the run has fitted.

    Raises:
        TrainError: The run is not finished.
    """
    spec = InferenceSpec(
        torch_runner(run.network() if network is None else network),
        run.config.data.preparation,
        run.fits.settings if card is None else card,
    )
    return lambda image: segment_image(image, spec)


def evaluate(
    model: Run | Segmenter,
    data: Data,
    *,
    part: str = TEST,
    progress: Progress = silent,
) -> Evaluation:
    """Score a run or a loaded bundle, by default on the images of its test part.

    The masks are those of `suraksha.inference.postprocessing.postprocess`, the same function that a
    `Segmenter` uses. Images without a usable mask are skipped, counted and named in the warnings.

    Args:
        model: A finished run, or a segmenter.
        data: A data set's folder, scored at the images' own size, a cache, scored at its size, or
            several of them.
        part: ``test``; ``validation``, on which a run is monitored and fitted, to choose between
            runs; or ``all``, every image of ``data``, for data outside the training.
        progress: Wraps the images, as ``tqdm`` does.

    Raises:
        DataError: The data do not hold the images, hold altered ones, or none can be scored.
        TrainError: The run is not finished.
        UnknownNameError: No part of that name.
        UsageError: The model has no validation part.
    """
    known = model.split.images if isinstance(model, Run) else model.card.test_images
    samples, skipped = usable_samples(data, _names(model, part), progress=progress)
    if part != ALL:
        check_hashes(samples, known)
    if isinstance(model, Run):
        names = () if part == ALL else model.split.train
        found = _evaluate_run(
            model, samples, training_masks(data, names, progress=progress), progress
        )
    else:
        found = _evaluate_bundle(model, samples, progress)
    undefined = [s.item.name for s in samples if not s.item.normal and not s.truth.any()]
    facts = {
        "scored_dataset": name_of(dataset_of(data)),
        "grid": grid_of(data),
        "images_scored": len(samples) - len(undefined),
        "images_undefined": len(undefined),
        "images_missing_mask": len(skipped.missing_mask),
        "images_unreadable": len(skipped.unreadable),
        "scored_part": part,
    }
    warnings = (*found.warnings, *data_warnings(data, undefined, skipped=skipped))
    return replace(found, facts={**found.facts, **facts}, warnings=warnings)


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
        raise UsageError(
            f"there is no {part} part", "no images were held out for it", "Choose another part"
        )
    return parts[part]


def _evaluate_run(
    run: Run, samples: Sequence[Sample], masks: Sequence[Mask], progress: Progress
) -> Evaluation:
    network, preparation = run.network(), run.config.data.preparation
    settings = run.fits.settings
    found = score(
        run_segmenter(run, network=network),
        progress(samples),
        name=run.config.model.name,
        training_masks=masks,
        has_rule=not settings.postprocessing.is_identity(settings.threshold),
        threshold=settings.threshold,
    )
    trained = {run.split.images[name] for name in run.split.train}
    facts = {
        "run": run.folder.name,
        **training_facts(run),
        "parameters": count_parameters(network),
        "macs": count_macs(network, (preparation.channels, *preparation.shape)),
        "postprocessing": asdict(settings.postprocessing),
        "seen_in_training": sum(s.item.image_sha256 in trained for s in samples),
        "scored_with": f"torch, {cpu_name()}, {torch.get_num_threads()} threads",
    }
    return replace(found, facts=facts)


def _evaluate_bundle(
    segment: Segmenter, samples: Sequence[Sample], progress: Progress
) -> Evaluation:
    card = segment.card
    found = score(
        segment.predict_mask,
        progress(samples),
        name=card.name,
        has_rule=not card.postprocessing.is_identity(card.threshold),
        threshold=card.threshold,
    )
    facts = {
        "bundle": card.name,
        "bundle_sha256": segment.bundle.sha256,
        **card.training,
        "parameters": card.parameters,
        "macs": card.macs,
        "postprocessing": asdict(card.postprocessing),
        "scored_with": f"{segment.engine.name}, {cpu_name()}, {segment.engine.threads} threads",
    }
    return replace(found, facts=facts)


def score(
    segment: Segment,
    samples: Iterable[Sample],
    *,
    name: str,
    training_masks: Sequence[Mask] = (),
    has_rule: bool = False,
    threshold: float = 0.5,
) -> Evaluation:
    """Score a model, and the trivial predictors beside it.

    Args:
        segment: Image -> prediction and mask, at the image's own size.
        samples: The images with their truth; they are read once.
        name: The model's name in the table.
        training_masks: Masks for the "mean mask" row; empty leaves that row out.
        has_rule: Whether to score the mask of the threshold alone too.
        threshold: The threshold of that mask.

    Raises:
        DataError: An image is scored twice.
    """
    average = None
    if len(training_masks):
        average = mean_mask(np.stack([resize_mask(m, MEAN_MASK_GRID) for m in training_masks]))
    items: list[CacheItem] = []
    classes: list[Mapping[str, float] | None] = []
    scores: dict[str, list[ImageScore]] = {name: []}
    calibration = Reliability()
    for sample in samples:
        found = segment(sample.image)
        calibration += reliability(found.prediction.probability, sample.truth)
        masks = {name: found.mask}
        if has_rule:
            masks[f"{name}, {RULELESS}"] = found.prediction.probability >= threshold
        for model, mask in {**masks, **_trivial(sample, average)}.items():
            scores.setdefault(model, []).append(_score(sample, mask))
        items.append(sample.item)
        classes.append(found.prediction.classes)
    rows = [row for model, ones in scores.items() for row in _rows(model, items, ones)]
    lesion = [one for one, item in zip(scores[name], items, strict=True) if not item.normal]
    result = Evaluation(
        facts={},
        rows=tuple(rows),
        community=batch_pooled(lesion),
        scores=tuple(scores[name]),
        calibration=calibration,
        classes=_score_classes(items, classes),
    )
    return _compared_with_mean_mask(result, name)


def _trivial(sample: Sample, average: Mask | None) -> dict[str, Mask]:
    """The masks of the trivial predictors."""
    masks = {BACKGROUND: np.zeros(sample.image.shape, dtype=np.bool_)}
    if average is not None:
        masks[MEAN_MASK] = resize_mask(average, sample.image.shape)
    return masks


def _compared_with_mean_mask(result: Evaluation, name: str) -> Evaluation:
    """The evaluation, with a warning where the model is not better than the mean mask."""
    mine, trivial = (result.summary(model, LESION) for model in (name, MEAN_MASK))
    if mine is None or trivial is None:
        return result
    text = mean_mask_warning(
        mine.mean["dice"].value, trivial.mean["dice"].value, where="the scored images"
    )
    return replace(result, warnings=(text,) if text else ())


def _score(sample: Sample, mask: Mask) -> ImageScore:
    item, spacing = sample.item, sample.image.spacing
    scored = score_image(mask, sample.truth, name=item.name, label=item.label, group=item.group)
    if spacing is None:
        return scored
    return replace(scored, hd95_mm=hd95(mask, sample.truth, spacing=spacing))


def _rows(model: str, items: Sequence[CacheItem], scores: Sequence[ImageScore]) -> list[Row]:
    parts: dict[str, list[ImageScore]] = {}
    for item, one in zip(items, scores, strict=True):
        facts = {"normal": item.normal, "consistent": item.consistent}
        for part in parts_of(one.counts, label=item.label, **facts):
            parts.setdefault(part, []).append(one)
    return [Row(model, part, summarise(parts[part])) for part in in_order(parts)]


def _score_classes(
    items: Sequence[CacheItem], classes: Sequence[Mapping[str, float] | None]
) -> ClassScores | None:
    """Scores of the class probabilities; images of other classes are left out.

    None without a classification head, or where no image has one of its classes.
    """
    pairs = [
        (item, one)
        for item, one in zip(items, classes, strict=True)
        if one is not None and item.label in one
    ]
    if not pairs:
        return None
    names = tuple(pairs[0][1])
    return score_classes(
        np.array([[one[name] for name in names] for _, one in pairs]),
        [item.label for item, _ in pairs],
        names=names,
        groups=[item.group for item, _ in pairs],
    )
