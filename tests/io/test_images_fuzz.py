import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from suraksha.errors import InputError
from suraksha.io.images import read_image, read_mask
from suraksha.types import Image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
RGB = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (7, 5), dtype=np.uint16)
ALPHA = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
TRUTH = GREY > 127


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def seeds():
    """Small valid files of every format and many modes."""
    files = []
    rgba = np.dstack([RGB, ALPHA])
    exif = PilImage.Exif()
    exif[274] = 6
    exif[270] = "a description"
    palette = PilImage.fromarray(GREY).convert("P")
    wanted = [
        ("PNG", PilImage.fromarray(GREY), {}),
        ("PNG", PilImage.fromarray(DEEP), {}),
        ("PNG", PilImage.fromarray(rgba), {"exif": exif}),
        ("PNG", palette, {"transparency": 3}),
        ("JPEG", PilImage.fromarray(RGB), {"exif": exif}),
        ("JPEG", PilImage.fromarray(GREY), {"progressive": True}),
        ("JPEG", PilImage.fromarray(rgba, "CMYK"), {}),
        ("BMP", PilImage.fromarray(RGB), {}),
        ("BMP", palette, {}),
        ("BMP", PilImage.fromarray(TRUTH), {}),
        ("TIFF", PilImage.fromarray(DEEP), {}),
        ("TIFF", PilImage.fromarray(rgba), {"exif": exif}),
        ("TIFF", PilImage.fromarray(RGB), {"compression": "tiff_lzw"}),
        ("TIFF", PilImage.fromarray(RGB), {"compression": "jpeg"}),
        ("TIFF", PilImage.fromarray(TRUTH), {"compression": "group4"}),
        ("GIF", palette, {}),
        ("GIF", palette, {"save_all": True, "append_images": [PilImage.fromarray(GREY)]}),
        ("WEBP", PilImage.fromarray(rgba), {"lossless": True, "exif": exif}),
        ("WEBP", PilImage.fromarray(RGB), {}),
        ("JPEG2000", PilImage.fromarray(RGB), {}),
        ("JPEG2000", PilImage.fromarray(DEEP), {"no_jp2": True}),
    ]
    for kind, image, options in wanted:
        stream = BytesIO()
        image.save(stream, kind, **options)
        files.append(stream.getvalue())
    stream = BytesIO()
    PilImage.fromarray(GREY).save(
        stream, "TIFF", save_all=True, append_images=[PilImage.fromarray(RGB)]
    )
    files.append(stream.getvalue())
    return files


SEEDS = seeds()


def sealed(content):
    """The same PNG with correct checksums, so that the damage is not detected by them."""
    out, at = bytearray(content[:8]), 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        out += chunk(kind, data) if len(data) == length else content[at:]
        at += 12 + length
    return bytes(out)


@st.composite
def damaged(draw):
    content = bytearray(draw(st.sampled_from(SEEDS)))
    is_png = content.startswith(b"\x89PNG")
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(content) - 1))
        content[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content[at:at] = draw(st.binary(max_size=8))
    if draw(st.booleans()):
        del content[draw(st.integers(1, len(content))) :]
    return sealed(bytes(content)) if is_png and draw(st.booleans()) else bytes(content)


def test_the_seeds_are_valid(tmp_path):
    file = tmp_path / "a.bin"
    for content in SEEDS:
        file.write_bytes(content)
        assert read_image(file).pixels.size
        assert read_mask(file).shape in {(7, 5), (5, 7)}


def outcome(reader, file, **options):
    """The result of the reader, or its InputError; any other exception fails the test."""
    try:
        return reader(file, **options)
    except InputError as refusal:
        return refusal


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=damaged(), frame=st.sampled_from([0, 0, 0, 1]), strict=st.booleans())
def test_damaged_files_are_read_or_refused(tmp_path, content, frame, strict):
    file = tmp_path / "a.bin"
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        outcomes = (outcome(read_image, file, frame=frame), outcome(read_mask, file))
    for kind, got in zip((Image, np.ndarray), outcomes, strict=True):
        assert isinstance(got, kind) or str(file) in got.what
