"""BUS-BRA and BrEaST: their official layouts, tables, groups and splits."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from suraksha.datasets.audit import audit
from suraksha.datasets.cache import open_cache, pack
from suraksha.datasets.catalogue import DATASETS, find_dataset
from suraksha.datasets.layouts import find_cases, load_case, locate
from suraksha.datasets.splits import make_split
from suraksha.errors import DataError
from suraksha.preprocessing import Preparation

SMALL = Preparation(24, 20)
TABLE = "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"


def by_name(cases):
    return {case.name: case for case in cases}


def test_busbra_pairs_images_with_masks_and_takes_facts_from_its_table(busbra):
    cases = find_cases(busbra.root)
    assert len(cases) == 28
    case = by_name(cases)["bus_0003-r"]
    assert case.image_path.name == "bus_0003-r.png"
    assert [path.name for path in case.mask_paths] == ["mask_0003-r.png"]
    assert (case.label, case.group, case.birads, case.normal) == ("malignant", "3", "5", False)
    assert case.device == "GE Logiq 7 @10-14MHz"
    assert case.spacing_mm is None
    assert Counter(c.label for c in cases) == {"benign": 19, "malignant": 9}
    assert locate(busbra.root.parent) == (busbra.root, find_dataset("bus-bra"))


def test_breast_unites_tumour_and_other_masks(breast):
    cases = by_name(find_cases(breast.root))
    assert [path.name for path in cases["case002"].mask_paths] == [
        "case002_other1.png",
        "case002_other2.png",
        "case002_tumor.png",
    ]
    _, mask = load_case(cases["case002"])
    expected = breast.disc(radius=6)
    expected = expected | breast.disc(centre=(10, 10), radius=4)
    expected = expected | breast.disc(centre=(50, 70), radius=4)
    np.testing.assert_array_equal(mask, expected)


def test_breast_normals_have_no_mask_and_an_empty_truth(breast):
    cases = by_name(find_cases(breast.root))
    normal = cases["case004"]
    assert (normal.label, normal.normal, normal.masked, normal.mask_paths) == (
        "normal", True, False, (),
    )  # fmt: skip
    image, mask = load_case(normal)
    assert mask.shape == image.shape
    assert not mask.any()


def test_breast_pixel_sizes_are_centimetres(breast):
    cases = by_name(find_cases(breast.root))
    image, _ = load_case(cases["case001"])
    assert image.spacing is not None
    assert (image.spacing.row_mm, image.spacing.source) == (0.078125, "dataset")
    assert load_case(cases["case005"])[0].spacing is None
    assert cases["case001"].group == "1"


@pytest.mark.parametrize("name", ["busbra", "breast"])
def test_audit_finds_nothing_wrong(name, request):
    report = audit(request.getfixturevalue(name).root)
    assert report.faults == ()
    assert report.patients == {"busbra": 16, "breast": 12}[name]
    assert report.masks == {"busbra": 28, "breast": 11}[name]
    assert report.scaled == {"busbra": 0, "breast": 11}[name]
    assert sum(report.birads.values()) == report.images
    rows = {row.fact: row.value for row in report.rows()}
    assert rows["images"] == str(report.images)
    assert rows["patients or groups"] == str(report.patients)
    assert rows["class benign"] == str(report.classes["benign"])


def test_audit_names_what_is_missing(busbra, breast):
    (busbra.root / "Images/bus_0001-l.png").unlink()
    (busbra.root / "Masks/mask_0002-l.png").unlink()
    kinds = sorted((fault.kind, fault.image) for fault in audit(busbra.root).faults)
    assert kinds == [
        ("missing-image", "bus_0001-l"), ("missing-mask", "bus_0002-l"), ("orphan-mask", ""),
    ]  # fmt: skip
    folder = "BrEaST-Lesions_USG-images_and_masks"
    breast.save(f"{folder}/case004_tumor.png", breast.disc())
    assert [f.kind for f in audit(breast.root).faults] == ["unexpected-mask"]


def test_near_duplicates_of_two_patients_are_reported(busbra):
    busbra.save("Images/bus_0005-l.png", busbra.texture(1000 + 2 * 7))
    report = audit(busbra.root)
    assert report.crossing_groups == (("bus_0005-l", "bus_0007-l"),)


def replace_text(path, old, new):
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Pathology", "Diagnosis", "columns Pathology are missing"),
        ("bus_0001-l,1", "bus_9999-l,1", "1 images are not in it: bus_0001-l"),
        ("bus_0001-l,1", "bus_0001-r,1", "1 images are in it more than once: bus_0001-r"),
        ("bus_0001-l,1,cyst,benign", "bus_0001-l,1,cyst,odd", "'odd', not one of benign, malig"),
        ("bus_0001-l,1,", "bus_0001-l,,", "bus_0001-l has no Case"),
        ("ID,Case", "ID,ID", "more than once: ID"),
    ],
)
def test_a_wrong_table_is_refused(busbra, old, new, message):
    replace_text(busbra.root / "bus_data.csv", old, new)
    with pytest.raises(DataError, match=message):
        find_cases(busbra.root)


@pytest.mark.parametrize("copies", [0, 2])
def test_the_table_must_be_there_once(breast, copies):
    content = (breast.root / TABLE).read_bytes()
    (breast.root / TABLE).unlink()
    for number in range(copies):
        name = f"BrEaST-Lesions-USG-clinical-data-{number}.xlsx"
        (breast.root / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{copies} files fit"):
        find_cases(breast.root)


@pytest.mark.parametrize("name", ["busbra", "breast"])
def test_the_cache_carries_patient_and_class(name, request, tmp_path):
    root = request.getfixturevalue(name).root
    cache = open_cache(pack(root, tmp_path / "cache", preparation=SMALL).folder)
    assert cache.dataset == {"busbra": "bus-bra", "breast": "breast"}[name]
    facts = {(i.name, i.label, i.normal, i.group) for i in cache.items}
    assert facts == {(c.name, c.label, c.normal, c.group) for c in find_cases(root)}
    assert all(item.consistent for item in cache.items)


def test_no_patient_is_in_two_folds_and_classes_are_spread(busbra, tmp_path):
    cache = pack(busbra.root, tmp_path / "cache", preparation=SMALL)
    group = {item.name: item.group for item in cache.items}
    label = {item.name: item.label for item in cache.items}
    tested = []
    for fold in range(5):
        split = make_split(cache.items, protocol="clean", number=fold, dataset=cache.dataset)
        assert not {group[n] for n in split.train} & {group[n] for n in split.test}
        counts = Counter(label[name] for name in split.test)
        assert 3 <= counts["benign"] <= 5
        assert 1 <= counts["malignant"] <= 3
        tested += split.test
        again = make_split(cache.items[::-1], protocol="clean", number=fold, dataset=cache.dataset)
        assert again.sha256 == split.sha256
    assert sorted(tested) == sorted(group)


def test_a_folder_of_several_data_sets_is_refused(busbra, breast):
    assert busbra.root.parent == breast.root.parent
    with pytest.raises(DataError, match="contains 2 data sets: they are bus-bra, breast"):
        locate(busbra.root.parent)
    assert locate(busbra.root.parent, find_dataset("breast"))[0] == breast.root


def test_every_known_data_set_says_how_to_cite_it_and_what_it_allows():
    for spec in DATASETS:
        assert spec.doi in spec.citation
        assert spec.licence
        assert spec.limits
        assert {entry.label for entry in spec.classes} <= {"benign", "malignant", "normal"}
    assert [spec.name for spec in DATASETS if spec.open_licence] == ["bus-bra", "breast"]


def test_a_table_and_a_groups_file_cannot_both_give_groups():
    spec = find_dataset("bus-bra")
    with pytest.raises(DataError, match="both 'groups' and the table"):
        replace(spec, groups="groups.csv")


REAL = {
    "bus-bra": {
        "images": 1499, "masks": 1499, "patients": 852, "scaled": 0,
        "classes": {"benign": 1014, "malignant": 485},
    },
    "breast": {
        "images": 256, "masks": 266, "patients": 256, "scaled": 256,
        "classes": {"benign": 154, "malignant": 98, "normal": 4},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.realdata(name)) for name in REAL]
)
def test_the_real_data_sets_as_measured(name, real_roots):
    report = audit(real_roots[name])
    assert report.faults == ()
    found = report.to_dict()
    assert {key: found[key] for key in REAL[name]} == REAL[name]
    assert report.duplicate_groups == report.identical == ()


@pytest.mark.realdata("breast")
def test_real_breast_normals_and_pixel_sizes(real_roots):
    cases = find_cases(real_roots["breast"])
    normals = [case.name for case in cases if case.normal]
    assert normals == ["case045", "case061", "case209", "case213"]
    sizes = [case.spacing_mm for case in cases]
    # a linear probe of 4 to 6 cm over some 500 columns: about 0.1 mm, not 0.01
    assert 0.04 < min(sizes) < max(sizes) < 0.15
