import struct
import zlib

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.errors import InputError
from suraksha.io.images import read_image, read_mask
from suraksha.types import Image, Spacing

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
RGB = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (7, 5), dtype=np.uint16)
ALPHA = RNG.integers(0, 256, (7, 5), dtype=np.uint8)


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


def tiff(path, array, tags):
    """A little-endian uncompressed TIFF of one strip, written by hand."""
    height, width = array.shape[:2]
    data = array.tobytes()
    entries = {
        256: (3, width), 257: (3, height), 259: (3, 1), 273: (4, 8), 277: (3, 1),
        278: (3, height), 279: (4, len(data)), **tags,
    }  # fmt: skip
    ifd = struct.pack("<H", len(entries))
    for tag in sorted(entries):
        kind, value = entries[tag]
        ifd += struct.pack("<HHII", tag, kind, 1, value)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + ifd + b"\0" * 4)
    return path


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        read_image(path, **options)
    assert str(path) in caught.value.what
    assert caught.value.why
    assert caught.value.fix
    return str(caught.value)


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_eight_bits_are_read_exactly(tmp_path, suffix, pixels):
    image = read_image(save(tmp_path / f"case.v2.{suffix}", pixels))
    assert isinstance(image, Image)
    assert image.name == "case.v2"
    assert image.spacing is None
    assert image.pixels.dtype == np.uint8
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiff_is_read_exactly(tmp_path, compression):
    for pixels in (GREY, RGB, DEEP):
        file = save(tmp_path / "a.tiff", pixels, compression=compression)
        np.testing.assert_array_equal(read_image(file).pixels, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_close_and_equal_to_pillow(tmp_path, mode):
    ramp = np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)
    image = PilImage.fromarray(ramp).convert("RGB").convert(mode)
    file = save(tmp_path / "a.jpg", image, quality=95)
    got = read_image(file).pixels
    with PilImage.open(file) as again:
        expected = np.asarray(again.convert("L" if mode == "L" else "RGB"))
    np.testing.assert_array_equal(got, expected)
    want = ramp if mode == "L" else np.repeat(ramp[..., None], 3, 2)
    assert np.abs(got.astype(int) - want).max() <= 6


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_grey_is_read_exactly(tmp_path, suffix):
    image = read_image(save(tmp_path / f"a.{suffix}", DEEP))
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, DEEP)


def test_big_endian_sixteen_bit_is_read_exactly(tmp_path):
    pil_image = PilImage.frombytes("I;16B", (5, 7), DEEP.astype(">u2").tobytes())
    file = save(tmp_path / "a.tiff", pil_image)
    with PilImage.open(file) as again:
        assert again.mode == "I;16B"
    image = read_image(file)
    assert image.pixels.dtype == np.dtype("uint16")
    np.testing.assert_array_equal(image.pixels, DEEP)


def test_32_bit_integers_are_read_as_16_bit_if_they_fit(tmp_path):
    file = save(tmp_path / "a.tiff", DEEP.astype(np.int32))
    np.testing.assert_array_equal(read_image(file).pixels, DEEP)
    for value in (-1, 65536):
        wrong = DEEP.astype(np.int32)
        wrong[3, 3] = value
        assert "16 bit" in refused(save(tmp_path / "b.tiff", wrong))


def test_twelve_bits_are_scaled_to_sixteen(tmp_path):
    values = np.array([[0, 4095], [0x123, 0x800]], dtype=np.uint16)
    packed = bytearray()
    for a, b in values:
        packed += bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
    data = np.frombuffer(bytes(packed), np.uint8).reshape(2, 3)
    file = tiff(tmp_path / "a.tiff", data, {256: (3, 2), 258: (3, 12), 262: (3, 1)})
    expected = [[0, 0xFFFF], [0x1231, 0x8008]]
    np.testing.assert_array_equal(read_image(file).pixels, expected)


@pytest.mark.parametrize("pixels", [GREY, DEEP], ids=["8", "16"])
def test_white_is_zero_is_inverted(tmp_path, pixels):
    bits = pixels.dtype.itemsize * 8
    file = tiff(tmp_path / "a.tiff", pixels, {258: (3, bits), 262: (3, 0)})
    np.testing.assert_array_equal(read_image(file).pixels, np.iinfo(pixels.dtype).max - pixels)
    file = tiff(tmp_path / "b.tiff", pixels, {258: (3, bits), 262: (3, 1)})
    np.testing.assert_array_equal(read_image(file).pixels, pixels)


def test_deep_colour_keeps_the_upper_eight_bits(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 0x1280, 0x34FF, 0xFEFF)))
    np.testing.assert_array_equal(read_image(file).pixels, [[[0x12, 0x34, 0xFE]]])
    file.write_bytes(png(1, 1, 16, 4, b"\0" + struct.pack(">HH", 0x1280, 0xFFFF)))
    np.testing.assert_array_equal(read_image(file).pixels, [[[0x12, 0x12, 0x12]]])


def test_low_depths_use_the_full_range(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png(4, 1, 2, 0, b"\0\x1b"))
    np.testing.assert_array_equal(read_image(file).pixels, [[0, 85, 170, 255]])
    bits = GREY > 127
    for suffix in ("png", "bmp", "tiff"):
        image = read_image(save(tmp_path / f"b.{suffix}", bits))
        assert image.pixels.dtype == np.uint8
        np.testing.assert_array_equal(image.pixels, bits * np.uint8(255))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_alpha_is_composed_over_black(tmp_path, suffix):
    rgba = np.dstack([RGB, ALPHA])
    got = read_image(save(tmp_path / f"a.{suffix}", rgba)).pixels
    np.testing.assert_array_equal(got, np.rint(RGB * (ALPHA[..., None] / 255)))
    la = PilImage.merge("LA", [PilImage.fromarray(GREY), PilImage.fromarray(ALPHA)])
    got = read_image(save(tmp_path / f"b.{suffix}", la)).pixels
    np.testing.assert_array_equal(got, np.rint(GREY * (ALPHA / 255)))


def test_opaque_alpha_changes_nothing(tmp_path):
    rgba = np.dstack([RGB, np.full_like(ALPHA, 255)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", rgba)).pixels, RGB)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_palette_becomes_rgb(tmp_path, suffix):
    palette = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    image = PilImage.fromarray(GREY)
    image.putpalette(palette.tobytes())
    assert image.mode == "P"
    got = read_image(save(tmp_path / f"a.{suffix}", image)).pixels
    np.testing.assert_array_equal(got, palette[GREY])


def test_palette_with_transparency_is_composed_over_black(tmp_path):
    palette = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    image = PilImage.fromarray(GREY)
    image.putpalette(palette.tobytes())
    alphas = RNG.integers(0, 256, 256, dtype=np.uint8)
    file = save(tmp_path / "a.png", image, transparency=alphas.tobytes())
    expected = np.rint(palette[GREY] * (alphas[GREY][..., None] / 255))
    np.testing.assert_array_equal(read_image(file).pixels, expected)


def test_colour_key_is_ignored(tmp_path):
    file = save(tmp_path / "a.png", GREY, transparency=int(GREY[2, 2]))
    np.testing.assert_array_equal(read_image(file).pixels, GREY)


def test_cmyk_is_converted_as_pillow_does(tmp_path):
    cmyk = PilImage.fromarray(RNG.integers(0, 256, (7, 5, 4), dtype=np.uint8), "CMYK")
    got = read_image(save(tmp_path / "a.tiff", cmyk)).pixels
    np.testing.assert_array_equal(got, np.asarray(cmyk.convert("RGB")))


def test_ycbcr_becomes_rgb(tmp_path):
    ycc = PilImage.fromarray(RGB).convert("YCbCr")
    got = read_image(save(tmp_path / "a.tiff", ycc)).pixels
    np.testing.assert_array_equal(got, np.asarray(ycc.convert("RGB")))


def turned(pixels, orientation):
    """The pixels as shown, after the EXIF standard's table."""
    shown = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: a.T[:, ::-1],
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: a.T[::-1],
    }
    return shown[orientation](pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg"])
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    exif = PilImage.Exif()
    exif[274] = orientation
    pixels = np.zeros((16, 24), np.uint8)
    pixels[:8, :8] = 255
    file = save(tmp_path / f"a.{suffix}", pixels, exif=exif)
    expected = turned(pixels, orientation)
    got = read_image(file).pixels
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=3 if suffix == "jpg" else 0)


def test_pages_are_selected(tmp_path):
    file = tmp_path / "a.tiff"
    pages = [PilImage.fromarray(GREY), PilImage.fromarray(RGB), PilImage.fromarray(DEEP[:3])]
    pages[0].save(file, save_all=True, append_images=pages[1:])
    for frame, expected in enumerate((GREY, RGB, DEEP[:3])):
        np.testing.assert_array_equal(read_image(file, frame=frame).pixels, expected)
    for frame in (3, -1):
        assert "file has 3" in refused(file, frame=frame)
    assert "file has 1" in refused(save(tmp_path / "b.png", GREY), frame=1)


def test_spacing_is_attached(tmp_path):
    file = save(tmp_path / "a.png", GREY, dpi=(300, 300))
    assert read_image(file).spacing is None
    assert read_image(file, spacing=0.08).spacing == Spacing(0.08, 0.08, "user")
    given_spacing = Spacing(0.1, 0.2, "dicom-region")
    assert read_image(str(file), spacing=given_spacing).spacing == given_spacing
    with pytest.raises(InputError, match="spacing"):
        read_image(file, spacing=0.0)


# --- masks ----------------------------------------------------------------------------------------

TRUTH = GREY > 127


@pytest.mark.parametrize(
    "stored",
    [
        TRUTH,
        TRUTH * np.uint8(255),
        TRUTH * np.uint16(65535),
        np.dstack([TRUTH * np.uint8(255)] * 3),
        np.dstack([TRUTH * np.uint8(255), TRUTH * np.uint8(0), TRUTH * np.uint8(0)]),
        np.dstack([TRUTH * np.uint8(255)] * 3 + [np.full(TRUTH.shape, 255, np.uint8)]),
        np.dstack([TRUTH * np.uint8(255)] * 3 + [np.zeros(TRUTH.shape, np.uint8)]),
    ],
    ids=["1-bit", "grey", "16-bit", "rgb", "red", "rgba", "transparent"],
)
def test_masks_of_all_modes(tmp_path, stored):
    mask = read_mask(save(tmp_path / "a_mask.png", stored))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, TRUTH)


def test_alpha_of_a_grey_mask_is_ignored(tmp_path):
    grey = PilImage.fromarray(TRUTH * np.uint8(255))
    la = PilImage.merge("LA", [grey, PilImage.fromarray(ALPHA)])
    np.testing.assert_array_equal(read_mask(save(tmp_path / "a.png", la)), TRUTH)


def test_mask_threshold_is_half_the_range(tmp_path):
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    np.testing.assert_array_equal(
        read_mask(save(tmp_path / "a.png", grey)), [[False, False, True, True]]
    )
    deep = np.array([[0, 32767, 32768]], np.uint16)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "b.png", deep)), [[False, False, True]])


def test_empty_mask_is_empty_and_a_label_map_is_refused(tmp_path):
    assert not read_mask(save(tmp_path / "a.png", np.zeros((4, 4), np.uint8))).any()
    with pytest.raises(InputError, match="maximum value is 1"):
        read_mask(save(tmp_path / "b.png", TRUTH.astype(np.uint8)))


# --- formats that depend on how Pillow was built --------------------------------------------------


def test_gif_webp_and_jpeg_2000_are_read(tmp_path):
    gif = read_image(save(tmp_path / "a.gif", GREY)).pixels
    np.testing.assert_array_equal(gif, np.repeat(GREY[..., None], 3, axis=2))
    for name, options in (("a.webp", {"lossless": True}), ("a.jp2", {}), ("a.j2k", {})):
        file = save(tmp_path / name, RGB, **options)
        np.testing.assert_array_equal(read_image(file).pixels, RGB)
    np.testing.assert_array_equal(read_image(save(tmp_path / "b.jp2", GREY)).pixels, GREY)
    np.testing.assert_array_equal(read_image(save(tmp_path / "c.jp2", DEEP)).pixels, DEEP)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_the_first_frame_of_an_animation_is_read(tmp_path, suffix):
    frames = [PilImage.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (0, 200)]
    options = {} if suffix == "gif" else {"lossless": True}
    file = tmp_path / f"a.{suffix}"
    frames[0].save(file, save_all=True, append_images=frames[1:], **options)
    assert read_image(file).pixels.max() == 0
    assert read_image(file, frame=1).pixels.max() == 200
    assert "file has 2" in refused(file, frame=2)


def test_a_dicom_file_is_not_a_mask(make_dicom, tmp_path):
    make_dicom.us_image(tmp_path / "a.dcm")
    with pytest.raises(InputError, match="DICOM"):
        read_mask(tmp_path / "a.dcm")
