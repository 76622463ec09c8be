"""The arithmetic of published tables, against tables made from counted pixels."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suraksha.cli.app import main
from suraksha.errors import DataError
from suraksha.paper.arithmetic import check_published, check_text, lesion_fraction
from suraksha.paper.published import TABLE_2, PublishedRow, read_table


def counted(name, tp, fp, fn, tn, *, decimals=None):
    """A row from pixels that were counted."""
    figures = {
        "accuracy": (tp + tn) / (tp + fp + fn + tn),
        "iou": tp / (tp + fp + fn),
        "dice": 2 * tp / (2 * tp + fp + fn),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
    }
    if decimals is not None:
        figures = {key: round(value, decimals) for key, value in figures.items()}
    return PublishedRow(name, **figures)


COUNTS = st.integers(1, 10**6)


@given(tp=COUNTS, fp=COUNTS, fn=COUNTS, tn=COUNTS)
def test_a_table_of_counted_pixels_has_no_contradiction(tp, fp, fn, tn):
    row = counted("a", tp, fp, fn, tn)
    (check,) = check_published([row], decimals=12)
    assert check.contradictions == ()
    assert check.lesion_fraction == pytest.approx((tp + fn) / (tp + fp + fn + tn), rel=1e-6)
    assert check.dice_from_iou == pytest.approx(row.dice)
    assert check.dice_from_precision_recall == pytest.approx(row.dice)


@given(tp=COUNTS, fp=COUNTS, fn=COUNTS, tn=COUNTS, decimals=st.integers(2, 6))
def test_rounding_alone_is_no_contradiction(tp, fp, fn, tn, decimals):
    row = counted("a", tp, fp, fn, tn, decimals=decimals)
    (check,) = check_published([row], decimals=decimals)
    assert check.contradictions == ()


def test_means_over_images_are_caught():
    rng = np.random.default_rng(0)
    images = [counted("x", *rng.integers(1, 3000, 4)) for _ in range(50)]
    names = ("accuracy", "iou", "dice", "precision", "recall")
    means = {name: float(np.mean([getattr(p, name) for p in images])) for name in names}
    (check,) = check_published([PublishedRow("means", **means)])
    dice, iou, both = check.contradictions
    assert dice.startswith(f"Dice {means['dice']:.9f}, but IoU gives")
    assert "precision with recall gives" in iou + both


def test_the_papers_table():
    checks = {check.model: check for check in check_published(TABLE_2)}
    assert len(checks) == 8
    odd = {name: check.contradictions for name, check in checks.items() if check.contradictions}
    assert list(odd) == ["SURAKSHA C2"]
    assert odd["SURAKSHA C2"] == ("IoU 0.3841, but Dice, and precision with recall, give 0.2031",)
    assert all(0.088 < check.lesion_fraction < 0.098 for check in checks.values())
    best = max(TABLE_2, key=lambda row: row.accuracy)
    assert best.model == "SURAKSHA C3"
    assert best.accuracy - checks[best.model].background_accuracy == pytest.approx(0.023, abs=2e-3)


def test_another_test_set_is_caught():
    rows = [counted(f"m{n}", 100, 50 + n, 40, 1000) for n in range(4)]
    odd = counted("odd", 100, 50, 40, 400)
    found = [check.contradictions for check in check_published([*rows, odd])]
    assert found[:4] == [()] * 4
    assert "implies" in found[4][0]


def test_what_is_not_stated_is_not_judged():
    rows = [PublishedRow("dice alone", dice=0.8), PublishedRow("none", precision=0, recall=0)]
    checks = check_published(rows)
    assert [check.contradictions for check in checks] == [(), ()]
    assert math.isnan(lesion_fraction(rows[0]))
    assert json.loads(json.dumps(checks[0].to_dict(), allow_nan=False))["lesion_fraction"] is None
    assert [check.relations for check in checks] == [0, 0]
    assert "Nothing to check" in check_text(rows, checks)
    rows.append(PublishedRow("both", dice=0.8, iou=0.67))
    assert "agree with each other" in check_text(rows, check_published(rows))


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"dice": 0.80, "iou": 0.67}, None),
        ({"dice": 0.8000, "iou": 0.6701}, "Dice 0.8000, but IoU gives 0.8025"),
        (
            {"iou": 0.9, "precision": 0.1, "recall": 0.1},
            "IoU 0.9, but precision with recall gives 0.1",
        ),
        (
            {"dice": 0.62, "iou": 0.45, "precision": 0.9, "recall": 0.1},
            "Dice from precision with recall 0.18, but Dice, and IoU, give 0.62",
        ),
        ({"accuracy": 0.1, "precision": 0.9, "recall": 0.9}, "they imply 450.0 % lesion"),
        ({"accuracy": 0.9, "precision": 0.9, "recall": 0.9}, None),
    ],
)
def test_a_row_is_checked_to_its_stated_decimals(figures, expected):
    (check,) = check_published([PublishedRow("row", **figures)])
    assert len(check.contradictions) == (expected is not None)
    assert all(expected in why for why in check.contradictions)


def test_a_table_is_read_from_csv(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("model,dice,iou\nmine,0.8,0.7\nother,,0.5\n")
    rows = read_table(path)
    assert rows[0] == PublishedRow("mine", dice=0.8, iou=0.7) or math.isnan(rows[0].accuracy)
    assert (rows[0].dice, rows[0].iou, rows[1].iou) == (0.8, 0.7, 0.5)
    assert math.isnan(rows[1].dice)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns are"),
        ("name,dice\na,0.5\n", "columns are"),
        ("model,dcie\na,0.5\n", "columns are"),
        ("model,dice\na,high\n", "could not convert"),
        ("model,dice\na,0.5,0.6\n", "column"),
        ("model,dice\na,80\n", "not percent"),
    ],
)
def test_invalid_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(path)
    with pytest.raises(DataError, match="absent"):
        read_table(tmp_path / "absent.csv")


def test_the_command_checks_the_papers_table_or_another(tmp_path, capsys):
    assert main(["bench", "check-published"]) == 0
    assert "SURAKSHA C2: IoU 0.3841, but Dice, and precision" in capsys.readouterr().out
    path = tmp_path / "table.csv"
    path.write_text("model,dice,iou\nmine,0.80,0.70\nother,0.77,0.63\n")
    assert main(["bench", "check-published", str(path), "--json"]) == 0
    row, other = json.loads(capsys.readouterr().out)
    assert other["contradictions"] == []
    assert row["model"] == "mine"
    assert row["contradictions"] == ["Dice 0.80, but IoU gives 0.82"]
    assert main(["bench", "check-published", str(tmp_path / "absent.csv")]) == 1


def test_the_check_needs_no_torch():
    code = (
        "import sys\n"
        "from suraksha.paper.arithmetic import check_published, check_text\n"
        "from suraksha.paper.published import TABLE_2\n"
        "assert check_text(TABLE_2, check_published(TABLE_2))\n"
        "print(sorted({'torch', 'lightning', 'monai', 'kornia'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_needs_no_torch():
    code = (
        "import sys\n"
        "from suraksha.cli.app import main\n"
        "assert main(['bench', 'check-published']) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
