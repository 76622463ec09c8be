"""Evaluation: the table, its parts, and the guard against the wrong images."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.datasets.items import CacheItem
from suraksha.datasets.phantom import sample_phantom
from suraksha.datasets.samples import Sample, check_hashes, read_samples
from suraksha.errors import DataError
from suraksha.evaluation import evaluate as evaluation
from suraksha.evaluation.bundle_card import measure_card, rescore_bundle
from suraksha.evaluation.evaluate import evaluate, score
from suraksha.inference.postprocessing import (
    PostProcessing,
    PostProcessingSettings,
    apply_threshold,
)
from suraksha.inference.prediction import Prediction
from suraksha.inference.segmenter import load_segmenter
from suraksha.io.images import read_image
from suraksha.metrics.subsets import SIZE_BANDS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "images"
NO_RULE = PostProcessing()


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


def segmenting(probability_of, rule=NO_RULE, threshold=0.5):
    """A predictor of known probability maps with the post-processing that is served."""
    card = PostProcessingSettings(threshold=threshold, postprocessing=rule)
    return lambda image: apply_threshold(Prediction(probability_of(image)), image, card=card)


def part(found, model, name):
    summary = found.summary(model, name)
    assert summary is not None
    return summary


def test_a_perfect_predictor_scores_one_everywhere(samples):
    truths = {id(s.image): s.truth for s in samples}
    found = score(
        segmenting(lambda image: truths[id(image)].astype(np.float32)), samples, name="oracle"
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


def ones(image):
    return np.ones(image.shape, np.float32)


def test_a_predictor_that_marks_everything_has_false_positives_on_normals(samples):
    found = score(segmenting(ones), samples, name="all")
    normal = part(found, "all", "normal")
    assert (normal.normals.with_prediction, normal.normals.images) == (1, 1)
    assert part(found, "all", "lesion").mean["recall"].value == 1


def test_the_mean_mask_row_is_there_when_training_masks_are(samples):
    masks = [s.truth for s in samples[:3]]
    found = score(
        segmenting(lambda image: np.zeros(image.shape, np.float32)),
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
    (warning,) = found.warnings
    assert "not better than the mean training mask on the scored images" in warning
    assert json.loads(json.dumps(found.to_dict()))["warnings"] == [warning]
    truths = {id(s.image): s.truth for s in samples}
    oracle = segmenting(lambda image: truths[id(image)].astype(np.float32))
    assert score(oracle, samples, name="oracle", training_masks=masks).warnings == ()


def test_the_threshold_is_at_least(samples):
    for threshold, expected in ((0.5, 1), (0.51, 0)):
        half = segmenting(lambda image: np.full(image.shape, 0.5, np.float32), threshold=threshold)
        found = score(half, samples, name="half")
        assert part(found, "half", "normal").normals.with_prediction == expected


def test_a_run_and_its_bundle_have_the_same_scores(tiny_run, tiny_bundle, phantom_root):
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


def test_images_of_another_data_set_are_refused(tiny_run, phantom_cache, tmp_path):
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
    with pytest.raises(DataError, match="it does not contain"):
        read_samples(phantom_cache, ["benign (1)"])


def spied(monkeypatch):
    """What is scored: the probability maps and masks that reach the metrics, by image."""
    maps, masks = [], {}
    plain_reliability, plain_score = evaluation.reliability, evaluation.score_image

    def reliability(probability, truth):
        maps.append(probability.copy())
        return plain_reliability(probability, truth)

    def score_image(mask, truth, *, name, **options):
        masks.setdefault(name, mask.copy())  # the model's own mask comes first
        return plain_score(mask, truth, name=name, **options)

    monkeypatch.setattr(evaluation, "reliability", reliability)
    monkeypatch.setattr(evaluation, "score_image", score_image)
    return maps, masks


def check_served_equals_scored(segment, samples, maps, masks):
    assert len(maps) == len(samples) == len(masks)
    for sample, probability in zip(samples, maps, strict=True):
        served = segment(sample.image)
        assert np.array_equal(served.probability, probability)
        assert np.array_equal(served.mask, masks[sample.item.name])


def test_the_shipped_bundle_serves_what_is_scored_on_the_examples(monkeypatch):
    """Bit for bit, on the committed example images."""
    segment = load_segmenter(check=False)
    paths = sorted(EXAMPLES.glob("*.png"))
    images = [read_image(path) for path in paths]
    samples = [
        Sample(replace(sample(0).item, name=path.stem), image, np.zeros(image.shape, bool))
        for path, image in zip(paths, images, strict=True)
    ]
    maps, masks = spied(monkeypatch)
    measure_card(segment, samples)
    assert len(samples) == 6
    assert any(mask.any() for mask in masks.values())
    check_served_equals_scored(segment, samples, maps, masks)


def test_a_bundle_serves_what_is_scored(tiny_bundle, phantom_root, monkeypatch):
    segment = load_segmenter(tiny_bundle, check=False)
    samples = read_samples(phantom_root, tuple(segment.card.test_images))
    maps, masks = spied(monkeypatch)
    evaluate(segment, phantom_root)
    check_served_equals_scored(segment, samples, maps, masks)


def test_the_card_of_an_export_is_that_of_what_is_served(tiny_bundle, phantom_root):
    card, found = rescore_bundle(load_segmenter(tiny_bundle), phantom_root)
    assert card == load_segmenter(tiny_bundle).card
    assert found.to_dict()["models"][card.name] == card.metrics


@pytest.mark.busi
def test_the_shipped_bundle_serves_what_is_scored_on_busi(busi_root, monkeypatch):
    segment = load_segmenter(check=False)
    names = tuple(segment.card.test_images)[::8]
    samples = read_samples(busi_root, names)
    maps, masks = spied(monkeypatch)
    measure_card(segment, samples)
    check_served_equals_scored(segment, samples, maps, masks)


@pytest.mark.busi
def test_the_shipped_card_states_what_the_shipped_bundle_scores(busi_root):
    segment = load_segmenter()
    found = evaluate(segment, busi_root)
    for name, stated in segment.card.metrics.items():
        now = part(found, segment.card.name, name)
        assert now.images == stated["images"]
        for kind in ("mean", "pooled"):
            value = stated[kind]["dice"]["value"]
            expected = float("nan") if value is None else value
            now_value = getattr(now, kind)["dice"].value
            assert now_value == pytest.approx(expected, abs=1e-4, nan_ok=True)
    assert part(found, segment.card.name, "lesion").mean["dice"].value > 0.6


def test_images_without_a_usable_mask_are_skipped_counted_and_named(
    tiny_run, phantom_root, tmp_path
):
    """A lesion image without mask, one with an unreadable mask, one with an empty mask."""
    root = tmp_path / "data"
    shutil.copytree(phantom_root, root)
    masks = [path for path in sorted(root.rglob("*_mask.png")) if "normal" not in path.name][:3]
    masks[0].unlink()
    masks[1].write_bytes(b"not an image")
    with PilImage.open(masks[2]) as old:
        PilImage.fromarray(np.zeros_like(np.asarray(old))).save(masks[2])
    found = evaluate(tiny_run, root, part="all")
    counts = {key: value for key, value in found.facts.items() if key.startswith("images_")}
    assert counts == {
        "images_scored": 15,
        "images_undefined": 1,
        "images_missing_mask": 1,
        "images_unreadable": 1,
    }
    assert len(found.scores) == 16
    assert len(found.warnings) == 3
    assert all("suraksha data check" in text for text in found.warnings)
    assert "have no mask file and were not scored" in found.warnings[0]


def test_a_rule_is_applied_and_its_cost_is_shown(samples):
    """Weak marks everywhere, strong ones on lesions: the rule empties the normals alone."""
    truths = {id(s.image): s.truth for s in samples}

    def predict(image):
        probability = np.where(truths[id(image)], 0.95, 0.1).astype(np.float32)
        probability[0, :5] = 0.6
        return probability

    ruled = segmenting(predict, PostProcessing(0.9))
    found = score(ruled, iter(samples), name="net", has_rule=True)
    bare = "net, threshold alone"
    assert list(dict.fromkeys(row.model for row in found.rows)) == ["net", bare, "all background"]
    assert part(found, "net", "lesion").mean["dice"].value == 1
    assert part(found, bare, "lesion").mean["dice"].value < 1
    flagged = [part(found, model, "normal").normals.with_prediction for model in ("net", bare)]
    assert flagged == [0, 1]
    assert found.scores[0].dice == 1, "the images' scores are those with the rule"
    without = score(segmenting(predict, PostProcessing(0.5)), samples, name="net")
    assert bare not in {row.model for row in without.rows}


def test_lesion_sizes_are_separate_parts(samples):
    found = score(segmenting(ones), samples, name="all")
    for band in SIZE_BANDS:
        fractions = [s.truth.mean() for s in samples if not s.item.normal]
        expected = sum(band.low <= 100 * fraction < band.high for fraction in fractions)
        rows = [r.summary.images for r in found.rows if (r.model, r.part) == ("all", band.part)]
        assert rows == [expected] * bool(expected)
    mine = [row.part for row in found.rows if row.model == "all"]
    assert (mine[:2], mine[-2:]) == (["lesion", "consistent"], ["benign", "normal"])
    assert len(mine) > 4


def test_calibration_counts_all_pixels_whatever_the_rule(samples):
    def predict(image):
        ramp = np.linspace(0, 1, image.pixels.size, dtype=np.float32)
        return ramp.reshape(image.shape)

    images = [(predict(s.image).ravel(), s.truth.ravel()) for s in samples]
    probability, truth = map(np.concatenate, zip(*images, strict=True))
    for rule in (PostProcessing(), PostProcessing(1.0, 0.9)):
        found = score(segmenting(predict, rule), iter(samples), name="ramp")
        record = json.loads(json.dumps(found.to_dict(), allow_nan=False))["calibration"]
        assert record["pixels"] == truth.size
        assert record["brier"] == pytest.approx(np.mean((probability - truth) ** 2), rel=1e-5)
        assert record["lesion_fraction"] == pytest.approx(truth.mean())
