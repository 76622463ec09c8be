"""The classes of a network, from the training to the bundle."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from suraksha.datasets.cache import open_cache
from suraksha.datasets.samples import read_samples
from suraksha.errors import TrainError
from suraksha.evaluation.evaluate import evaluate
from suraksha.evaluation.export import export
from suraksha.evaluation.fit_postprocessing import fit_postprocessing
from suraksha.evaluation.run_validation import write_fits
from suraksha.evaluation.summaries import write_evaluation
from suraksha.inference.bundle import read_bundle
from suraksha.inference.engines import create_engine
from suraksha.inference.postprocessing import PostProcessing
from suraksha.inference.segmenter import load_segmenter
from suraksha.networks.outputs import AllOutputs, class_logits_count, outputs_of
from suraksha.networks.zoo import create_model
from suraksha.runs.config import ModelConfig
from suraksha.runs.fits import RunClasses
from suraksha.runs.folder import open_run
from suraksha.training.fit import check_classes, train

NAMES = ("benign", "malignant", "normal")
QUESTIONS = [*(f"{n} vs rest" for n in NAMES), "lesion vs normal", "malignant vs benign"]


@pytest.fixture(scope="module")
def telling_config(tiny_config):
    return replace(
        tiny_config,
        model=ModelConfig("suraksha-lite", {"width": 4, "classes": 3}),
        data=replace(tiny_config.data, protocol="clean", validation_fraction=0.4),
        optim=replace(tiny_config.optim, epochs=1),
        loss=replace(tiny_config.loss, classes=0.5),
    )


@pytest.fixture(scope="module")
def telling_run(telling_config, phantom_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("telling")
    return train(telling_config, phantom_cache, out=out, progress=False)


@pytest.fixture(scope="module")
def telling_bundle(telling_run, phantom_cache, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "telling.busi"
    export(telling_run, path, data=phantom_cache)
    return path


def logits_of(run, images):
    """(N, classes) by torch, straight from the network."""
    from suraksha.preprocessing import prepare

    preparation = run.config.data.preparation
    batch = torch.from_numpy(np.concatenate([prepare(image, preparation) for image in images]))
    with torch.inference_mode():
        return run.network().run(batch)[1].numpy()


def test_the_temperature_is_fitted_on_the_validation_part(telling_run, phantom_cache):
    classes, names = telling_run.classes, telling_run.split.validation
    assert classes.names == NAMES
    assert json.loads((telling_run.folder / "classes.json").read_text()) == {
        "names": list(NAMES),
        "temperature": classes.temperature,
        "normal": ["normal"],
        "fit": classes.fit,
    }
    assert classes.fit["images"] == len(names) == telling_run.postprocessing.fit["images"]
    assert classes.fit["part"] == "validation part of clean fold=0"
    assert classes.fit["nll_after"] <= classes.fit["nll_before"]
    samples = read_samples(phantom_cache, names)
    logits = logits_of(telling_run, [s.image for s in samples]).astype(float)
    labels = [NAMES.index(s.item.label) for s in samples]
    for key, temperature in (("nll_before", 1.0), ("nll_after", classes.temperature)):
        told = softmax(logits / temperature, axis=1)[range(len(labels)), labels]
        assert classes.fit[key] == pytest.approx(-np.log(told).mean(), abs=1e-4)


def test_without_a_validation_part_the_record_says_so(telling_run, phantom_cache, tmp_path):
    split = telling_run.split
    whole = replace(split, train=split.train + split.validation, validation=())
    write_fits(replace(telling_run, split=whole, folder=tmp_path), open_cache(phantom_cache))
    assert json.loads((tmp_path / "classes.json").read_text()) == {
        "names": list(NAMES),
        "temperature": 1.0,
        "normal": ["normal"],
        "fit": {"part": "none: the split has no validation part", "images": 0},
    }
    assert not (tmp_path / "postprocessing.json").exists()


def test_the_card_tells_the_classes(telling_run, telling_bundle):
    card = read_bundle(telling_bundle).card
    assert (card.classes, card.class_temperature) == (NAMES, telling_run.classes.temperature)
    assert card.normal_classes == ("normal",)
    assert card.class_metrics["calibration"] == telling_run.classes.fit
    assert list(card.class_metrics["auc"]) == QUESTIONS
    assert card.class_metrics["images"] == len(telling_run.split.test)
    assert max(card.parity.values()) <= 1e-4


def test_the_engine_gives_both_outputs(telling_run, telling_bundle, phantom_cache):
    engine = create_engine("onnxruntime", read_bundle(telling_bundle).model, threads=1)
    batch = np.random.default_rng(0).normal(size=(3, 1, 64, 96)).astype(np.float32)
    answer, network = engine.run(batch), telling_run.network()
    with torch.inference_mode():
        mask, classes = outputs_of(network, torch.from_numpy(batch))
        alone = network(torch.from_numpy(batch))
    np.testing.assert_allclose(answer.mask, mask.numpy(), atol=1e-3)
    np.testing.assert_allclose(answer.classes, classes.numpy(), atol=1e-3)
    assert torch.equal(mask, alone)


def test_the_segmenter_tells_what_torch_tells(telling_run, telling_bundle, phantom_root):
    segment = load_segmenter(telling_bundle, threads=1)
    for sample in read_samples(phantom_root, telling_run.split.test[:3]):
        told = segment(sample.image).classes
        assert list(told) == list(NAMES)
        assert sum(told.values()) == pytest.approx(1)
        logits = logits_of(telling_run, [sample.image])[0].astype(float)
        expected = softmax(logits / telling_run.classes.temperature)
        np.testing.assert_allclose(list(told.values()), expected, atol=1e-4)
        assert segment.predict(sample.image).classes == told
        assert segment.predict(sample.image).lesion_probability == pytest.approx(1 - told["normal"])


def test_run_and_bundle_score_the_classes_alike(
    telling_run, telling_bundle, phantom_cache, tmp_path
):
    run = evaluate(telling_run, phantom_cache)
    bundle = evaluate(load_segmenter(telling_bundle), phantom_cache)
    assert run.classes.names == bundle.classes.names == NAMES
    assert run.classes.confusion == bundle.classes.confusion
    assert run.classes.brier.value == pytest.approx(bundle.classes.brier.value, abs=1e-3)
    written = write_evaluation(run, tmp_path)
    record = json.loads(written.record)
    assert list(record["classes"]["auc"]) == QUESTIONS
    assert "decision support, research use only" in written.text
    assert "malignant vs benign" in written.text


def test_a_run_without_classes_tells_none(tiny_run, tiny_bundle, phantom_cache, tmp_path):
    assert tiny_run.classes is None
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
        ("suraksha", {"width": 4}, 0.5, "tells none"),
        ("suraksha-lite", {"width": 4}, 0.5, "tells none"),
        ("suraksha-lite", {"width": 4, "classes": 3}, 0.0, "tells 3 classes"),
        ("suraksha-lite", {"width": 4, "classes": 4}, 0.5, "benign, malignant, normal"),
    ],
)
def test_a_second_output_that_does_not_fit_is_refused(
    telling_config, phantom_cache, tmp_path, name, options, weight, message
):
    config = replace(
        telling_config,
        model=ModelConfig(name, options),
        loss=replace(telling_config.loss, classes=weight),
    )
    with pytest.raises(TrainError, match=message):
        train(config, phantom_cache, out=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_what_fits_is_not_refused(telling_config, tiny_config, phantom_cache):
    cache = open_cache(phantom_cache)
    check_classes(telling_config, cache)
    check_classes(tiny_config, cache)
    assert (telling_config.classes, tiny_config.classes) == (3, 0)


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


def test_damaged_classes_are_said_to_be_damaged(telling_run, tmp_path):
    for path in telling_run.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert isinstance(open_run(tmp_path).classes, RunClasses)
    (tmp_path / "classes.json").write_bytes(b"{}")
    with pytest.raises(TrainError, match="is damaged"):
        open_run(tmp_path)


def test_the_presence_rule_asks_the_second_output(telling_run, phantom_cache, tmp_path):
    """A rule that no image meets empties every mask of the run and of its bundle alike."""
    samples = read_samples(phantom_cache, telling_run.split.test)
    postprocessing = replace(
        telling_run.postprocessing, threshold=0.01, rule=PostProcessing(min_image_probability=1.0)
    )
    ruled = replace(telling_run, postprocessing=postprocessing)
    card = export(ruled, tmp_path / "strict.busi", data=phantom_cache)
    assert card.postprocessing == PostProcessing(0, 0, 1.0)
    segment = load_segmenter(tmp_path / "strict.busi", threads=1)
    for found in (evaluate(ruled, phantom_cache), evaluate(segment, phantom_cache)):
        name = found.rows[0].model
        bare = f"{name}, no presence rule"
        parts = {row.model: row.summary for row in found.rows if row.part == "lesion"}
        assert parts[name].mean["recall"].value == 0 < parts[bare].mean["recall"].value
    assert not segment(samples[0].image).mask.any()
    assert segment(samples[0].image).probability.max() >= 0.01


def test_the_fit_is_given_the_calibrated_probability(telling_run, phantom_cache, monkeypatch):
    seen = []

    def spy(cases, **options):
        seen.extend(cases)
        return fit_postprocessing(seen, **options)

    monkeypatch.setattr("suraksha.evaluation.run_validation.fit_postprocessing", spy)
    write_fits(telling_run, open_cache(phantom_cache))
    samples = read_samples(phantom_cache, telling_run.split.validation)
    logits = logits_of(telling_run, [s.image for s in samples]).astype(float)
    told = softmax(logits / telling_run.classes.temperature, axis=1)
    expected = 1 - told[:, NAMES.index("normal")]
    np.testing.assert_allclose([case.lesion for case in seen], expected, atol=1e-5)
