"""What the rows of a table are, and what they are called."""

from dataclasses import replace

from suraksha.bench.contenders import contenders
from suraksha.bench.plan import Cell, plan_from_dict
from suraksha.bench.report import Scored


def cells(tmp_path, **runs):
    """The cells of a plan of `[[models]]` lines on `strong`."""
    table = {"name": "x", "runs": [{"recipe": "strong", "protocol": "clean", "numbers": [0]}]}
    return plan_from_dict({**table, **runs}, tmp_path).cells


def labels(found):
    scored = [Scored(cell, {}, {}, ()) for cell in found]
    return [one.label for one in contenders(found, scored)]


def test_names_are_as_short_as_they_can_be(tmp_path):
    models = [{"name": "suraksha", "size": size, "options": {"width": 8}} for size in (32, 64, 128)]
    models += [{"name": "unet", "size": 64}, {"name": "unet", "size": 32}]
    found = cells(tmp_path, models=models)
    assert labels(found) == [
        *("SURAKSHA C1", "SURAKSHA C2", "SURAKSHA C3"),
        *("UNet 64 px", "UNet 32 px"),
    ]


def test_what_differs_in_anything_but_the_split_is_another_row(tmp_path):
    models = [{"name": "suraksha-lite", "pretrained": pretrained} for pretrained in (False, True)]
    found = cells(tmp_path, models=models)
    assert labels(found) == [
        "suraksha-lite 64 px, pretrained False",
        "suraksha-lite 64 px, pretrained True",
    ]
    first = found[0]
    longer = replace(first.config, optim=replace(first.config.optim, epochs=7))
    other = replace(first.config, seed=3, data=replace(first.config.data, number=4))
    assert labels([first, Cell(longer), Cell(other)]) == [
        f"suraksha-lite 64 px, epochs {first.config.optim.epochs}",
        "suraksha-lite 64 px, epochs 7",
    ]


def test_a_row_knows_how_many_runs_it_is_to_have(tmp_path):
    runs = [{"recipe": "strong", "protocol": "paper", "numbers": [0, 1, 2]}]
    found = cells(tmp_path, runs=runs)
    (one,) = contenders(found, [Scored(found[0], {}, {}, ())])
    assert (len(one.runs["paper"]), one.planned) == (1, {"paper": 3})
