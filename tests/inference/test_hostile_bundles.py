"""Hostile bundles are refused early: less than a second, less than 200 MiB of memory."""

import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace

import pytest

from suraksha.errors import BundleError
from suraksha.inference.bundle import CARD, MODEL, SUMS, read_bundle, sha256_of, write_bundle
from suraksha.inference.onnx_model import MAX_FIELDS, check_model

MIB = 1 << 20
READ = """
import resource, sys, time
from suraksha.errors import BundleError
from suraksha.inference.bundle import read_bundle
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    read_bundle(sys.argv[1])
except BundleError as error:
    print(error)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(time.process_time() - start, more / 1024)
"""


def varint(value):
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number, content):
    """One field of a protobuf message: bytes, or an integer."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(operator, *attributes):
    return field(1, field(4, operator.encode()) + b"".join(field(5, one) for one in attributes))


def model(*parts):
    return field(7, b"".join(parts))


def packed(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members:
            with archive.open(name, "w", force_zip64=False) as member:
                if isinstance(content, bytes):
                    member.write(content)
                else:
                    byte, mebibytes = content
                    for _ in range(mebibytes):
                        member.write(byte * MIB)
    return path


def members(card=b"{}", network=b"x"):
    sums = f"{sha256_of(network)}  {MODEL}\n{sha256_of(card)}  {CARD}\n".encode()
    return {MODEL: network, CARD: card, SUMS: sums}


def with_false_sizes(path):
    """The model's size in the zip directory and its local header become 1000 bytes."""
    content = bytearray(path.read_bytes())
    info = next(one for one in zipfile.ZipFile(path).infolist() if one.filename == MODEL)
    true = info.file_size.to_bytes(4, "little")
    assert content.count(true) >= 1
    path.write_bytes(bytes(content).replace(true, (1000).to_bytes(4, "little")))
    return path


def deep(content):
    return content * (MIB // len(content) - 1)


def a_bomb(kind, folder):
    path, plain = folder / "bomb.busi", members()
    if kind == "deep lists":
        return packed(path, members(card=deep(b"[")).items())
    if kind == "deep objects":
        return packed(path, members(card=deep(b'{"model":')).items())
    if kind == "zeros in the model":
        return packed(path, {**plain, MODEL: (b"\0", 900)}.items())
    if kind == "400 MiB of zeros in the model":
        return packed(path, {**plain, MODEL: (b"\0", 400)}.items())
    if kind == "newlines in the card":
        return packed(path, {**plain, CARD: (b"\n", 900)}.items())
    if kind == "newlines in the sums":
        return packed(path, {**plain, SUMS: (b"\n", 900)}.items())
    if kind == "a false size":
        return with_false_sizes(packed(path, {**plain, MODEL: (b"\0", 900)}.items()))
    assert kind == "no zip"
    with path.open("wb") as file:
        file.truncate(900 * MIB)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is for Unix")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("deep lists", "cannot be read"),
        ("deep objects", "cannot be read"),
        ("zeros in the model", "model.onnx has more than 512 MiB"),
        ("400 MiB of zeros in the model", "model.onnx inflates to more than 100 times"),
        ("newlines in the card", "card.json has more than 1 MiB"),
        ("newlines in the sums", "SHA256SUMS has more than 1 MiB"),
        ("a false size", "not a valid bundle"),
        ("no zip", "not a zip archive"),
    ],
)
def test_a_hostile_file_is_refused_fast_and_in_little_memory(tmp_path, kind, message):
    path = a_bomb(kind, tmp_path)
    found = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
    )
    *said, numbers = found.stdout.splitlines()
    seconds, mebibytes = map(float, numbers.split())
    assert message in " ".join(said)
    assert seconds < 1
    assert mebibytes < 200


def test_an_archive_that_does_not_hold_exactly_the_three_members_is_refused(tmp_path):
    plain = list(members().items())
    cases = {
        "duplicate": [*plain[:2], plain[0]],
        "more": [*plain, ("notes.txt", b"x")],
        "path": [*plain[:2], (f"../{SUMS}", plain[2][1])],
        "absolute": [*plain[:2], (f"/{SUMS}", plain[2][1])],
        "missing": plain[:2],
    }
    for name, entries in cases.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Duplicate name")
            path = packed(tmp_path / f"{name}.busi", entries)
        with pytest.raises(BundleError, match="does not hold exactly"):
            read_bundle(path)


def test_other_compression_is_refused(tmp_path):
    path = tmp_path / "lzma.busi"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in members().items():
            archive.writestr(name, content)
    with pytest.raises(BundleError, match="not by deflate"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (model(node("Loop")), "the operator Loop"),
        (model(node("If")), "the operator If"),
        (model(node("Scan")), "the operator Scan"),
        (model(node("Relu", field(6, node("Relu")))), "a subgraph"),
        (model(node("Relu", field(11, node("Relu")))), "a subgraph"),
        (model(node("Relu")) + field(25, b""), "local functions"),
        (model(field(5, field(14, 1))), "external data"),
        (model(field(5, field(13, field(1, b"location")))), "external data"),
        (model(node("Constant", field(5, field(14, 1)))), "external data"),
        (model(field(15, b"")), "sparse weights"),
        (model(node("Relu") * (MAX_FIELDS // 2)), f"more than {MAX_FIELDS} fields"),
        (model() + model(), "2 graphs"),
        (b"", "0 graphs"),
        (b"\xff", "not a valid ONNX file"),
        (b"\x3a\xff\xff\xff\xff\x7fx", "cut short"),
        (b"\xff" * 20, "more than 64 bits"),
        (b"\x3b", "a field of type 3"),
        (b"\x38\x01", "an integer in place of a message"),
    ],
)
def test_a_network_that_is_not_a_plain_graph_is_refused(content, reason):
    with pytest.raises(BundleError, match=reason):
        check_model(content)


def test_an_endless_network_is_refused_when_a_bundle_is_read_and_written(tmp_path, tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    check_model(bundle.model)
    endless = bundle.model + model(node("Loop"))
    card = replace(bundle.card, model_sha256=sha256_of(endless))
    content = members(card.to_json().encode(), endless)
    path = packed(tmp_path / "endless.busi", content.items())
    with pytest.raises(BundleError, match="the operator Loop"):
        read_bundle(path)
    with pytest.raises(BundleError, match="the operator Loop"):
        write_bundle(tmp_path / "x.busi", endless, card=card)
