"""A run keeps what its validation part gave: the presence rule, and no rule without one."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.datasets.cache import open_cache
from suraksha.datasets.samples import read_samples
from suraksha.errors import TrainError, UnknownNameError, UsageError
from suraksha.evaluation import predict
from suraksha.evaluation.evaluate import evaluate, network_predictor
from suraksha.evaluation.export import export
from suraksha.evaluation.fit_calibration import temperature_scaled_level
from suraksha.evaluation.run_validation import write_fits
from suraksha.evaluation.summaries import write_evaluation
from suraksha.inference.bundle import read_bundle
from suraksha.inference.postprocessing import PostProcessing
from suraksha.inference.segmenter import load_segmenter
from suraksha.runs.fits import RunPostProcessing
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
    predict = network_predictor(watched_run.network(), watched_run.config.data.preparation)
    samples = read_samples(phantom_cache, watched_run.split.test)
    maps = [predict(sample.image).probability for sample in samples]
    threshold = float(np.median(np.stack(maps)))
    peak = float(np.median([probability.max() for probability in maps]))
    return replace(
        watched_run,
        postprocessing=RunPostProcessing(threshold, PostProcessing(peak), {"note": "by hand"}),
    )


def test_the_rule_is_fitted_on_the_validation_part(watched_run, phantom_cache):
    assert watched_run.split.validation
    table = json.loads((watched_run.folder / "postprocessing.json").read_text())
    postprocessing = watched_run.postprocessing
    assert table == {
        "threshold": postprocessing.threshold,
        "min_peak": postprocessing.rule.min_peak,
        "min_area_fraction": postprocessing.rule.min_area_fraction,
        "min_image_probability": 0.0,
        "fit": postprocessing.fit,
    }
    labels = {item.name: item.normal for item in open_cache(phantom_cache).items}
    assert postprocessing.fit["images"] == len(watched_run.split.validation)
    assert postprocessing.fit["normals"] == sum(labels[n] for n in watched_run.split.validation)
    assert postprocessing.fit["part"] == "validation part of clean fold=0"
    assert (postprocessing.fit["dataset"], postprocessing.fit["grid"]) == ("synthetic", "32x32")
    with PilImage.open(watched_run.folder / "postprocessing.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


def test_batches_give_what_single_images_give(watched_run, phantom_cache, monkeypatch):
    monkeypatch.setattr(predict, "BATCH", 4)
    network, preparation = watched_run.network(), watched_run.config.data.preparation
    names = [item.name for item in open_cache(phantom_cache).items][:9]
    maps = list(
        predict.probabilities(
            network, open_cache(phantom_cache), names=names, preparation=preparation
        )
    )
    single = network_predictor(network, preparation)
    for found, sample in zip(maps, read_samples(phantom_cache, names), strict=True):
        np.testing.assert_allclose(found, single(sample.image).probability, atol=1e-5)


def test_a_run_killed_in_the_fit_is_fitted_again(
    watched_config, watched_run, phantom_cache, tmp_path, monkeypatch
):
    def killed(run, cache):
        raise KeyboardInterrupt

    monkeypatch.setattr("suraksha.training.fit.write_fits", killed)
    with pytest.raises(KeyboardInterrupt):
        train(watched_config, phantom_cache, out=tmp_path, progress=False)
    run = open_run(tmp_path / watched_config.run_name)
    assert (run.finished, run.postprocessing) == (None, RunPostProcessing())
    monkeypatch.setattr("suraksha.training.fit.write_fits", write_fits)
    again = train(watched_config, phantom_cache, out=tmp_path, progress=False)
    assert again.finished["epochs"] == 1
    assert again.postprocessing.rule == watched_run.postprocessing.rule
    assert again.postprocessing.fit["images"] == watched_run.postprocessing.fit["images"]


def test_without_a_validation_part_there_is_no_rule(watched_run, phantom_cache, tmp_path):
    split = watched_run.split
    whole = replace(split, train=split.train + split.validation, validation=())
    write_fits(replace(watched_run, split=whole, folder=tmp_path), open_cache(phantom_cache))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_rule_is_said_to_be_damaged(watched_run, tmp_path):
    for name in ("config.toml", "split.json", "finished.json"):
        (tmp_path / name).write_bytes((watched_run.folder / name).read_bytes())
    assert open_run(tmp_path).postprocessing == RunPostProcessing()
    (tmp_path / "postprocessing.json").write_bytes(b"\xff nothing")
    with pytest.raises(TrainError, match="is damaged"):
        open_run(tmp_path)


def test_run_and_bundle_score_with_the_rule_and_show_its_cost(ruled_run, phantom_cache, tmp_path):
    card = export(ruled_run, tmp_path / "ruled.busi", data=phantom_cache)
    assert read_bundle(tmp_path / "ruled.busi").card == card
    temperature, own = card.confidence_calibration.temperature, ruled_run.postprocessing
    assert card.threshold == temperature_scaled_level(own.threshold, temperature)
    assert card.postprocessing == replace(
        own.rule, min_peak=temperature_scaled_level(own.rule.min_peak, temperature)
    )
    assert card.postprocessing_fit == {"note": "by hand"}
    run = evaluate(ruled_run, phantom_cache)
    bundle = evaluate(load_segmenter(tmp_path / "ruled.busi"), phantom_cache)
    assert run.facts["postprocessing"] == {
        "min_peak": own.rule.min_peak,
        "min_area_fraction": 0.0,
        "min_image_probability": 0.0,
    }
    assert bundle.facts["postprocessing"]["min_peak"] == card.postprocessing.min_peak
    tables = run.to_dict()["models"]
    assert list(tables) == [
        "suraksha",
        "suraksha, no presence rule",
        "all background",
        "mean mask",
    ]
    assert tables["suraksha"] != tables["suraksha, no presence rule"]
    for part, stated in card.metrics.items():
        now = bundle.to_dict()["models"]["ruled"][part]["pooled"]["dice"]["value"]
        assert stated["pooled"]["dice"]["value"] == pytest.approx(now, abs=1e-3)


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
