"""DICOM images as they are read: every way of coding, every kind of pixel."""

import gdcm
import numpy as np
import pytest
from pydicom import Dataset, Sequence, dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from suraksha import read_image
from suraksha.errors import InputError
from suraksha.io.dicom import DicomFile
from suraksha.types import Spacing

SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGBaseline8Bit,
)
GDCM = {
    JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}


def recode(path, syntax):
    """The same file in a transfer syntax that make.py does not write."""
    if syntax == JPEGLSLossless:
        data = dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
    elif syntax in GDCM:
        reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(GDCM[syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(path))
        assert writer.Write()
    else:
        return
    assert dcmread(path).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("rgb", [False, True], ids=["grey", "rgb"])
@pytest.mark.parametrize("frames", [None, 3], ids=["single", "cine"])
def test_every_encoding_gives_the_same_pixels(make_dicom, tmp_path, syntax, rgb, frames):
    path = tmp_path / "us.dcm"
    made = np.stack([make_dicom.image(n, rgb=rgb) for n in range(frames or 1)])
    plain = syntax in GDCM or syntax == JPEGLSLossless
    make_dicom.us_image(
        path,
        pixels=made if frames else made[0],
        syntax=ExplicitVRLittleEndian if plain else syntax,
    )
    recode(path, syntax)
    file = DicomFile(path)
    assert file.frames == (frames or 1)
    read = [image.pixels for image in file]
    assert len(read) == len(made)
    lossy = 12 if syntax == JPEGBaseline8Bit else 0
    for n, (pixels, truth) in enumerate(zip(read, made, strict=True)):
        assert pixels.dtype == np.uint8
        assert np.percentile(np.abs(pixels.astype(int) - truth), 99) <= lossy
        assert np.array_equal(read_image(path, frame=n).pixels, pixels)


def test_monochrome1_is_inverted(make_dicom, tmp_path):
    path = tmp_path / "us.dcm"
    truth = make_dicom.image()
    make_dicom.us_image(path, pixels=255 - truth, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_image(path).pixels, truth)


@pytest.mark.parametrize(("stored", "representation"), [(12, 0), (16, 0), (12, 1)])
def test_more_than_eight_bits_are_scaled_to_sixteen(make_dicom, tmp_path, stored, representation):
    path = tmp_path / "us.dcm"
    top = (1 << stored) - 1
    truth = np.linspace(0, top, 200 * 250).reshape(200, 250).astype(np.int64)
    moved = truth - (1 << (stored - 1)) * representation
    make_dicom.us_image(
        path,
        pixels=moved.astype(np.int16 if representation else np.uint16),
        BitsStored=stored,
        HighBit=stored - 1,
        PixelRepresentation=representation,
    )
    pixels = read_image(path).pixels
    assert pixels.dtype == np.uint16
    assert np.abs(pixels / 65535 - truth / top).max() <= 0.5 / 65535


def test_the_first_window_is_applied(make_dicom, tmp_path):
    path = tmp_path / "us.dcm"
    ramp = np.tile(np.arange(250, dtype=np.uint8), (200, 1))
    make_dicom.us_image(path, pixels=ramp, WindowCenter=[100, 50], WindowWidth=[101, 20])
    shown = read_image(path).pixels[0]
    assert (shown[:50] == 0).all()
    assert (shown[150:] == 255).all()
    # PS3.3 C.11.2.1.2: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255
    assert shown[100] == round(((100 - 99.5) / 100 + 0.5) * 255)


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_become_rgb(make_dicom, tmp_path, bits):
    path = tmp_path / "us.dcm"
    indices = np.arange(200 * 250, dtype=np.uint32).reshape(200, 250).astype(np.uint8)
    tables = [np.arange(256), np.arange(256)[::-1], np.full(256, 7)]
    wide = [np.asarray(t * (257 if bits == 16 else 1), f"<u{bits // 8}") for t in tables]
    elements = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, table in zip(("Red", "Green", "Blue"), wide, strict=True):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        elements[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    make_dicom.us_image(path, pixels=indices, **elements)
    pixels = read_image(path).pixels
    assert pixels.shape == (200, 250, 3)
    for channel, table in enumerate(tables):
        assert np.array_equal(pixels[..., channel], table[indices])


def test_secondary_capture_with_pixel_spacing(make_dicom, tmp_path):
    path = tmp_path / "sc.dcm"
    make_dicom.us_image(path, sop_class=SecondaryCaptureImageStorage, PixelSpacing=[0.1, 0.2])
    image = read_image(path)
    assert image.spacing == Spacing(0.1, 0.2, "dicom-pixel-spacing")
    assert (image.regions, image.unscaled) == ((), "")
    assert read_image(path, spacing=0.3).spacing == Spacing.square(0.3)


def test_frames_and_rate_of_a_clip(make_dicom, tmp_path):
    path = tmp_path / "clip.dcm"
    make_dicom.us_cine(path, frames=3)
    file = DicomFile(path)
    assert file.fps == pytest.approx(25.0)
    third = file.image(2)
    assert (third.name, third.origin.frame, third.origin.frames) == ("clip-3", 3, 3)
    assert "PixelData" not in third.origin.header
    for outside in (-1, 3):
        with pytest.raises(InputError, match=rf"frame {outside} does not exist, the file has 3"):
            file.image(outside)


def test_a_single_image_has_no_frame_number(make_dicom, tmp_path):
    path = tmp_path / "us.dcm"
    data = make_dicom.us_image(path)
    origin = read_image(path).origin
    assert (origin.frame, origin.frames) == (None, 1)
    assert origin.header.SOPInstanceUID == data.SOPInstanceUID


def test_a_long_clip_is_read_frame_by_frame(make_dicom, tmp_path):
    import tracemalloc

    path = tmp_path / "clip.dcm"
    pixels = np.zeros((120, 400, 500), np.uint8)
    make_dicom.us_image(path, pixels=pixels)
    del pixels
    file = DicomFile(path)
    tracemalloc.start()
    count = sum(image.pixels.size > 0 for image in file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 120
    assert peak < 12 * 400 * 500


# --- lookup tables --------------------------------------------------------------------------------


def ramp():
    return np.tile(np.arange(256, dtype=np.uint8), (3, 1))


def table(entries, *, first=0, bits=8):
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = [int(entry) for entry in entries]
    item["LUTData"].VR = "US"
    return Sequence([item])


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_each_function_of_a_window_follows_the_standard(make_dicom, tmp_path, function):
    centre, width, values = 100.0, 60.0, ramp()[0].astype(float)
    expected = {
        "LINEAR": np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1),
        "LINEAR_EXACT": np.clip((values - centre) / width + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (values - centre) / width)),
    }[function]
    path = tmp_path / "us.dcm"
    elements = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    make_dicom.us_image(path, pixels=ramp(), **elements)
    np.testing.assert_array_equal(read_image(path).pixels[0], np.rint(expected * 255))


def test_a_window_refers_to_rescaled_values(make_dicom, tmp_path):
    path = tmp_path / "us.dcm"
    elements = {"RescaleSlope": 2.0, "RescaleIntercept": -50.0}
    make_dicom.us_image(path, pixels=ramp(), WindowCenter=100, WindowWidth=101, **elements)
    values = 2.0 * ramp()[0] - 50
    expected = np.rint(np.clip((values - 99.5) / 100 + 0.5, 0, 1) * 255)
    np.testing.assert_array_equal(read_image(path).pixels[0], expected)


def test_an_unusable_window_is_ignored(make_dicom, tmp_path):
    path = tmp_path / "us.dcm"
    make_dicom.us_image(path, pixels=ramp(), WindowCenter=100, WindowWidth=0)
    np.testing.assert_array_equal(read_image(path).pixels, ramp())


@pytest.mark.parametrize(("bits", "scale"), [(8, 1), (12, 16), (16, 257)])
def test_a_voi_lut_is_applied_and_preferred_to_the_window(make_dicom, tmp_path, bits, scale):
    path, inverse = tmp_path / "us.dcm", 255 - np.arange(256)
    sequence = table(inverse * scale, bits=bits)
    make_dicom.us_image(
        path, pixels=ramp(), VOILUTSequence=sequence, WindowCenter=10, WindowWidth=5
    )
    expected = np.rint(inverse * scale * 255 / (2**bits - 1))
    np.testing.assert_array_equal(read_image(path).pixels[0], expected)


def test_a_table_of_8_bit_entries_can_be_longer_than_256(make_dicom, tmp_path):
    path, values = tmp_path / "us.dcm", np.tile(np.arange(4096, dtype=np.uint16), (2, 1))
    entries = np.arange(4096) // 16
    elements = {"BitsStored": 12, "HighBit": 11, "VOILUTSequence": table(entries)}
    make_dicom.us_image(path, pixels=values, **elements)
    np.testing.assert_array_equal(read_image(path).pixels[0], entries * 257)


def test_a_modality_lut_comes_before_the_window(make_dicom, tmp_path):
    path, square = tmp_path / "us.dcm", np.arange(256) ** 2 // 255
    make_dicom.us_image(path, pixels=ramp(), ModalityLUTSequence=table(square))
    np.testing.assert_array_equal(read_image(path).pixels[0], square)
    window = {"WindowCenter": 100, "WindowWidth": 101}
    make_dicom.us_image(path, pixels=ramp(), ModalityLUTSequence=table(square), **window)
    expected = np.rint(np.clip((square - 99.5) / 100 + 0.5, 0, 1) * 255)
    np.testing.assert_array_equal(read_image(path).pixels[0], expected)


def test_values_below_the_first_entry_use_it(make_dicom, tmp_path):
    path = tmp_path / "us.dcm"
    make_dicom.us_image(path, pixels=ramp(), VOILUTSequence=table([7, 8, 9], first=100))
    found = read_image(path).pixels[0]
    assert (found[:101] == 7).all()
    assert found[101:104].tolist() == [8, 9, 9]


@pytest.mark.parametrize(
    "elements",
    [
        {"VOILUTFunction": "OTHER", "WindowCenter": 100, "WindowWidth": 50},
        {"VOILUTSequence": table([1, 2], bits=64)},
        {"ModalityLUTSequence": Sequence([Dataset()])},
    ],
)
def test_tables_that_cannot_be_applied_are_refused(make_dicom, tmp_path, elements):
    path = tmp_path / "us.dcm"
    make_dicom.us_image(path, pixels=ramp(), **elements)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(path)
