"""DICOM images as they are read: every way of coding, every kind of pixel."""

import gdcm
import numpy as np
import pytest
from pydicom import dcmread
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
    *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless),
    *(JPEGLSLossless, JPEGLossless, JPEGLosslessSV1, JPEGBaseline8Bit),
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
def test_every_way_of_coding_gives_the_pixels(make_dicom, tmp_path, syntax, rgb, frames):
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
def test_more_than_eight_bits_are_spread_over_sixteen(make_dicom, tmp_path, stored, representation):
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


def test_the_files_window_is_applied(make_dicom, tmp_path):
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


def test_a_cine_knows_its_frames(make_dicom, tmp_path):
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


def test_a_long_clip_is_not_held_in_memory(make_dicom, tmp_path):
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
