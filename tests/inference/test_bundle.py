"""Bundles are written and verified whole; anything else is refused."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suraksha.errors import BundleError, UnknownNameError
from suraksha.inference.bundle import (
    BUNDLES,
    CARD,
    DEFAULT_BUNDLE,
    MODEL,
    SUMS,
    find_bundle,
    read_bundle,
    sha256_of,
    write_bundle,
)
from suraksha.inference.card import Card, read_card


@pytest.fixture(scope="module")
def content(tiny_bundle):
    return tiny_bundle.read_bytes()


def rezipped(content, **changes):
    """The bundle with some members replaced or left out, its sums as they were."""
    archive = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(archive, "w") as new:
        for name in old.namelist():
            member = changes.get(name.replace(".", "_"), old.read(name))
            if member is not None:
                new.writestr(name, member)
    return archive.getvalue()


def test_a_bundle_is_read_as_it_was_written(tiny_bundle, tmp_path):
    bundle = read_bundle(tiny_bundle)
    assert bundle.card.name == "tiny"
    assert bundle.card.model_sha256 == sha256_of(bundle.model)
    assert bundle.sha256 == sha256_of(tiny_bundle.read_bytes())
    again = write_bundle(tmp_path / "again.busi", bundle.model, card=bundle.card)
    assert again.read_bytes() == tiny_bundle.read_bytes(), "the same content, the same bytes"
    assert [p.name for p in tmp_path.iterdir()] == ["again.busi"]


def test_the_card_describes_the_run(tiny_bundle, tiny_run):
    card = read_bundle(tiny_bundle).card
    assert card.test_images.keys() == set(tiny_run.split.test)
    assert card.training["dataset"] == "synthetic"
    assert card.limits[-1] == (
        "Trained on the data set 'synthetic', whose limitations are not stated."
    )
    assert card.licence == "not stated"
    assert card.training["split_sha256"] == tiny_run.split.sha256
    assert len(card.parity) == 3
    assert max(card.parity.values()) <= 1e-4
    assert "Research use only" in card.intended_use
    assert card.model == {
        "name": "suraksha",
        "in_channels": 1,
        "width": 4,
        "skip_attention": True,
        "bottleneck_attention": True,
        "heads": 4,
    }
    assert card.metrics["lesion"]["images"] == len(tiny_run.split.test)
    assert read_card(card.to_json()) == card


@given(place=st.integers(0, 10**9), flip=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_is_refused_or_has_no_effect(tiny_bundle, tmp_path_factory, place, flip):
    """A few bytes of a zip archive have no effect; any other change must be refused."""
    content = tiny_bundle.read_bytes()
    damaged = bytearray(content)
    damaged[place % len(damaged)] ^= flip
    path = tmp_path_factory.mktemp("damaged") / "damaged.busi"
    path.write_bytes(damaged)
    try:
        bundle = read_bundle(path)
    except BundleError:
        return
    whole = zipfile.ZipFile(io.BytesIO(content))
    assert bundle.model == whole.read(MODEL)
    assert bundle.card.to_json().encode() == whole.read(CARD)


@pytest.mark.parametrize(
    "change",
    [
        {"model_onnx": b"another network"},
        {"card_json": b"{}"},
        {"SHA256SUMS": b""},
        {"model_onnx": None},
        {"SHA256SUMS": None},
        {"SHA256SUMS": b"\xff\xfe no sums"},
    ],
)
def test_altered_bundles_are_refused(content, tmp_path, change):
    path = tmp_path / "altered.busi"
    path.write_bytes(rezipped(content, **change))
    with pytest.raises(BundleError, match=r"is not a valid bundle|damaged or altered"):
        read_bundle(path)


@pytest.mark.parametrize("start", [200, 1000, -3000])
def test_damaged_runs_of_bytes_are_refused(content, tmp_path, start):
    damaged = bytearray(content)
    for place in range(start, start + 64):
        damaged[place] ^= 0xFF
    path = tmp_path / "damaged.busi"
    path.write_bytes(damaged)
    with pytest.raises(BundleError):
        read_bundle(path)


def test_a_card_of_another_network_is_refused(tiny_bundle, content, tmp_path):
    bundle = read_bundle(tiny_bundle)
    card = replace(bundle.card, model_sha256="0" * 64).to_json().encode()
    sums = f"{sha256_of(bundle.model)}  {MODEL}\n{sha256_of(card)}  {CARD}\n".encode()
    path = tmp_path / "other.busi"
    path.write_bytes(rezipped(content, card_json=card, SHA256SUMS=sums))
    with pytest.raises(BundleError, match="belongs to another network"):
        read_bundle(path)


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_truncated_bundles_are_refused(content, tmp_path, size):
    path = tmp_path / "short.busi"
    path.write_bytes(content[:size])
    with pytest.raises(BundleError, match="is not a valid bundle"):
        read_bundle(path)


def test_a_shipped_bundle_has_the_hash_of_the_table(tmp_path, monkeypatch):
    for name, digest in BUNDLES.items():
        assert read_bundle(name).sha256 == digest
    assert read_bundle().card.name == DEFAULT_BUNDLE
    monkeypatch.setattr("suraksha.inference.bundle.BUNDLES", {DEFAULT_BUNDLE: "0" * 64})
    with pytest.raises(BundleError, match="damaged or altered"):
        read_bundle()


def test_names_and_paths(tmp_path):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{DEFAULT_BUNDLE}'"):
        find_bundle(DEFAULT_BUNDLE[:-1])
    with pytest.raises(BundleError, match="there is no such file"):
        find_bundle(tmp_path / "absent.busi")
    with pytest.raises(BundleError, match=r"does not end in \.busi"):
        write_bundle(tmp_path / "x.zip", b"", card=read_bundle().card)
    with pytest.raises(BundleError, match="belongs to another network"):
        write_bundle(tmp_path / "x.busi", b"", card=read_bundle().card)


def card_table():
    return json.loads(read_bundle().card.to_json())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"card_format": 1}, "reads format 2"),
        ({"card_format": 99}, "reads format 2"),
        ({"threshold": 1.5}, "must be between 0 and 1"),
        ({"divisor": 48}, "must be a multiple of divisor = 48"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"divisor": 1, "preparation": {"height": 8192, "width": 8192}}, "above 4096 pixels"),
        ({"preparation": {"height": 0, "width": 5}}, "height=0"),
        ({"preparation": None}, "key 'preparation': expected 'object', got 'null'"),
        ({"preparation": {"height": 32, "width": 32, "depth": 1}}, "key 'preparation.depth'"),
        ({"limits": 3}, "key 'limits': expected 'array', got 'int'"),
        ({"parameters": "many"}, "key 'parameters': expected 'int', got 'str'"),
        ({"divisor": 32.0}, "key 'divisor': expected 'int', got 'float'"),
        ({"name": 7}, "key 'name': expected 'str', got 'int'"),
        ({"licence": None}, "key 'licence': expected 'str', got 'null'"),
        ({"parity": {"256x256": "small"}}, "expected 'float', got 'str'"),
    ],
)
def test_a_card_with_a_wrong_value_is_refused_by_key_and_type(change, message):
    with pytest.raises(BundleError, match=message):
        read_card(json.dumps({**card_table(), **change}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"name": "x"}'])
def test_other_json_is_refused_as_a_card(text):
    with pytest.raises(BundleError, match=r"card.json of a.busi cannot be read"):
        read_card(text, source="card.json of a.busi")


def test_every_field_of_a_card_reaches_its_json():
    card = read_bundle().card
    assert set(json.loads(card.to_json())) == {*Card.__dataclass_fields__}
    assert asdict(replace(card, name="other"))["name"] == "other"


def test_the_sums_have_the_format_of_sha256sum(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        lines = archive.read(SUMS).decode().splitlines()
        assert lines == [f"{sha256_of(archive.read(n))}  {n}" for n in (MODEL, CARD)]


def test_the_names_of_the_bundles_are_listed_without_numpy():
    code = "import sys, suraksha as su; print(*su.list_bundles(), 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [*BUNDLES, "False"]
