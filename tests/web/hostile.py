"""Malformed and malicious requests, with the expected status of each."""

import io
import json
import struct
import zlib

import numpy as np
from PIL import Image as PilImage

SEGMENT, MEASURE, FRAMES = "/v1/segment", "/v1/measure", "/v1/frames"
BOUNDARY = "cut"


def png_chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_of(columns, rows, content=b"", *, extra=b""):
    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", content), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + extra.join(png_chunk(*part) for part in parts)


def valid_png(columns=80, rows=60, mode="L"):
    pixels = np.random.default_rng(1).integers(0, 255, (rows, columns), dtype=np.uint8)
    made = io.BytesIO()
    PilImage.fromarray(pixels).convert(mode).save(made, "PNG")
    return made.getvalue()


def specks():
    """A mask of 15 x 20 single pixels."""
    pixels = np.zeros((60, 80), np.uint8)
    pixels[::4, ::4] = 255
    made = io.BytesIO()
    PilImage.fromarray(pixels).save(made, "PNG")
    return made.getvalue()


def jpeg():
    made = io.BytesIO()
    PilImage.fromarray(np.zeros((60, 80), np.uint8)).save(made, "JPEG")
    return made.getvalue()


def tiff(**tags):
    """A TIFF of one strip with the given tags."""
    entries = {256: 80, 257: 60, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 60, 279: 4800}
    entries |= {int(k[1:]): v for k, v in tags.items()}
    content = bytes(4800)
    rows = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items())
    )
    head = b"II*\0" + struct.pack("<I", 8 + len(content))
    return head + content + struct.pack("<H", len(entries)) + rows + bytes(4)


def bomb():
    """An image of 80 x 60 pixels whose data decompress to 200 MB of zeros."""
    return png_of(80, 60, zlib.compress(bytes(200_000_000), 9))


def text_bomb():
    """A compressed comment that decompresses to 100 MB."""
    comment = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 9))
    return png_of(80, 60, zlib.compress(bytes(81 * 60)), extra=comment)


def files(*contents, name="a.png"):
    return {"files": [("files", (name, content)) for content in contents]}


def form(field="file", content=None, **fields):
    parts = [] if content is None else [(field, ("a.png", content))]
    return {"files": [*parts, *((key, (None, value)) for key, value in fields.items())]}


def raw(content, kind=f"multipart/form-data; boundary={BOUNDARY}"):
    return {"content": content, "headers": {"Content-Type": kind}}


def part(name, content, more=""):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
IMAGE = valid_png()
HERE = {"rows": "60", "columns": "80"}
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"
DICOM = bytes(128) + b"DICM"

# name -> (path, request, expected status)
REQUESTS = {
    "no body": (SEGMENT, {}, 415),
    "an empty form": (SEGMENT, raw(END), 422),
    "an empty file": (SEGMENT, files(b""), 415),
    "random bytes": (SEGMENT, files(np.random.default_rng(2).bytes(50_000)), 415),
    "text sent as an image": (SEGMENT, files(b"#!/bin/sh\nrm -rf /\n"), 415),
    "an SVG with a script": (SEGMENT, files(b"<svg onload='alert(1)'/>"), 415),
    "a ZIP archive": (SEGMENT, files(b"PK\x03\x04" + bytes(500)), 415),
    "a text field instead of a file": (SEGMENT, {"files": [("files", (None, "image"))]}, 422),
    "a truncated PNG": (SEGMENT, files(IMAGE[:300]), 422),
    "a PNG with a wrong checksum": (SEGMENT, files(IMAGE[:60] + b"x" + IMAGE[61:]), 422),
    "a PNG of 2 billion pixels a side": (SEGMENT, files(png_of(2**31 - 1, 2**31 - 1)), 422),
    "a PNG of 60000 x 60000 pixels": (SEGMENT, files(png_of(60_000, 60_000, b"x")), 422),
    "a PNG of 3000 x 3000 pixels": (SEGMENT, files(png_of(3000, 3000, b"x")), 413),
    "a PNG without pixels": (SEGMENT, files(png_of(0, 0)), 422),
    "a PNG that decompresses to 200 MB": (SEGMENT, files(bomb()), (200, 422)),
    "a PNG with a comment of 100 MB": (SEGMENT, files(text_bomb()), 422),
    "a truncated JPEG": (SEGMENT, files(jpeg()[:200]), 422),
    "a JPEG that claims 65535 x 65535": (
        SEGMENT,
        files(jpeg().replace(b"\x00\x3c\x00\x50", b"\xff\xff\xff\xff", 1)),
        (413, 422),
    ),
    "a TIFF with a strip beyond its end": (SEGMENT, files(tiff(t273=2**31)), 422),
    "a TIFF that claims 2^32 columns": (SEGMENT, files(tiff(t256=2**32 - 1)), 422),
    "a TIFF whose directory points to itself": (
        SEGMENT,
        files(b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 256, 4, 1, 80, 8)),
        422,
    ),
    "DICOM without elements": (SEGMENT, files(DICOM), 422),
    "DICOM with random elements": (SEGMENT, files(DICOM + bytes(range(256)) * 20), 422),
    "a video without frames": (SEGMENT, files(MP4 + bytes(2000)), 422),
    "a video whose box is longer than the file": (
        SEGMENT,
        files(MP4 + b"\x7f\xff\xff\xffmoov" + bytes(100)),
        422,
    ),
    "a playlist sent as a video": (FRAMES, form(content=b"#EXTM3U\nhttp://127.0.0.1/\n"), 415),
    "a path as a name": (SEGMENT, files(IMAGE, name="../../../etc/passwd"), 200),
    "an absolute path as a name": (SEGMENT, files(IMAGE, name="/etc/cron.d/x.png"), 200),
    "a name of 10000 characters": (SEGMENT, files(IMAGE, name="a" * 10_000 + ".png"), (200, 400)),
    "a name with line breaks and quotes": (SEGMENT, files(IMAGE, name='a"\r\nX: y\0.png'), 200),
    "17 files": (SEGMENT, files(*[IMAGE] * 17), 413),
    "100 files": (SEGMENT, files(*[IMAGE] * 100), 400),
    "500 fields": (SEGMENT, raw(part("x", b"1") * 500 + END), 400),
    "an unknown field": (SEGMENT, form("files", IMAGE, admin="1"), 422),
    "a frame below 0": (SEGMENT, form("files", IMAGE, frame="-1"), 422),
    "a frame of 10^30": (SEGMENT, form("files", IMAGE, frame="1" + "0" * 30), 422),
    "a frame that does not exist": (SEGMENT, form("files", IMAGE, frame="7"), 422),
    "a million frames requested": (SEGMENT, form("files", IMAGE, count="1000000"), 422),
    "500 frames requested": (SEGMENT, form("files", IMAGE, count="500"), 413),
    "a scale that is NaN": (SEGMENT, form("files", IMAGE, spacing_mm="nan"), 422),
    "a scale that is infinite": (SEGMENT, form("files", IMAGE, spacing_mm="inf"), 422),
    "a scale of 0": (SEGMENT, form("files", IMAGE, spacing_mm="0"), 422),
    "an unknown part": (SEGMENT, form("files", IMAGE, parts="../x"), 422),
    "a form without a boundary": (SEGMENT, raw(part("x", b"1"), "multipart/form-data"), 400),
    "a truncated form": (
        SEGMENT,
        raw(part("files", IMAGE, '; filename="a"')),
        (200, 400, 422),
    ),
    "a part without a name": (SEGMENT, raw(f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END), 400),
    "JSON instead of a form": (SEGMENT, raw(b"{}", "application/json"), 415),
    "a URL-encoded form": (
        SEGMENT,
        raw(b"files=" + b"a" * 1000, "application/x-www-form-urlencoded"),
        415,
    ),
    "polygons with NaN": (MEASURE, form(polygons="[[[NaN,1],[2,3],[4,5]]]", **HERE), 422),
    "polygons with 1e999": (MEASURE, form(polygons="[[[1e999,1],[2,3],[4,5]]]", **HERE), 422),
    "polygons far outside": (MEASURE, form(polygons="[[[1e9,1],[2,3],[4,5]]]", **HERE), 422),
    "polygons of two points": (MEASURE, form(polygons="[[[1,1],[2,3]]]", **HERE), 422),
    "polygons nested wrongly": (MEASURE, form(polygons="[[1,2,3],[4,5,6]]", **HERE), 422),
    "polygons that are an object": (
        MEASURE,
        form(polygons='{"a": [[1,1],[2,2],[3,1]]}', **HERE),
        422,
    ),
    "polygons that are text": (MEASURE, form(polygons='["abc"]', **HERE), 422),
    "polygons nested 100000 deep": (MEASURE, form(polygons="[" * 100_000, **HERE), 422),
    "a number of 5000 digits": (MEASURE, form(polygons=f"[[[{'9' * 5000},1]]]", **HERE), 422),
    "100000 points": (
        MEASURE,
        form(polygons=json.dumps([[[1, 1], [2, 2]] * 50_000]), **HERE),
        422,
    ),
    "a polygon on 8192 x 8192 pixels": (
        MEASURE,
        form(polygons="[[[1,1],[1,9],[9,9]]]", rows="8192", columns="8192"),
        422,
    ),
    "a mask of another size": (MEASURE, form("mask", valid_png(30, 30, "1"), **HERE), (413, 422)),
    "a mask of 300 specks": (MEASURE, form("mask", specks(), **HERE), 422),
    "a mask that is a JPEG": (MEASURE, form("mask", jpeg(), **HERE), 415),
    "a mask that claims 60000 x 60000": (
        MEASURE,
        form("mask", png_of(60_000, 60_000, b"x"), **HERE),
        (413, 422),
    ),
    "a mask and polygons": (
        MEASURE,
        form("mask", valid_png(), polygons="[[[1,1],[1,9],[9,9]]]", **HERE),
        422,
    ),
    "no annotation": (MEASURE, form(**HERE), 422),
    "an unknown export format": ("/v1/export/passwd", form(content=IMAGE), 422),
    "a path traversal in an export": ("/v1/export/..%2f..%2fetc", form(content=IMAGE), 404),
    "a stored id that is a path": (
        "/v1/export/correction",
        form(content=IMAGE, polygons="[[[1,1],[1,9],[9,9]]]", kept="../../etc"),
        422,
    ),
    "SEG of an image without a study": ("/v1/export/seg", form(content=IMAGE), 422),
}
