"""Each sentence on the paper's claims, with figures that bear it out and figures that do not."""

from dataclasses import replace

import pytest

from suraksha.metrics.bootstrap import Estimate
from suraksha.paper.claims import Evidence, Figures, sentences
from suraksha.paper.published import TABLE_2

BASELINES = ("UNet", "UNet++", "SegNet", "RefineNet", "FCN")
PATCHES = ("SURAKSHA C1", "SURAKSHA C2")
C3 = "SURAKSHA C3"
# what the paper's sentences need to be true: its Table 2, but for UNet++, which it calls slower
AS_CLAIMED = Evidence(
    C3,
    BASELINES,
    PATCHES,
    {
        row.model: Figures(
            row.accuracy,
            row.iou,
            row.dice,
            800.0 if row.model == "UNet++" else row.seconds,
            gmacs=1.0 if row.model == C3 else 2.0,
            start=0.5 if row.model.startswith("SURAKSHA") else 0.8,
            training=row.training_accuracy,
        )
        for row in TABLE_2
    },
    {label: Estimate(0.05, 0.01, 0.09) for label in BASELINES}
    | {label: Estimate(0.01, -0.02, 0.04) for label in PATCHES},
    0.9056,
)


def changed(label, **figures):
    found = {**AS_CLAIMED.figures, label: replace(AS_CLAIMED.figures[label], **figures)}
    return replace(AS_CLAIMED, figures=found)


def the(evidence, part):
    (one,) = [text for text in sentences(evidence) if part in text]
    return one


def test_figures_as_claimed_bear_every_sentence_out():
    judged = sentences(AS_CLAIMED)
    assert sum("it holds here" in text or "it holds that" in text for text in judged) == 12
    assert not any("does not hold" in text or "holds for" in text for text in judged)
    assert "(+0.140 % to +11.083 %)" in the(AS_CLAIMED, "0.139 %")
    assert "better than UNet, UNet++, SegNet, RefineNet, FCN." in the(AS_CLAIMED, "By Dice per")


@pytest.mark.parametrize(
    ("evidence", "part", "said"),
    [
        (changed("SegNet", accuracy=0.95), "highest accuracy", "best other, SegNet, 0.9500"),
        (changed("SURAKSHA C2", dice=0.7), "highest Dice", "best other, SURAKSHA C2, 0.7000"),
        (changed("FCN", iou=0.5), "highest IoU", "it does not hold"),
        (changed("UNet", accuracy=0.94), "0.139 %", "it does not hold"),
        (changed(C3, accuracy=0.92), "92.22 %", "it does not hold here (92.00 %)"),
        (changed("UNet", accuracy=0.92), "first three", "it does not hold"),
        (changed("UNet", seconds=600.0), "less time", "it holds for 1 of 2"),
        (changed("FCN", seconds=700.0), "more time", "it holds for 2 of 3"),
        (changed(C3, gmacs=3.0), "cheaper", "it does not hold here"),
        (changed("SURAKSHA C1", start=0.9), "starts from", "it does not hold"),
        (changed("FCN", start=0.4), "starts from", "it holds for 4 of 5"),
        (changed("FCN", training=0.9), "overfit", "it holds for 1 of 2"),
    ],
)
def test_figures_that_speak_against_a_claim(evidence, part, said):
    told = the(evidence, part)
    assert said in told
    assert "it holds here" not in told


def test_the_images_tell_who_is_better_and_whether_patches_matter():
    gaps = {**AS_CLAIMED.gaps, "UNet": Estimate(-0.05, -0.09, -0.01)}
    gaps |= {"FCN": Estimate(0.0, -0.1, 0.1), "SURAKSHA C1": Estimate(0.1, 0.05, 0.15)}
    evidence = replace(AS_CLAIMED, gaps=gaps)
    told = the(evidence, "By Dice per image, 95")
    assert "better than UNet++, SegNet, RefineNet; worse than UNet; not told apart from FCN" in told
    sizes = the(evidence, "Smaller patches")
    assert "it does not hold" in sizes
    assert "SURAKSHA C1 -0.100 (-0.150 to -0.050)" in sizes


def test_what_was_not_run_is_not_judged():
    few = replace(AS_CLAIMED, baselines=("SegNet",), patches=())
    told = " ".join(sentences(few))
    for absent in ("UNet", "RefineNet", "Smaller patches", "first three", "cheaper", "less time"):
        assert absent not in told
