import os
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageFile

from suraksha.errors import InputError
from suraksha.io import images as read
from suraksha.io.images import read_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
RGB = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)


def save(path, array_or_image, **options):
    image = array_or_image
    if isinstance(image, np.ndarray):
        image = PilImage.fromarray(image)
    image.save(path, **options)
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, kind, rows, extra=b""):
    """A PNG file written by hand, independent of Pillow's writer."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def encoded(suffix):
    """Bytes of a small valid file; noise, so that no cut can go unseen."""
    stream = BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32), dtype=np.uint8)
    PilImage.fromarray(pixels).save(stream, suffix)
    return stream.getvalue()


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        read_image(path, **options)
    assert str(path) in caught.value.what
    assert caught.value.why
    assert caught.value.fix
    return str(caught.value)


def test_missing_and_folder(tmp_path):
    assert "no such file" in refused(tmp_path / "none.png")
    assert "a folder" in refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refused(tmp_path / "pipe.png")


def test_permission(tmp_path, monkeypatch):
    file = save(tmp_path / "a.png", GREY)

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "permission" in refused(file)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"patient,age\n1,44\n", "supported format"),
        (b"\0" * 128 + b"DICM" + b"\2\0\0\0UL", "DICOM"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "invalid"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "ZIP"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "invalid"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"BM", "damaged"),
        (b"II*\0", "damaged"),
        (b"\xff\xd8", "damaged"),
        (png(0, 1, 8, 0, b""), "damaged"),
    ],
)
def test_files_that_are_not_images(tmp_path, content, says):
    file = tmp_path / "a.png"
    file.write_bytes(content)
    assert says in refused(file)


def test_other_formats_are_refused(tmp_path):
    refused(save(tmp_path / "a.ppm", GREY))
    refused(save(tmp_path / "a.ico", PilImage.new("RGB", (16, 16))))


def test_float_and_lab_are_refused(tmp_path):
    assert "mode F" in refused(save(tmp_path / "a.tiff", GREY.astype(np.float32)))
    assert "mode LAB" in refused(save(tmp_path / "b.tiff", PilImage.new("LAB", (4, 4))))


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "JPEG2000"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_truncated(tmp_path, suffix, part):
    content = encoded(suffix)
    file = tmp_path / "a.bin"
    file.write_bytes(content[: int(len(content) * part)])
    assert "truncated" in refused(file)


def test_wrong_checksum_of_the_pixels(tmp_path):
    content = bytearray(encoded("PNG"))
    content[content.index(b"IDAT") + 300] ^= 1
    file = tmp_path / "a.png"
    file.write_bytes(content)
    assert "damaged" in refused(file)


def test_a_text_chunk_that_inflates_is_refused(tmp_path):
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(b"\0" * 8_000_000))
    file = tmp_path / "a.png"
    file.write_bytes(png(1, 1, 8, 0, b"\0\0", text))
    refused(file)


@pytest.mark.parametrize("side", [8001, 9500, 20000])
def test_giants_are_refused_before_decoding(tmp_path, monkeypatch, side):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _self: pytest.fail("decoded"))
    file = tmp_path / "a.png"
    file.write_bytes(png(side, side, 1, 0, b""))
    assert "pixels" in refused(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "pixels" in refused(file)


def webp_header(kind, rows, columns):
    """The start of a WebP file that declares a size and has no pixels."""
    if kind == b"VP8X":
        size = (columns - 1).to_bytes(3, "little") + (rows - 1).to_bytes(3, "little")
        body = bytes(4) + size
    elif kind == b"VP8L":
        body = b"\x2f" + ((columns - 1) | (rows - 1) << 14).to_bytes(4, "little") + bytes(8)
    else:
        body = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", columns, rows) + bytes(8)
    chunk_bytes = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk_bytes)) + b"WEBP" + chunk_bytes


def j2k_header(rows, columns):
    size = struct.pack(">8I", columns, rows, 0, 0, columns, rows, 0, 0)
    return b"\xff\x4f\xff\x51\0\x29\0\0" + size + b"\0\1\7\1\1" + bytes(40)


@pytest.mark.parametrize(
    "content",
    [
        webp_header(b"VP8X", 16000, 16000),
        webp_header(b"VP8L", 16000, 16000),
        webp_header(b"VP8 ", 16000, 16000),
        j2k_header(60000, 60000),
        b"\0\0\0\x0cjP  \r\n\x87\n" + j2k_header(60000, 60000),
        b"GIF89a" + struct.pack("<HH", 60000, 60000) + encoded("GIF")[10:],
    ],
)
def test_giants_of_other_formats_are_refused_before_pillow_allocates(
    tmp_path, monkeypatch, content
):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _self: pytest.fail("decoded"))
    (tmp_path / "a.bin").write_bytes(content)
    assert "pixels" in refused(tmp_path / "a.bin")


@pytest.mark.parametrize("kind", [b"VP8X", b"VP8L", b"VP8 ", b"ABCD"])
def test_webp_headers_without_an_image_are_damaged(tmp_path, kind):
    (tmp_path / "a.webp").write_bytes(webp_header(kind, 30, 20))
    assert "damaged" in refused(tmp_path / "a.webp")


def test_the_limit_itself_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MAX_PIXELS", GREY.size)
    file = save(tmp_path / "a.png", GREY)
    read_image(file)
    monkeypatch.setattr(read, "MAX_PIXELS", GREY.size - 1)
    assert "more than" in refused(file)


def test_a_giant_second_page_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "a.tiff"
    PilImage.fromarray(GREY).save(
        file, save_all=True, append_images=[PilImage.new("L", (100, 100))]
    )
    monkeypatch.setattr(read, "MAX_PIXELS", GREY.size)
    read_image(file)
    assert "more than" in refused(file, frame=1)


def test_out_of_memory_is_an_input_error(tmp_path, monkeypatch):
    def fail(_self):
        raise MemoryError

    file = save(tmp_path / "a.png", GREY)
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "memory" in refused(file)


def test_global_settings_of_pillow_are_unchanged(tmp_path):
    before = (PilImage.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    refused(tmp_path / "none.png")
    read_image(save(tmp_path / "a.png", GREY))
    after = (PilImage.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    assert before == after


def test_a_tiff_directory_that_points_to_itself(tmp_path):
    file = save(tmp_path / "a.tiff", GREY)
    content = bytearray(file.read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * count, first)
    file.write_bytes(content)
    np.testing.assert_array_equal(read_image(file).pixels, GREY)
    refused(file, frame=7)
