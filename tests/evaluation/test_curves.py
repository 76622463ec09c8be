"""The plots are PNG files, also for a run without a validation part."""

import numpy as np
from PIL import Image as PilImage

from suraksha.evaluation.curves import draw_curves, draw_reliability, draw_rule_fit
from suraksha.evaluation.fit_postprocessing import Case, fit_postprocessing


def test_curves_are_drawn_and_differ(tmp_path):
    watched = [
        {"epoch": n, **{f"{p}_{k}": 1 / n for p in ("train", "validation") for k in KEYS}}
        for n in (1.0, 2.0, 3.0)
    ]
    alone = [{k: v for k, v in row.items() if "validation" not in k} for row in watched]
    pixels = []
    for name, rows in (("a", watched), ("b", alone)):
        draw_curves(rows, tmp_path / f"{name}.png", title="a run")
        with PilImage.open(tmp_path / f"{name}.png") as image:
            pixels.append(np.asarray(image.convert("L")))
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "b.png"}
    assert pixels[0].std() > 5
    assert (pixels[0] != pixels[1]).any()


KEYS = ("loss", "accuracy", "dice")


def test_the_rule_fit_is_drawn_with_and_without_normals(tmp_path):
    rng = np.random.default_rng(0)
    cases = []
    for number in range(12):
        probability = np.full((16, 16), 0.1, np.float32)
        probability[4:10, 4:10] = rng.uniform(0.55, 1)
        truth = probability > 0.5 if number < 8 else np.zeros((16, 16), bool)
        cases.append(Case(probability, truth))
    pixels = []
    for name, chosen in (("both", cases), ("lesions", cases[:8])):
        fit = fit_postprocessing(chosen)
        path = tmp_path / f"{name}.png"
        draw_rule_fit(fit.to_dict(), path, rule=fit.rule, title="a run")
        with PilImage.open(tmp_path / f"{name}.png") as image:
            pixels.append(np.asarray(image.convert("L")))
    assert {p.name for p in tmp_path.iterdir()} == {"both.png", "lesions.png"}
    assert pixels[0].std() > 5
    assert (pixels[0] != pixels[1]).any()


def test_reliability_is_drawn_with_and_without_lesions(tmp_path):
    pixels = [
        {"low": n / 10, "high": (n + 1) / 10, "mean_probability": n / 10 + 0.05,
         "observed": None if n == 3 else n / 11, "fraction": 0.1}
        for n in range(10)
    ]  # fmt: skip
    lesions = [{"low": 0.8, "high": 1.0, "mean_confidence": 0.95, "observed": 0.9, "lesions": 40}]
    sizes = []
    for name, more in (("pixels", []), ("both", lesions)):
        draw_reliability(
            {"pixels": 1234, "bins": pixels}, tmp_path / f"{name}.png", title="test", lesions=more
        )
        with PilImage.open(tmp_path / f"{name}.png") as image:
            sizes.append(image.size)
            assert np.asarray(image.convert("L")).std() > 5
    assert sizes[1][0] == 2 * sizes[0][0]
