"""Evaluation: the table, its parts, and the guard against the wrong images."""

import json
from dataclasses import replace

import numpy as np
import pytest

from suraksha.datasets.cache import CacheItem
from suraksha.datasets.phantom import sample_phantom
from suraksha.datasets.samples import Sample, check_hashes, read_samples
from suraksha.errors import DataError
from suraksha.evaluation.evaluate import evaluate, score
from suraksha.inference.postprocessing import PostProcessing
from suraksha.inference.prediction import Prediction
from suraksha.inference.segmenter import load_segmenter
from suraksha.metrics.subsets import SIZE_BANDS


def sample(number, *, normal=False, consistent=True, shape=(60, 80)):
    phantom = sample_phantom(1, number, shape=shape)
    item = CacheItem(
        name=f"p{number}",
        label="normal" if normal else "benign",
        normal=normal,
        group=str(number),
        image_sha256="0" * 64,
        mask_sha256="0" * 64,
        height=shape[0],
        width=shape[1],
        consistent=consistent,
    )
    truth = np.zeros(shape, bool) if normal else phantom.mask
    return Sample(item, phantom.image, truth)


@pytest.fixture(scope="module")
def samples():
    return [sample(0), sample(2, consistent=False), sample(5), sample(3, normal=True)]


def part(found, model, name):
    return next(r.summary for r in found.rows if (r.model, r.part) == (model, name))


def test_a_perfect_predictor_scores_one_everywhere(samples):
    truths = {id(s.image): s.truth for s in samples}
    found = score(
        lambda image: Prediction(truths[id(image)].astype(np.float32)), samples, name="oracle"
    )
    lesion = part(found, "oracle", "lesion")
    assert (lesion.images, part(found, "oracle", "consistent").images) == (3, 2)
    assert lesion.mean["dice"].value == lesion.pooled["iou"].value == 1
    normal = part(found, "oracle", "normal")
    assert (normal.left_out, normal.normals.with_prediction) == (1, 0)
    assert found.community == {"iou": 1.0, "f1": 1.0}
    nothing = part(found, "all background", "lesion")
    assert nothing.mean["dice"].value == 0
    background = sum(int((~s.truth).sum()) for s in samples[:3])
    pixels = sum(s.truth.size for s in samples[:3])
    assert nothing.pooled["accuracy"].value == pytest.approx(background / pixels)


def test_a_predictor_that_marks_everything_is_caught_on_normals(samples):
    found = score(lambda image: Prediction(np.ones(image.shape, np.float32)), samples, name="all")
    normal = part(found, "all", "normal")
    assert (normal.normals.with_prediction, normal.normals.images) == (1, 1)
    assert part(found, "all", "lesion").mean["recall"].value == 1


def test_the_mean_mask_row_is_there_when_training_masks_are(samples):
    masks = [s.truth for s in samples[:3]]
    found = score(
        lambda image: Prediction(np.zeros(image.shape, np.float32)),
        samples,
        name="none",
        training_masks=masks,
    )
    assert [r.model for r in found.rows if r.part == "lesion"] == [
        "none",
        "all background",
        "mean mask",
    ]
    assert part(found, "mean mask", "lesion").mean["dice"].value > 0.2


def test_the_threshold_is_at_least(samples):
    for threshold, expected in ((0.5, 1), (0.51, 0)):
        found = score(
            lambda image: Prediction(np.full(image.shape, 0.5, np.float32)),
            samples,
            name="half",
            threshold=threshold,
        )
        assert part(found, "half", "normal").normals.with_prediction == expected


def test_a_run_and_its_bundle_score_alike(tiny_run, tiny_bundle, phantom_root):
    run = evaluate(tiny_run, phantom_root)
    bundle = evaluate(load_segmenter(tiny_bundle), phantom_root)
    assert run.facts["grid"] == bundle.facts["grid"] == "native"
    for mine, theirs in zip(run.scores, bundle.scores, strict=True):
        assert mine.name == theirs.name
        assert mine.dice == pytest.approx(theirs.dice, abs=1e-3, nan_ok=True)
    record = json.loads(json.dumps(run.to_dict(), allow_nan=False))
    assert record["models"]["suraksha"]["lesion"]["images"] == len(tiny_run.split.test)
    assert record["split_sha256"] == tiny_run.split.sha256


def test_a_cache_is_scored_at_its_size_and_all_means_all(tiny_run, phantom_cache):
    found = evaluate(tiny_run, phantom_cache, part="all")
    assert found.facts["grid"] == "32x32"
    assert found.facts["images_scored"] == 18
    assert found.facts["scored_part"] == "all"


def test_other_images_are_refused(tiny_run, phantom_cache, tmp_path):
    chosen = read_samples(phantom_cache, tiny_run.split.test)
    check_hashes(chosen, tiny_run.split.images)
    other = replace(chosen[0].item, image_sha256="1" * 64)
    with pytest.raises(DataError, match=r"1 images are not those.*unaltered copy"):
        check_hashes(
            [Sample(other, chosen[0].image, chosen[0].truth), *chosen[1:]],
            tiny_run.split.images,
        )
    with pytest.raises(DataError):
        evaluate(tiny_run, tmp_path)
    with pytest.raises(DataError, match="it holds no"):
        read_samples(phantom_cache, ["benign (1)"])


@pytest.mark.busi
def test_the_shipped_bundle_keeps_its_word_on_busi(busi_root):
    """The card's numbers are those that the shipped file gives on the real test images."""
    segment = load_segmenter()
    found = evaluate(segment, busi_root)
    for name, stated in segment.card.metrics.items():
        now = part(found, segment.card.name, name)
        assert now.images == stated["images"]
        for kind in ("mean", "pooled"):
            value = stated[kind]["dice"]["value"]
            expected = float("nan") if value is None else value
            now_value = getattr(now, kind)["dice"].value
            assert now_value == pytest.approx(expected, abs=1e-3, nan_ok=True)
    assert part(found, segment.card.name, "lesion").mean["dice"].value > 0.6


def test_a_rule_is_in_force_and_its_cost_is_shown(samples):
    """Weak marks everywhere, strong ones on lesions: the rule empties the normals alone."""
    truths = {id(s.image): s.truth for s in samples}

    def predict(image):
        probability = np.where(truths[id(image)], 0.95, 0.1).astype(np.float32)
        probability[0, :5] = 0.6
        return Prediction(probability)

    found = score(predict, iter(samples), name="net", rule=PostProcessing(0.9))
    bare = "net, no presence rule"
    assert list(dict.fromkeys(row.model for row in found.rows)) == ["net", bare, "all background"]
    assert part(found, "net", "lesion").mean["dice"].value == 1
    assert part(found, bare, "lesion").mean["dice"].value < 1
    flagged = [part(found, model, "normal").normals.with_prediction for model in ("net", bare)]
    assert flagged == [0, 1]
    assert found.scores[0].dice == 1, "the images' scores are those with the rule"
    without = score(predict, samples, name="net", rule=PostProcessing(0.5))
    assert bare not in {row.model for row in without.rows}


def test_lesion_sizes_are_parts_of_their_own(samples):
    found = score(lambda image: Prediction(np.ones(image.shape, np.float32)), samples, name="all")
    for band in SIZE_BANDS:
        shares = [s.truth.mean() for s in samples if not s.item.normal]
        expected = sum(band.low <= 100 * fraction < band.high for fraction in shares)
        rows = [r.summary.images for r in found.rows if (r.model, r.part) == ("all", band.part)]
        assert rows == [expected] * bool(expected)
    mine = [row.part for row in found.rows if row.model == "all"]
    assert (mine[:2], mine[-2:]) == (["lesion", "consistent"], ["benign", "normal"])
    assert len(mine) > 4


def test_pixels_of_all_images_are_calibrated_whatever_the_rule(samples):
    def predict(image):
        ramp = np.linspace(0, 1, image.pixels.size, dtype=np.float32)
        return Prediction(ramp.reshape(image.shape))

    images = [(predict(s.image).probability.ravel(), s.truth.ravel()) for s in samples]
    probability, truth = map(np.concatenate, zip(*images, strict=True))
    for rule in (PostProcessing(), PostProcessing(1.0, 0.9)):
        found = score(predict, iter(samples), name="ramp", rule=rule)
        record = json.loads(json.dumps(found.to_dict(), allow_nan=False))["calibration"]
        assert record["pixels"] == truth.size
        assert record["brier"] == pytest.approx(np.mean((probability - truth) ** 2), rel=1e-5)
        assert record["lesion_fraction"] == pytest.approx(truth.mean())
