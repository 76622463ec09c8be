"""What a run fits on its validation part, and that export and evaluation use it."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.datasets.cache import open_cache
from suraksha.datasets.samples import read_samples
from suraksha.errors import TrainError, UnknownNameError, UsageError
from suraksha.evaluation.evaluate import evaluate, run_segmenter
from suraksha.evaluation.export import export
from suraksha.evaluation.fit_postprocessing import Case, fit_postprocessing
from suraksha.evaluation.fit_run import fit_run
from suraksha.evaluation.summaries import write_evaluation
from suraksha.inference.bundle import read_bundle
from suraksha.inference.postprocessing import PostProcessing, PostProcessingSettings
from suraksha.inference.segmenter import load_segmenter
from suraksha.runs.fits import RunFits
from suraksha.runs.folder import open_run
from suraksha.training.fit import train


@pytest.fixture(scope="module")
def watched_config(tiny_config):
    data = replace(tiny_config.data, protocol="clean", validation_fraction=0.4)
    return replace(tiny_config, data=data, optim=replace(tiny_config.optim, epochs=1))


@pytest.fixture(scope="module")
def watched_run(watched_config, phantom_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("watched")
    return train(watched_config, phantom_cache, out=out, progress=False)


@pytest.fixture(scope="module")
def ruled_run(watched_run, phantom_cache):
    """The same run with a rule that empties about half of the test images."""
    segment = run_segmenter(watched_run)
    samples = read_samples(phantom_cache, watched_run.split.test)
    maps = [segment(sample.image).prediction.probability for sample in samples]
    settings = replace(
        watched_run.fits.settings,
        threshold=float(np.median(np.stack(maps))),
        postprocessing=PostProcessing(float(np.median([one.max() for one in maps]))),
    )
    return replace(watched_run, fits=RunFits(settings))


def test_the_fits_are_made_on_the_validation_part(watched_run, phantom_cache):
    assert watched_run.split.validation
    fits = watched_run.fits
    table = json.loads((watched_run.folder / "fits.json").read_text())
    assert table == json.loads(json.dumps(asdict(fits)))
    labels = {item.name: item.normal for item in open_cache(phantom_cache).items}
    names = watched_run.split.validation
    facts, rule = fits.facts, fits.facts["postprocessing"]
    assert facts["images"] == rule["images"] == len(names)
    assert rule["normals"] == sum(labels[name] for name in names)
    assert facts["part"] == rule["part"] == "validation part of clean fold=0"
    assert (facts["dataset"], facts["grid"]) == ("synthetic", "32x32")
    calibration = fits.settings.confidence_calibration
    assert calibration.fit["images"] == len(names)
    assert calibration.temperature > 0
    with PilImage.open(watched_run.folder / "postprocessing.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


def test_the_rule_is_fitted_on_the_maps_that_are_served(watched_run, phantom_root):
    """At the images' own size, with the temperature applied."""
    fits = fit_run(watched_run, phantom_root, base=PostProcessingSettings())
    assert fits.facts["grid"] == "native"
    temperature = fits.settings.confidence_calibration
    unruled = PostProcessingSettings(confidence_calibration=temperature)
    segment = run_segmenter(watched_run, card=unruled)
    samples = read_samples(phantom_root, watched_run.split.validation)
    cases = [Case(segment(s.image).prediction.probability, s.truth) for s in samples]
    assert fit_postprocessing(cases).rule == fits.settings.postprocessing
    served = run_segmenter(watched_run, card=fits.settings)
    dice = [
        2 * (mask & s.truth).sum() / (mask.sum() + s.truth.sum())
        for s in samples
        if s.truth.any()
        for mask in (served(s.image).mask,)
    ]
    assert fits.facts["score"]["dice"] == pytest.approx(np.mean(dice), abs=1e-9)


def test_the_temperature_has_the_lowest_likelihood_loss_of_a_grid(watched_run, phantom_root):
    fits = fit_run(watched_run, phantom_root, base=PostProcessingSettings())
    chosen = fits.settings.confidence_calibration
    samples = read_samples(phantom_root, watched_run.split.validation)

    def loss(temperature):
        calibration = replace(chosen, temperature=temperature)
        card = PostProcessingSettings(confidence_calibration=calibration)
        segment = run_segmenter(watched_run, card=card)
        means = []
        for sample in samples:
            p = segment(sample.image).prediction.probability.astype(float)
            step = max(1, sample.truth.size // 4000)
            right = np.where(sample.truth, p, 1 - p).ravel()[::step]
            means.append(-np.log(np.clip(right, 1e-6, 1)).mean())
        return np.mean(means)

    best = loss(chosen.temperature)
    for other in np.geomspace(0.2, 5, 9):
        assert best <= loss(other) + 1e-4


def test_the_mean_mask_is_compared_with_on_the_validation_part(watched_run, phantom_cache):
    cache = open_cache(phantom_cache)
    score = watched_run.fits.facts["score"]
    truths = [s.truth for s in read_samples(phantom_cache, watched_run.split.validation)]
    assert score["images"] == sum(bool(truth.any()) for truth in truths)
    assert 0 < score["mean_mask_dice"] < 1
    masks = list(cache.masks()[cache.select(watched_run.split.train)])
    again = fit_run(watched_run, phantom_cache, base=PostProcessingSettings(), training_masks=masks)
    assert again.facts["score"] == pytest.approx(score)


def test_training_reports_a_network_that_is_not_better_than_the_mean_mask(
    watched_config, watched_run, phantom_cache, tmp_path
):
    """The run is finished already: its warnings are reported again."""
    lines = []
    out = watched_run.folder.parent
    run = train(watched_config, phantom_cache, out=out, progress=False, log=lines.append)
    assert lines == list(run.warnings)
    score = {"dice": 0.1, "mean_mask_dice": 0.2}
    fits = replace(run.fits, facts={**run.fits.facts, "score": score})
    assert len(replace(run, fits=fits).warnings) == 1


def test_a_run_killed_in_the_fit_is_fitted_again(
    watched_config, watched_run, phantom_cache, tmp_path, monkeypatch
):
    def killed(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("suraksha.training.fit.fit_run", killed)
    with pytest.raises(KeyboardInterrupt):
        train(watched_config, phantom_cache, out=tmp_path, progress=False)
    run = open_run(tmp_path / watched_config.run_name)
    assert (run.finished, run.fits) == (None, RunFits())
    monkeypatch.setattr("suraksha.training.fit.fit_run", fit_run)
    again = train(watched_config, phantom_cache, out=tmp_path, progress=False)
    assert again.finished.epochs == 1
    ours, theirs = again.fits.settings, watched_run.fits.settings
    assert ours.postprocessing == theirs.postprocessing
    assert again.fits.facts["images"] == watched_run.fits.facts["images"]


def test_without_a_validation_part_nothing_is_fitted(watched_run, phantom_cache):
    split = watched_run.split
    whole = replace(split, train=split.train + split.validation, validation=())
    base = PostProcessingSettings()
    assert fit_run(replace(watched_run, split=whole), phantom_cache, base=base) == RunFits()


def test_damaged_fits_are_reported(watched_run, tmp_path):
    for name in ("config.toml", "split.json", "finished.json"):
        (tmp_path / name).write_bytes((watched_run.folder / name).read_bytes())
    assert open_run(tmp_path).fits == RunFits()
    (tmp_path / "fits.json").write_bytes(b"\xff nothing")
    with pytest.raises(TrainError, match="not valid JSON"):
        open_run(tmp_path)


def test_an_export_fits_on_the_data_it_is_given_and_the_bundle_scores_alike(
    watched_run, phantom_root, tmp_path
):
    card = export(watched_run, tmp_path / "fitted.busi", data=phantom_root)
    assert read_bundle(tmp_path / "fitted.busi").card == card
    fits = fit_run(watched_run, phantom_root, base=PostProcessingSettings())
    assert card.threshold == fits.settings.threshold
    assert card.postprocessing == fits.settings.postprocessing
    assert card.postprocessing_fit == fits.facts["postprocessing"]
    assert card.postprocessing_fit["grid"] == "native"
    calibration = card.confidence_calibration
    assert calibration.temperature == fits.settings.confidence_calibration.temperature
    assert calibration.feature_bounds
    assert calibration.fit["ultrasound_images"] > calibration.fit["images"]
    segment = load_segmenter(tmp_path / "fitted.busi")
    bundle = evaluate(segment, phantom_root)
    assert bundle.to_dict()["models"]["fitted"] == card.metrics
    torch_run = evaluate(replace(watched_run, fits=fits), phantom_root)
    assert torch_run.facts["postprocessing"] == bundle.facts["postprocessing"]
    for mine, theirs in zip(torch_run.scores, bundle.scores, strict=True):
        assert mine.dice == pytest.approx(theirs.dice, abs=1e-3, nan_ok=True)


def test_a_rule_is_applied_and_its_cost_is_shown(ruled_run, phantom_cache):
    settings = ruled_run.fits.settings
    run = evaluate(ruled_run, phantom_cache)
    assert run.facts["postprocessing"] == asdict(settings.postprocessing)
    tables = run.to_dict()["models"]
    assert list(tables) == ["suraksha", "suraksha, threshold alone", "all background", "mean mask"]
    assert tables["suraksha"] != tables["suraksha, threshold alone"]
    segment = run_segmenter(ruled_run)
    masks = [segment(s.image).mask for s in read_samples(phantom_cache, ruled_run.split.test)]
    assert 0 < sum(bool(mask.any()) for mask in masks) < len(masks)


def test_the_validation_part_can_be_scored_to_choose_between_runs(
    watched_run, tiny_run, tiny_bundle, phantom_cache, tmp_path
):
    found = evaluate(watched_run, phantom_cache, part="validation")
    assert [s.name for s in found.scores] == list(watched_run.split.validation)
    assert found.facts["scored_part"] == "validation"
    assert found.facts["seen_in_training"] == 0
    written = write_evaluation(found, tmp_path)
    assert written.stem.name == "evaluation-32x32-validation"
    with pytest.raises(UnknownNameError, match="Did you mean 'validation'"):
        evaluate(watched_run, phantom_cache, part="validaton")
    for model in (tiny_run, load_segmenter(tiny_bundle)):
        with pytest.raises(UsageError, match="there is no validation part"):
            evaluate(model, phantom_cache, part="validation")
