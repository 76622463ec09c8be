"""Where MONAI, scikit-learn and torchmetrics agree with ours, and each difference we document.

Every line of the table in docs/reference/metrics.md is run here.
"""

import math
import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from suraksha.metrics.boundary import hd95, nsd
from suraksha.metrics.overlap import counts, dice, iou, precision, recall
from suraksha.types import Spacing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from monai.metrics import (
        compute_dice,
        compute_hausdorff_distance,
        compute_iou,
        compute_surface_dice,
    )
    from sklearn.exceptions import UndefinedMetricWarning
    from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score
    from torchmetrics.functional.classification import (
        binary_f1_score,
        binary_jaccard_index,
        binary_precision,
        binary_recall,
    )
    from torchmetrics.functional.segmentation import dice_score, hausdorff_distance

EMPTY = np.zeros((20, 30), bool)
SQUARE = EMPTY.copy()
SQUARE[3:9, 4:12] = True
OTHER = EMPTY.copy()
OTHER[5:14, 6:20] = True
CASES = {"both": (EMPTY, EMPTY), "prediction": (EMPTY, SQUARE), "truth": (SQUARE, EMPTY)}
FOUR = (dice, iou, precision, recall)


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = function(*args, **options)
    return answer.item() if isinstance(answer, torch.Tensor) else float(answer)


def plane(mask):
    return torch.tensor(mask)[None, None].float()


def monai(function, pair, *args, **options):
    return quietly(
        function, plane(pair[0]), plane(pair[1]), *args, include_background=True, **options
    )


def torchmetrics(function, pair):
    return quietly(function, *(torch.tensor(m).ravel().int() for m in pair))


def sklearn(function, pair, **options):
    return quietly(function, pair[1].ravel(), pair[0].ravel(), **options)


def blobs(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(6, 40, 2))
    return tuple(gaussian_filter(rng.standard_normal(shape), 2) > 0.03 for _ in range(2))


PAIRS = [p for p in map(blobs, range(40)) if p[0].any() and p[1].any()]


def test_there_are_enough_pairs():
    assert len(PAIRS) >= 20


@pytest.mark.parametrize("scale", [None, (0.1, 0.25), (0.3, 0.2)])
def test_boundary_scores_equal_monai(scale):
    spacing = None if scale is None else Spacing(*scale)
    tolerance = 2.0 if scale is None else 0.33
    for pair in PAIRS:
        theirs = monai(compute_hausdorff_distance, pair, percentile=95, spacing=scale)
        assert hd95(*pair, spacing=spacing) == pytest.approx(theirs, rel=1e-5)
        theirs = monai(compute_surface_dice, pair, [tolerance], spacing=scale)
        assert nsd(*pair, tolerance=tolerance, spacing=spacing) == pytest.approx(theirs, rel=1e-5)


def test_overlap_equals_all_three_libraries():
    for pair in PAIRS:
        c = counts(*pair)
        assert dice(c) == pytest.approx(monai(compute_dice, pair), rel=1e-5)
        assert iou(c) == pytest.approx(monai(compute_iou, pair), rel=1e-5)
        for ours, tm, sk in zip(
            FOUR,
            (binary_f1_score, binary_jaccard_index, binary_precision, binary_recall),
            (f1_score, jaccard_score, precision_score, recall_score),
            strict=True,
        ):
            assert ours(c) == pytest.approx(torchmetrics(tm, pair), rel=1e-5)
            assert ours(c) == pytest.approx(sklearn(sk, pair))


def test_both_empty_is_nan_here_and_zero_in_scikit_learn_and_torchmetrics():
    pair = CASES["both"]
    assert all(math.isnan(score(counts(*pair))) for score in FOUR)
    for function in (f1_score, jaccard_score, precision_score, recall_score):
        assert sklearn(function, pair) == 0
    assert math.isnan(sklearn(f1_score, pair, zero_division=np.nan))
    with pytest.warns(UndefinedMetricWarning):
        f1_score(pair[1].ravel(), pair[0].ravel())
    for function in (binary_f1_score, binary_jaccard_index, binary_precision, binary_recall):
        assert torchmetrics(function, pair) == 0


def test_both_empty_is_nan_in_dice_score_and_monai_too():
    stacked = [plane(m).long() for m in CASES["both"]]
    options = {"num_classes": 1, "input_format": "one-hot", "average": "micro"}
    assert math.isnan(quietly(dice_score, *stacked, **options))
    assert math.isnan(monai(compute_dice, CASES["both"]))
    assert math.isnan(monai(compute_iou, CASES["both"]))
    assert monai(compute_dice, CASES["both"], ignore_empty=False) == 1
    assert math.isnan(monai(compute_surface_dice, CASES["both"], [2.0]))
    assert math.isnan(monai(compute_hausdorff_distance, CASES["both"], percentile=95))


@pytest.mark.parametrize("which", ["prediction", "truth"])
def test_one_empty_is_zero_here_and_in_scikit_learn_and_torchmetrics(which):
    pair = CASES[which]
    assert [score(counts(*pair)) for score in FOUR] == [0, 0, 0, 0]
    for function in (f1_score, jaccard_score, precision_score, recall_score):
        assert sklearn(function, pair) == 0
    for function in (binary_f1_score, binary_jaccard_index, binary_precision, binary_recall):
        assert torchmetrics(function, pair) == 0
    assert nsd(*pair) == monai(compute_surface_dice, pair, [2.0]) == 0


def test_zero_division_nan_of_scikit_learn_differs():
    assert math.isnan(sklearn(precision_score, CASES["prediction"], zero_division=np.nan))
    assert math.isnan(sklearn(recall_score, CASES["truth"], zero_division=np.nan))


def test_an_empty_truth_is_nan_in_monai_and_zero_here():
    """A false lesion on a normal image would go unpunished."""
    assert math.isnan(monai(compute_dice, CASES["truth"]))
    assert math.isnan(monai(compute_iou, CASES["truth"]))
    assert monai(compute_dice, CASES["truth"], ignore_empty=False) == 0
    assert monai(compute_dice, CASES["prediction"]) == 0


@pytest.mark.parametrize("which", ["prediction", "truth"])
def test_one_empty_hd95_is_nan_in_monai_infinite_in_torchmetrics_and_the_diagonal_here(which):
    pair = CASES[which]
    assert math.isnan(monai(compute_hausdorff_distance, pair, percentile=95))
    stacked = [plane(m).long() for m in pair]
    options = {"num_classes": 1, "include_background": True, "input_format": "one-hot"}
    assert quietly(hausdorff_distance, *stacked, **options) == math.inf
    assert hd95(*pair) == pytest.approx(math.hypot(20, 30))


def test_torchmetrics_hausdorff_of_equal_masks_is_not_zero():
    """Its 1.9 is not usable as an oracle: two equal masks are 16 pixels apart."""
    stacked = plane(SQUARE).long()
    options = {"num_classes": 1, "include_background": True, "input_format": "one-hot"}
    assert quietly(hausdorff_distance, stacked, stacked, **options) > 0
    assert hd95(SQUARE, SQUARE) == 0
    pair = SQUARE, SQUARE
    assert monai(compute_hausdorff_distance, pair, percentile=95) == 0


def test_scikit_learn_pools_and_monai_scores_each_image():
    pairs = [(SQUARE, OTHER), (SQUARE, SQUARE)]
    flat = [np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1)]
    pooled = dice(counts(*pairs[0]) + counts(*pairs[1]))
    assert pooled == pytest.approx(sklearn(f1_score, flat))
    stacked = [torch.cat([plane(p[i]) for p in pairs]) for i in (0, 1)]
    each = compute_dice(*stacked).ravel().tolist()
    assert each == pytest.approx([dice(counts(*p)) for p in pairs], rel=1e-5)


def test_nsd_of_monai_with_subvoxels_differs():
    pair = SQUARE, OTHER
    assert nsd(*pair) == pytest.approx(monai(compute_surface_dice, pair, [2.0]), rel=1e-6)
    weighed = monai(compute_surface_dice, pair, [2.0], use_subvoxels=True)
    assert abs(nsd(*pair) - weighed) > 1e-3


def test_torchmetrics_pools_over_its_input():
    """Given several images it pools their pixels; a mean over images is another number."""
    pairs = [(SQUARE, OTHER), (SQUARE, SQUARE)]
    flat = [np.concatenate([p[i].ravel() for p in pairs])[None] for i in (0, 1)]
    pooled = dice(counts(*pairs[0]) + counts(*pairs[1]))
    assert pooled == pytest.approx(torchmetrics(binary_f1_score, flat), rel=1e-5)
    assert abs(pooled - np.mean([dice(counts(*p)) for p in pairs])) > 0.05
