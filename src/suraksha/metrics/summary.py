"""Summaries of the scores of many images, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suraksha.errors import DataError, UsageError
from suraksha.metrics.bootstrap import Estimate, Resampler, estimate
from suraksha.metrics.detection import Detection, Normals, normals
from suraksha.metrics.image import PER_IMAGE, ImageScore, jsonable
from suraksha.metrics.overlap import OVERLAP, score_counts


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table of models.

    Args:
        title: Heading of the column.
        part: The field of `Summary` that contains the value.
        key: The metric within that field.
    """

    title: str
    part: str
    key: str


COLUMNS: tuple[Column, ...] = (
    Column("Dice", "mean", "dice"),
    Column("IoU", "mean", "iou"),
    Column("precision", "mean", "precision"),
    Column("recall", "mean", "recall"),
    Column("median Dice", "median", "dice"),
    Column("HD95 px", "mean", "hd95_px"),
    Column("NSD", "mean", "nsd"),
    Column("pooled Dice", "pooled", "dice"),
    Column("pooled IoU", "pooled", "iou"),
    Column("pooled accuracy", "pooled", "accuracy"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """The scores of one model on one set of images.

    Args:
        images: Number of images.
        groups: Number of groups in the bootstrap.
        left_out: Number of images where prediction and truth are both empty. They have no scores
            and are not in means and medians; the pooled scores include them.
        mean: Means over the scored images, by metric of `PER_IMAGE`.
        median: Medians over the scored images, by metric of `PER_IMAGE`.
        pooled: Scores of the summed counts of all images, by metric of `OVERLAP`.
        normals: Predictions on images without a lesion.
        lesions: Numbers of found, missed and false lesions.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """

    images: int
    groups: int
    left_out: int
    mean: Mapping[str, Estimate]
    median: Mapping[str, Estimate]
    pooled: Mapping[str, Estimate]
    normals: Normals
    lesions: Detection
    seed: int
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-compatible values, with None for NaN."""
        return jsonable(asdict(self))


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """The difference between two models on the same images, first minus second.

    Args:
        images: Number of images, the same for both.
        left_out: Number of images that one of the two cannot score (both masks empty).
        mean: Means of the differences per image, by metric of `PER_IMAGE`.
        pooled: Differences of the pooled scores, by metric of `OVERLAP`.
    """

    images: int
    left_out: int
    mean: Mapping[str, Estimate]
    pooled: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """JSON-compatible values, with None for NaN."""
        return jsonable(asdict(self))


def summarise(scores: Sequence[ImageScore], *, seed: int = 0, resamples: int = 1000) -> Summary:
    """Summarise the scores of many images, with 95 % intervals by bootstrap over groups.

    Args:
        scores: One per image, in any order.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.

    Raises:
        DataError: An image has two scores.
        UsageError: There are no scores, or fewer than one resample.
    """
    _by_name(scores)
    groups = [s.group for s in scores]
    draw = Resampler.of(groups, seed=seed, resamples=resamples)
    values = {key: _values(scores, key) for key in PER_IMAGE}
    lesions = Detection()
    for score in scores:
        lesions += score.lesions
    return Summary(
        images=len(scores),
        groups=len(set(groups)),
        left_out=sum(s.both_empty for s in scores),
        mean={key: _estimate(draw.means(column)) for key, column in values.items()},
        median={key: _estimate(draw.medians(column)) for key, column in values.items()},
        pooled={key: _estimate(column) for key, column in _pooled(scores, draw).items()},
        normals=normals([s.counts for s in scores]),
        lesions=lesions,
        seed=seed,
        resamples=resamples,
    )


def paired_difference(
    a: Sequence[ImageScore], b: Sequence[ImageScore], *, seed: int = 0, resamples: int = 1000
) -> Difference:
    """The difference ``a`` minus ``b``, paired by image name, by bootstrap over groups.

    An interval that does not include 0 indicates a difference on images of this kind.

    Args:
        a: Scores of the first model.
        b: Scores of the second model on the same images.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.

    Raises:
        DataError: The two do not have the same images in the same groups, or an image is repeated.
        UsageError: There are no scores, or fewer than one resample.
    """
    first, second = _by_name(a), _by_name(b)
    odd = sorted(first.keys() ^ second.keys())
    odd += sorted(n for n in first.keys() & second.keys() if first[n].group != second[n].group)
    if odd:
        raise DataError(
            f"two models cannot be compared: {len(odd)} images differ, the first '{odd[0]}'",
            "a paired difference needs the same images in the same groups on both sides",
            "Evaluate both models on one split",
        )
    names = sorted(first)
    ours, theirs = [first[n] for n in names], [second[n] for n in names]
    draw = Resampler.of([s.group for s in ours], seed=seed, resamples=resamples)
    gaps = {key: _values(ours, key) - _values(theirs, key) for key in PER_IMAGE}
    pooled_ours, pooled_theirs = _pooled(ours, draw), _pooled(theirs, draw)
    return Difference(
        images=len(names),
        left_out=sum(x.both_empty or y.both_empty for x, y in zip(ours, theirs, strict=True)),
        mean={key: _estimate(draw.means(gap)) for key, gap in gaps.items()},
        pooled={key: _estimate(pooled_ours[key] - pooled_theirs[key]) for key in OVERLAP},
    )


def batch_pooled(scores: Sequence[ImageScore], *, batch_size: int = 8) -> dict[str, float]:
    """IoU and F1 as in the public table of U-Net variants.

    Counts are pooled over each batch of consecutive images, and the scores of the batches are
    averaged, weighted by their number of images (the last may be smaller). The values depend on the
    order of the images and on the batch size.

    Args:
        scores: One per image, in the order of the data loader.
        batch_size: Images per batch.

    Returns:
        ``iou`` and ``f1``; batches without any lesion are ignored, NaN if all are.

    Raises:
        UsageError: The batch size is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size = {batch_size} is out of range", "the minimum is 1", "Give 8")
    table = _table(scores)
    starts = np.arange(0, len(table), batch_size)
    sizes = np.minimum(batch_size, len(table) - starts)
    batches = np.add.reduceat(table, starts, axis=0) if len(table) else table
    of_batch = score_counts(batches)
    known = np.isfinite(of_batch["iou"])
    if not known.any():
        return {"iou": math.nan, "f1": math.nan}
    weights = sizes[known]
    return {
        "iou": float(np.average(of_batch["iou"][known], weights=weights)),
        "f1": float(np.average(of_batch["dice"][known], weights=weights)),
    }


def table_row(summary: Summary) -> dict[str, Estimate]:
    """The values of a table row by title, in the order of `COLUMNS`."""
    parts = {"mean": summary.mean, "median": summary.median, "pooled": summary.pooled}
    return {column.title: parts[column.part][column.key] for column in COLUMNS}


def _by_name(scores: Sequence[ImageScore]) -> dict[str, ImageScore]:
    named: dict[str, ImageScore] = {}
    for score in scores:
        if score.name in named:
            raise DataError(
                f"the image '{score.name}' has two scores",
                "each image counts once",
                "Pass one score per image, or give the images different names",
            )
        named[score.name] = score
    return named


def _values(scores: Sequence[ImageScore], key: str) -> NDArray[np.float64]:
    return np.array([getattr(score, key) for score in scores], dtype=np.float64)


def _table(scores: Sequence[ImageScore]) -> NDArray[np.float64]:
    rows = [(s.counts.tp, s.counts.fp, s.counts.fn, s.counts.tn) for s in scores]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _pooled(scores: Sequence[ImageScore], draw: Resampler) -> dict[str, NDArray[np.float64]]:
    return score_counts(draw.totals(_table(scores)))


def _estimate(values: NDArray[np.float64]) -> Estimate:
    """An estimate from the value of the original images and those of the resamples."""
    return estimate(float(values[0]), values[1:])
