"""Hostile and broken DICOM files are refused with a message, in bounded time and memory."""

import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.config import settings as pydicom_settings
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from suraksha import read_image
from suraksha.errors import InputError
from suraksha.io.dicom import DicomFile
from suraksha.io.dicom_guard import suppress_pydicom_warnings
from suraksha.io.dicom_pixels import coded_size

MEMORY = 400 << 20
PLAIN = b"1.2.840.10008.1.2.1\0"
RLE_HEAD = struct.pack("<16I", 1, 64, *[0] * 14)
GARBAGE = bytes(range(256)) * 9


def change(**elements):
    def apply(path, make):
        make.us_image(path)
        data = dcmread(path)
        for name, value in elements.items():
            setattr(data, name, value)
        data.save_as(path)

    return apply


def replaced(old, new):
    """The file with some bytes changed where pydicom would not write such a thing."""

    def apply(path, make):
        make.us_image(path)
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))

    return apply


def cut(fraction):
    def apply(path, make):
        make.us_image(path)
        path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])

    return apply


def raw(content):
    return lambda path, make: path.write_bytes(content)


def deflate_bomb(path, make):
    make.us_image(path)
    data = dcmread(path)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    del data.PixelData
    data.save_as(path)
    head = path.read_bytes().partition(b"1.2.840.10008.1.2.1.99")
    packer = zlib.compressobj(9, wbits=-15)
    zeros = b"".join(packer.compress(bytes(1 << 24)) for _ in range(64)) + packer.flush()
    path.write_bytes(head[0] + head[1] + b"\0\0" + zeros)


def nested(levels, *, defined):
    def apply(path, make):
        make.us_image(path)
        content = path.read_bytes()
        start = content.index(b"\x28\x00\x02\x00US")
        inside = b""
        if defined:
            for _ in range(levels):
                item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inside)) + inside
                inside = b"\x09\x00\x99\x10SQ\0\0" + struct.pack("<I", len(item)) + item
        else:
            inside = (
                b"\x09\x00\x99\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * levels
            )
        path.write_bytes(content[:start] + inside + content[start:])

    return apply


def many_elements(path, make):
    make.us_image(path)
    content = path.read_bytes()
    start = content.index(b"\x28\x00\x02\x00US")
    tiny = b"".join(
        struct.pack("<HH2sH", 0x0019, 0x1000 + n % 0xE000, b"LO", 0) for n in range(1_000_000)
    )
    path.write_bytes(content[:start] + tiny + content[start:])


def coded(syntax, frame, **elements):
    """An image whose header asks for one thing and whose code is another."""

    def apply(path, make):
        make.us_image(path)
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([frame])
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
        for name, value in elements.items():
            setattr(data, name, value)
        data.save_as(path)

    return apply


def jpeg_header(rows, columns):
    return b"\xff\xd8\xff\xc0\x00\x0b\x08" + struct.pack(">HH", rows, columns) + b"\x01\x01\x11\x00"


def j2k_header(rows, columns):
    return b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(
        ">8I", columns, rows, 0, 0, columns, rows, 0, 0
    )


def pipe(path, make):
    import os

    os.mkfifo(path)


def without_pixels(path, make):
    make.us_image(path)
    data = dcmread(path)
    del data.PixelData
    data.save_as(path)


def j2k(rows, columns):
    return coded(JPEG2000Lossless, j2k_header(rows, columns) + GARBAGE)


def jpeg(rows, columns):
    return coded(JPEGBaseline8Bit, jpeg_header(rows, columns) + b"\xff\xda" + GARBAGE)


HOSTILE = {
    "deflate bomb of 1 GiB": (deflate_bomb, "transfer syntax"),
    "big endian": (replaced(PLAIN, b"1.2.840.10008.1.2.2\0"), "transfer syntax"),
    "private transfer syntax": (replaced(PLAIN, b"1.2.3.4.5.6.7.8.9.1\0"), "transfer syntax"),
    "5000 nested sequences": (nested(5000, defined=False), "nested too deep"),
    "5000 nested sequences with lengths": (nested(5000, defined=True), "nested too deep"),
    "40 nested sequences": (nested(40, defined=True), "nested too deep"),
    "a million elements": (many_elements, "longer than 4 MiB"),
    "RLE of 1 KB for 8000 x 1900 pixels": (
        coded(RLELossless, RLE_HEAD + bytes(1000), Rows=8000, Columns=1900),
        "cannot hold",
    ),
    "RLE that ends early": (coded(RLELossless, RLE_HEAD + b"\x81\x05" * 200), "decoded"),
    "RLE with offsets behind its end": (
        coded(RLELossless, struct.pack("<16I", 3, *[0x7FFFFFFF] * 15) + bytes(4000)),
        "decoded",
    ),
    "30000 x 30000": (change(Rows=30000, Columns=30000), "30000 x 30000"),
    "65535 x 65535": (change(Rows=65535, Columns=65535), "65535 x 65535"),
    "8000 x 8000": (change(Rows=8000, Columns=8000), "more than 16000000 pixels"),
    "no rows": (change(Rows=0), "0 x 250"),
    "two billion frames": (change(NumberOfFrames=2_000_000_000), "2000000000 frames"),
    "more frames than pixels": (change(NumberOfFrames=100), "truncated"),
    "negative frames": (change(NumberOfFrames=-3), "-3 frames"),
    "JPEG that is larger than its header says": (jpeg(60000, 60000), "declares (60000, 60000)"),
    "JPEG 2000 that is larger": (j2k(60000, 60000), "declares (60000, 60000)"),
    "JPEG without a frame": (coded(JPEGBaseline8Bit, b"\xff\xd8" + bytes(2000)), "declares None"),
    "JPEG of garbage": (jpeg(200, 250), "decoded"),
    "JPEG 2000 of garbage": (j2k(200, 250), "decoded"),
    "an empty code": (coded(JPEGBaseline8Bit, b"\0\0"), "declares None"),
    "pixel data that say they are coded and are not": (
        replaced(PLAIN, b"1.2.840.10008.1.2.5\0"),
        "damaged",
    ),
    "wrong number of bits": (change(BitsAllocated=16, BitsStored=16, HighBit=15), "truncated"),
    "1 bit a pixel": (change(BitsAllocated=1), "1 bits"),
    "64 bits a pixel": (change(BitsAllocated=64), "64 bits"),
    "4 samples": (change(SamplesPerPixel=4), "4 samples"),
    "more bits stored than allocated": (change(BitsStored=200, HighBit=199), "decoded"),
    "an unknown photometric interpretation": (change(PhotometricInterpretation="HSV"), "decoded"),
    "a palette without tables": (change(PhotometricInterpretation="PALETTE COLOR"), "decoded"),
    "a CT image": (change(SOPClassUID=CTImageStorage), "neither ultrasound"),
    "no SOP class": (change(SOPClassUID=""), "neither ultrasound"),
    "no pixel data": (without_pixels, "no pixel data"),
    "cut in the header": (cut(0.01), ""),
    "cut in the pixels": (cut(0.7), "truncated"),
    "cut in the meta": (
        raw(b"\0" * 128 + b"DICM\2\0\0\0UL\4\0\xff\xff\xff\x7f"),
        "transfer syntax",
    ),
    "random": (raw(np.random.default_rng(1).bytes(5000)), "supported format"),
    "only the mark": (raw(b"\0" * 128 + b"DICM"), "transfer syntax"),
    "empty": (raw(b""), "empty"),
    "a pipe": (pipe, "not a regular file"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused(make_dicom, tmp_path, kind):
    write, why = HOSTILE[kind]
    path = tmp_path / "hostile.dcm"
    write(path, make_dicom)
    with pytest.raises(InputError) as refused:
        read_image(path)
    assert why in str(refused.value)
    assert "Phantom" not in str(refused.value)
    assert "SYN-0001" not in str(refused.value)


def test_hostile_files_need_little_memory(make_dicom, tmp_path):
    """In a separate process that is killed if it needs more memory than the limit."""
    for number, (write, _) in enumerate(HOSTILE.values()):
        write(tmp_path / f"{number:02d}.dcm", make_dicom)
    script = (
        "import sys, resource\n"
        "from pathlib import Path\n"
        "from suraksha import read_image\n"
        "from suraksha.errors import InputError\n"
        "import pydicom, gdcm, PIL.Image\n"
        f"files = sorted(Path({str(tmp_path)!r}).glob('*.dcm'))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for file in files:\n"
        "    try: read_image(file)\n"
        "    except InputError: continue\n"
        "    sys.exit(f'{file} was read')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < MEMORY


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_files_with_changed_bytes_are_read_or_refused(make_dicom, tmp_path, data):
    path = tmp_path / "us.dcm"
    make_dicom.us_image(path, pixels=np.zeros((8, 10), np.uint8))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(132, len(content) - 1), max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        images = list(DicomFile(path))
    except InputError:
        return
    assert all(image.pixels.size for image in images)


@pytest.mark.parametrize("header", [jpeg_header, j2k_header])
def test_the_size_in_a_code_stream_is_found(header):
    assert coded_size(header(123, 456) + bytes(64)) == (123, 456)
    assert coded_size(header(123, 456)[:9]) is None
    assert coded_size(b"") is None


def test_overlapping_threads_restore_the_settings():
    before = (list(warnings.filters), pydicom_settings.reading_validation_mode)
    first_in, first_out, second_in = threading.Event(), threading.Event(), threading.Event()

    def first():
        with suppress_pydicom_warnings():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second():
        first_in.wait(10)
        with suppress_pydicom_warnings():
            second_in.set()
            first_out.wait(10)
            # the thread that entered first has left
            assert pydicom_settings.reading_validation_mode == IGNORE
            warnings.warn("a patient's name", stacklevel=1)
        return first_out.is_set()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
        one.result(20)
        assert other.result(20)
    assert (warnings.filters, pydicom_settings.reading_validation_mode) == before
