"""Plans of tiny recipes, and a fake training that only counts its calls."""

import json

import numpy as np
import pytest
import tomli_w

from suraksha.datasets.split_file import Split
from suraksha.errors import TrainError
from suraksha.evaluation.evaluate import Evaluation, Row
from suraksha.files import write_text
from suraksha.metrics.image import score_image
from suraksha.metrics.summary import batch_pooled, summarise
from suraksha.runs.folder import open_run, start_run, training_facts


@pytest.fixture
def write_plan(tmp_path, tiny_config):
    """Write a plan beside the recipe ``tiny.toml``; its path."""
    tables = tiny_config.to_dict()
    del tables["name"]
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(tables))

    def write(text, name="plan.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def lesion(pixels):
    mask = np.zeros(64, dtype=bool)
    mask[:pixels] = True
    return mask.reshape(8, 8)


def image(name, predicted, true, *, group=None):
    """Prediction within truth, or the other way round, so that Dice = 2 min / sum."""
    return score_image(
        lesion(predicted),
        lesion(true),
        name=name,
        label="benign" if true else "normal",
        group=group,
    )


@pytest.fixture
def make_image():
    return image


SCORES = (image("a", 16, 16), image("b", 4, 12), image("n", 3, 0))


class Counted:
    """A fake of training and scoring that counts its calls."""

    def __init__(self):
        self.trained, self.scored = [], []
        self.fails = {}

    def train(self, config, data, *, out, lists, progress):
        split = Split(
            "clean", "fold=0", ("t",), (), ("a", "b", "n"), dict.fromkeys("tabn", "0" * 64)
        )
        run = start_run(out, config, split=split)
        if run.finished is None:
            if error := self.fails.get(config.data.split):
                raise error
            self.trained.append(config.data.split)
            done = {"seconds": 60.0, "epochs": 1, "device": "none"}
            write_text(run.folder / "finished.json", json.dumps(done))
        return open_run(run.folder)

    def evaluate(self, run, data, *, part, progress):
        grid = "32x32" if data.name == "cache" else "native"
        if error := self.fails.get(grid):
            raise error
        self.scored.append((run.config.data.split, grid))
        facts = {
            **training_facts(run),
            "run": run.folder.name,
            "parameters": 10,
            "macs": 100,
            "scored_dataset": "synthetic",
            "grid": grid,
            "scored_part": part,
        }
        lesions = SCORES[:2]
        parts = {"lesion": lesions, "consistent": lesions, "normal": SCORES[2:]}
        rows = [
            Row(run.config.model.name, part, summarise(scores, resamples=10))
            for part, scores in parts.items()
        ]
        return Evaluation(facts, tuple(rows), batch_pooled(lesions), SCORES)


@pytest.fixture
def counted(monkeypatch, tmp_path):
    from suraksha.experiments import execution as run

    class Cache:
        folder = tmp_path / "cache"

    fake = Counted()
    fake.packed = []
    monkeypatch.setattr(run, "train", fake.train)
    monkeypatch.setattr(run, "evaluate", fake.evaluate)
    monkeypatch.setattr(
        run, "cache_for", lambda config, *_, **__: fake.packed.append(config.data.size) or Cache
    )
    fake.error = TrainError("it failed", "a test asked for it", "Do nothing")
    return fake
