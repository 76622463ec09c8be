import json

import numpy as np
import pytest

from suraksha.datasets.audit import audit
from suraksha.datasets.folds import clean_table
from suraksha.datasets.layouts import find_cases


def kinds(report):
    return [(fault.kind, fault.image) for fault in report.faults]


def test_data_set_without_faults(tree):
    report = audit(tree.root)
    assert report.faults == ()
    assert report.images == 8
    assert report.classes == {"benign": 4, "malignant": 2, "normal": 2}
    assert report.multi_mask == ("benign (10)",)
    assert report.duplicate_groups == (("benign (1)", "benign (2)", "malignant (2)"),)
    assert report.mixed_groups == report.duplicate_groups
    assert report.identical == (("benign (1)", "malignant (2)"),)
    assert report.colour_marked == ("benign (3)",)
    assert (report.distinct_sizes, report.smallest, report.largest) == (2, (60, 50), (70, 80))


def test_lesion_fraction_by_hand(tree):
    two = (tree.disc(centre=(15, 15)) | tree.disc(centre=(40, 60))).mean()
    one = tree.disc().mean()
    malignant = tree.disc((70, 50), (30, 20)).mean()
    benign = [one, tree.disc(radius=8).mean(), one, two]
    report = audit(tree.root)
    assert report.class_fraction["benign"].mean == pytest.approx(np.mean(benign))
    assert report.class_fraction["benign"].median == pytest.approx(np.median(benign))
    lesions = [*benign, malignant, one]
    assert report.lesion_fraction["lesion_images"].mean == pytest.approx(np.mean(lesions))
    assert report.lesion_fraction["all"].mean == pytest.approx(np.mean([*lesions, 0, 0]))
    pooled = (sum(benign) * 4800 + malignant * 3500 + one * 4800) / (4800 * 7 + 3500)
    assert report.lesion_fraction["all"].pooled == pytest.approx(pooled)


def test_every_fault_is_listed_by_name(tree):
    tree.save("benign/benign (1)_mask.png", tree.disc((61, 80)))
    (tree.root / "benign/benign (2)_mask.png").unlink()
    (tree.root / "benign/benign (3)_mask.png").write_bytes(b"no image")
    (tree.root / "benign/benign (10).png").write_bytes(b"")
    tree.save("malignant/malignant (1)_mask.png", np.zeros((70, 50), np.bool_))
    tree.save("malignant/malignant (7)_mask.png", tree.disc())
    tree.save("normal/normal (1)_mask.png", tree.disc())
    tree.save("normal/benign (1).png", tree.texture(77))
    (tree.root / "normal/normal (2)_mask.png").unlink()
    report = audit(tree.root)
    assert sorted(kinds(report)) == [
        ("duplicate-name", "benign (1)"),
        ("duplicate-name", "benign (1)"),
        ("empty-mask", "malignant (1)"),
        ("missing-mask", "benign (1)"),
        ("missing-mask", "benign (2)"),
        ("missing-mask", "normal (2)"),
        ("orphan-mask", ""),
        ("size-mismatch", "benign (1)"),
        ("unexpected-mask", "normal (1)"),
        ("unreadable-image", "benign (10)"),
        ("unreadable-mask", "benign (3)"),
    ]
    assert all(fault.file and fault.message for fault in report.faults)
    (orphan,) = [fault for fault in report.faults if fault.kind == "orphan-mask"]
    assert orphan.file.endswith("malignant (7)_mask.png")
    (misfit,) = [fault for fault in report.faults if fault.kind == "size-mismatch"]
    assert "61 x 80" in misfit.message
    assert "60 x 80" in misfit.message


def test_masks_of_normals_may_be_absent_where_the_description_says_so(tree):
    (tree.root / "normal/normal (2)_mask.png").unlink()
    text = 'name = "mine"\nnormal = ["normal"]\n[classes]\n'
    text += "".join(f'{label} = "{label}"\n' for label in ("benign", "malignant", "normal"))
    description = tree.root / "suraksha.toml"
    description.write_text(text)
    assert audit(tree.root).faults == ()
    description.write_text("normal_masks = true\n" + text)
    assert kinds(audit(tree.root)) == [("missing-mask", "normal (2)")]


def test_empty_class(tree):
    for path in (tree.root / "malignant").iterdir():
        path.unlink()
    report = audit(tree.root)
    assert kinds(report) == [("empty-class", "")]
    assert report.classes["malignant"] == 0


def test_nothing_readable(empty_tree):
    empty_tree.save("benign/benign (1).png", empty_tree.texture(1)).write_bytes(b"")
    report = audit(empty_tree.root)
    assert report.smallest is None
    assert report.duplicate_groups == ()
    assert "unreadable-image" in {fault.kind for fault in report.faults}
    json.dumps(report.to_dict(), allow_nan=False)


def test_takes_cases_and_reports_progress(tree):
    cases = find_cases(tree.root)
    seen = []

    def progress(items):
        for item in items:
            seen.append(item.name)
            yield item

    assert audit(cases, progress=progress).to_dict() == audit(tree.root).to_dict()
    assert seen == [case.name for case in cases]


def test_dictionary_keys(tree):
    record = json.loads(json.dumps(audit(tree.root).to_dict(), allow_nan=False))
    assert record["images"] == 8
    assert record["classes"]["benign"] == 4
    assert record["multi_mask"] == ["benign (10)"]
    assert record["duplicate_groups"] == [["benign (1)", "benign (2)", "malignant (2)"]]
    assert record["mixed_groups"] == record["duplicate_groups"]
    assert record["identical"] == [["benign (1)", "malignant (2)"]]
    assert record["faults"] == []
    assert record["sizes"] == {"distinct": 2, "min": [60, 50], "max": [70, 80]}
    assert set(record["lesion_fraction"]["classes"]) == {"benign", "malignant", "normal"}


def pairs(groups):
    return {frozenset((a, b)) for group in groups for a in group for b in group if a != b}


@pytest.mark.busi
def test_busi_as_measured(busi_root):
    report = audit(busi_root)
    assert report.faults == ()
    assert report.images == 780
    assert report.classes == {"benign": 437, "malignant": 210, "normal": 133}
    assert len(report.multi_mask) == 17
    assert len(report.colour_marked) == 16
    assert report.identical == (("benign (433)", "malignant (145)"),)
    assert 140 <= len(report.duplicate_groups) <= 150
    assert 8 <= len(report.mixed_groups) <= 10
    assert report.distinct_sizes == 639
    assert (report.smallest, report.largest) == ((310, 190), (719, 1048))
    assert report.lesion_fraction["all"].pooled == pytest.approx(0.075, abs=0.001)
    members = {}
    for name, row in clean_table().items():
        members.setdefault(row.group, []).append(name)
    ours, shipped = pairs(report.duplicate_groups), pairs(members.values())
    both = len(ours & shipped)
    assert both / len(ours) >= 0.95
    assert both / len(shipped) >= 0.95
