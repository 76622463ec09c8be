"""The classification head, from the training to the bundle."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from suraksha.datasets.cache import open_cache
from suraksha.datasets.samples import read_samples
from suraksha.errors import TrainError
from suraksha.evaluation.evaluate import evaluate, run_segmenter
from suraksha.evaluation.export import export
from suraksha.evaluation.fit_postprocessing import fit_postprocessing
from suraksha.evaluation.fit_run import fit_run
from suraksha.evaluation.summaries import write_evaluation
from suraksha.inference.bundle import read_bundle
from suraksha.inference.engines import create_engine
from suraksha.inference.postprocessing import PostProcessing, PostProcessingSettings
from suraksha.inference.segmenter import load_segmenter
from suraksha.networks.outputs import AllOutputs, class_logits_count, outputs_of
from suraksha.networks.zoo import create_model
from suraksha.runs.config import ModelConfig
from suraksha.runs.fits import RunFits
from suraksha.training.fit import check_classes, train

NAMES = ("benign", "malignant", "normal")
QUESTIONS = [*(f"{n} vs rest" for n in NAMES), "lesion vs normal", "malignant vs benign"]


@pytest.fixture(scope="module")
def class_config(tiny_config):
    return replace(
        tiny_config,
        model=ModelConfig("suraksha-lite", {"width": 4, "classes": 3}),
        data=replace(tiny_config.data, protocol="clean", validation_fraction=0.4),
        optim=replace(tiny_config.optim, epochs=1),
        loss=replace(tiny_config.loss, classes=0.5),
    )


@pytest.fixture(scope="module")
def class_run(class_config, phantom_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("classes")
    return train(class_config, phantom_cache, out=out, progress=False)


@pytest.fixture(scope="module")
def class_bundle(class_run, phantom_cache, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "classes.busi"
    export(class_run, path, data=phantom_cache)
    return path


def logits_of(run, images):
    """(N, classes) by torch, straight from the network."""
    from suraksha.preprocessing import prepare

    preparation = run.config.data.preparation
    batch = torch.from_numpy(np.concatenate([prepare(image, preparation) for image in images]))
    with torch.inference_mode():
        return run.network().run(batch)[1].numpy()


def test_the_class_temperature_is_fitted_on_the_validation_part(class_run, phantom_cache):
    settings, names = class_run.fits.settings, class_run.split.validation
    facts = class_run.fits.facts["classes"]
    assert (settings.classes, settings.normal_classes) == (NAMES, ("normal",))
    assert facts["images"] == len(names) == class_run.fits.facts["postprocessing"]["images"]
    assert facts["part"] == "validation part of clean fold=0"
    assert facts["nll_after"] <= facts["nll_before"]
    samples = read_samples(phantom_cache, names)
    logits = logits_of(class_run, [s.image for s in samples]).astype(float)
    labels = [NAMES.index(s.item.label) for s in samples]
    for key, temperature in (("nll_before", 1.0), ("nll_after", settings.class_temperature)):
        probabilities = softmax(logits / temperature, axis=1)[range(len(labels)), labels]
        assert facts[key] == pytest.approx(-np.log(probabilities).mean(), abs=1e-4)


def test_without_a_validation_part_the_record_says_so(class_run, phantom_cache):
    split = class_run.split
    whole = replace(split, train=split.train + split.validation, validation=())
    base = PostProcessingSettings(classes=NAMES, normal_classes=("normal",))
    fits = fit_run(replace(class_run, split=whole), phantom_cache, base=base)
    assert fits.settings == base
    assert fits.facts == {"part": "none: the split has no validation part", "images": 0}


def test_the_card_has_the_classes_and_their_scores(class_run, class_bundle):
    card = read_bundle(class_bundle).card
    assert (card.classes, card.class_temperature) == (
        NAMES,
        class_run.fits.settings.class_temperature,
    )
    assert card.normal_classes == ("normal",)
    assert card.class_metrics["calibration"] == class_run.fits.facts["classes"]
    assert list(card.class_metrics["auc"]) == QUESTIONS
    assert card.class_metrics["images"] == len(class_run.split.test)
    assert max(card.parity.values()) <= 1e-4


def test_the_engine_gives_both_outputs(class_run, class_bundle, phantom_cache):
    engine = create_engine("onnxruntime", read_bundle(class_bundle).model, threads=1)
    batch = np.random.default_rng(0).normal(size=(3, 1, 64, 96)).astype(np.float32)
    answer, network = engine.run(batch), class_run.network()
    with torch.inference_mode():
        mask, classes = outputs_of(network, torch.from_numpy(batch))
        alone = network(torch.from_numpy(batch))
    np.testing.assert_allclose(answer.mask, mask.numpy(), atol=1e-3)
    np.testing.assert_allclose(answer.classes, classes.numpy(), atol=1e-3)
    assert torch.equal(mask, alone)


def test_the_segmenter_predicts_what_torch_predicts(class_run, class_bundle, phantom_root):
    segment = load_segmenter(class_bundle, threads=1)
    for sample in read_samples(phantom_root, class_run.split.test[:3]):
        classes = segment(sample.image).classes
        assert list(classes) == list(NAMES)
        assert sum(classes.values()) == pytest.approx(1)
        logits = logits_of(class_run, [sample.image])[0].astype(float)
        expected = softmax(logits / class_run.fits.settings.class_temperature)
        np.testing.assert_allclose(list(classes.values()), expected, atol=1e-4)
        assert segment.predict(sample.image).classes == classes
        assert segment.predict(sample.image).lesion_probability == pytest.approx(
            1 - classes["normal"]
        )


def test_run_and_bundle_score_the_classes_alike(class_run, class_bundle, phantom_cache, tmp_path):
    run = evaluate(class_run, phantom_cache)
    bundle = evaluate(load_segmenter(class_bundle), phantom_cache)
    assert run.classes.names == bundle.classes.names == NAMES
    assert run.classes.confusion == bundle.classes.confusion
    assert run.classes.brier.value == pytest.approx(bundle.classes.brier.value, abs=1e-3)
    written = write_evaluation(run, tmp_path)
    record = json.loads(written.record)
    assert list(record["classes"]["auc"]) == QUESTIONS
    assert "decision support, research use only" in written.text
    assert "malignant vs benign" in written.text


def test_a_run_without_a_head_has_no_classes(tiny_run, tiny_bundle, phantom_cache, tmp_path):
    assert tiny_run.fits.settings.classes == ()
    card = read_bundle(tiny_bundle).card
    assert (card.classes, card.class_temperature, card.class_metrics) == ((), 1.0, {})
    found = evaluate(tiny_run, phantom_cache)
    assert found.classes is None
    written = write_evaluation(found, tmp_path)
    assert "classes" not in json.loads(written.record)
    assert "decision support" not in written.text


@pytest.mark.parametrize(
    ("name", "options", "weight", "message"),
    [
        ("suraksha", {"width": 4}, 0.5, "this suraksha\\S* has none"),
        ("suraksha-lite", {"width": 4}, 0.5, "this suraksha\\S* has none"),
        (
            "suraksha-lite",
            {"width": 4, "classes": 3},
            0.0,
            "a classification head of 3 classes",
        ),
        ("suraksha-lite", {"width": 4, "classes": 4}, 0.5, "benign, malignant, normal"),
    ],
)
def test_a_head_that_does_not_match_is_refused(
    class_config, phantom_cache, tmp_path, name, options, weight, message
):
    config = replace(
        class_config,
        model=ModelConfig(name, options),
        loss=replace(class_config.loss, classes=weight),
    )
    with pytest.raises(TrainError, match=message):
        train(config, phantom_cache, out=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_matches_is_accepted(class_config, tiny_config, phantom_cache):
    cache = open_cache(phantom_cache)
    check_classes(class_config, cache)
    check_classes(tiny_config, cache)
    assert (class_config.classes, tiny_config.classes) == (3, 0)


def test_names_of_the_outputs():
    gates = [f"attention_skip{level}" for level in (4, 3, 2, 1)]
    for classes, names in ((0, ["logits"]), (2, ["logits", "classes"])):
        options = {"width": 4, "classes": classes, "bottleneck_attention": False}
        network = create_model("suraksha-lite", options=options).eval()
        assert class_logits_count(network) == classes
        whole = AllOutputs(network)
        assert list(whole.names) == names + gates
        assert len(whole(torch.zeros(1, 1, 32, 32))) == len(names) + 4
    assert class_logits_count(create_model("suraksha", options={"width": 4})) == 0


def test_the_rule_uses_the_classification_head(class_run, phantom_cache):
    """A rule that no image meets empties every mask of the run and of its bundle alike."""
    sample = read_samples(phantom_cache, class_run.split.test)[0]
    strict = replace(
        class_run.fits.settings, threshold=0.01, postprocessing=PostProcessing(0, 0, 1.0)
    )
    ruled = replace(class_run, fits=RunFits(strict))
    found = evaluate(ruled, phantom_cache)
    name = found.rows[0].model
    bare = found.summary(f"{name}, threshold alone", "lesion")
    assert found.summary(name, "lesion").mean["recall"].value == 0 < bare.mean["recall"].value
    segmentation = run_segmenter(ruled)(sample.image)
    assert not segmentation.mask.any()
    assert segmentation.prediction.probability.max() >= 0.01
    assert segmentation.unmarked_probability == segmentation.prediction.lesion_probability


def test_the_rule_is_fitted_with_calibrated_class_probabilities(
    class_run, phantom_cache, monkeypatch
):
    fitted_on = []

    def spy(cases, **options):
        fitted_on.extend(cases)
        return fit_postprocessing(fitted_on, **options)

    monkeypatch.setattr("suraksha.evaluation.fit_run.fit_postprocessing", spy)
    fits = fit_run(class_run, phantom_cache, base=class_run.fits.settings)
    samples = read_samples(phantom_cache, class_run.split.validation)
    logits = logits_of(class_run, [s.image for s in samples]).astype(float)
    probabilities = softmax(logits / fits.settings.class_temperature, axis=1)
    expected = 1 - probabilities[:, NAMES.index("normal")]
    found = [case.lesion_probability for case in fitted_on]
    np.testing.assert_allclose(found, expected, atol=1e-5)
