"""Hostile input for the storage SCP: invalid objects, and bytes that violate the protocol."""

import socket
import struct
import time
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    UltrasoundImageStorage,
)
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

UID = "1.2.826.0.1.3680043.8.498.1"


def header(**elements):
    """A small valid US Image with changed elements; None removes one."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = UltrasoundImageStorage, UID
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{UID}.1", f"{UID}.2"
    data.Modality, data.SamplesPerPixel = "US", 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows = data.Columns = 64
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = bytes(64 * 64)
    data["PixelData"].VR = "OB"
    for name, value in elements.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    return data


def encoded(data, *, implicit=False):
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, True
    write_dataset(buffer, data)
    return buffer.getvalue()


def nested(depth):
    """Nested sequences of undefined length, then a valid image."""
    start = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return start * depth + end * depth


def private(count):
    """A header of many long private elements."""
    data = header()
    for number in range(count):
        data.private_block(0x0009 + 2 * number, "TESTS", create=True).add_new(1, "OB", bytes(60000))
    return encoded(data)


def rle(rows, columns):
    data = header(Rows=rows, Columns=columns)
    frame = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x00" * 32
    item = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0" + struct.pack("<L", len(frame)) + frame
    delattr(data, "PixelData")
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return encoded(data) + pixels


# name -> (bytes, transfer syntax)
OBJECTS = {
    "one byte": (b"\0", ExplicitVRLittleEndian),
    "random bytes": (bytes(range(256)) * 40, ExplicitVRLittleEndian),
    "zeros": (bytes(100_000), ExplicitVRLittleEndian),
    "a PNG": (b"\x89PNG\r\n\x1a\n" + bytes(5000), ExplicitVRLittleEndian),
    "5000 nested sequences": (nested(5000) + encoded(header()), ExplicitVRLittleEndian),
    "100 nested sequences": (nested(100) + encoded(header()), ExplicitVRLittleEndian),
    "a truncated header": (encoded(header())[:150], ExplicitVRLittleEndian),
    "truncated pixels": (encoded(header())[:-2000], ExplicitVRLittleEndian),
    "65535 x 65535 pixels": (encoded(header(Rows=65535, Columns=65535)), ExplicitVRLittleEndian),
    "two billion frames": (encoded(header(NumberOfFrames="2000000000")), ExplicitVRLittleEndian),
    "an invalid number of frames": (
        encoded(header(NumberOfFrames="12")).replace(b"IS\x02\x0012", b"IS\x02\x00xx"),
        ExplicitVRLittleEndian,
    ),
    "an RLE bomb": (rle(30000, 30000), RLELossless),
    "no pixels": (encoded(header(PixelData=None)), ExplicitVRLittleEndian),
    "no rows": (encoded(header(Rows=None)), ExplicitVRLittleEndian),
    "64 bits a pixel": (encoded(header(BitsAllocated=64)), ExplicitVRLittleEndian),
    "9 samples a pixel": (encoded(header(SamplesPerPixel=9)), ExplicitVRLittleEndian),
    "another SOP class inside": (
        encoded(header(SOPClassUID=CTImageStorage)),
        ExplicitVRLittleEndian,
    ),
    "another UID inside": (encoded(header(SOPInstanceUID=f"{UID}.9")), ExplicitVRLittleEndian),
    "no UID inside": (encoded(header(SOPInstanceUID=None)), ExplicitVRLittleEndian),
    "an element of 4 GiB": (
        b"\x08\x00\x08\x00UN\0\0\xf0\xff\xff\xff" + encoded(header()),
        ExplicitVRLittleEndian,
    ),
    "a header of 6 MB": (private(100), ExplicitVRLittleEndian),
}


def associate(port, *, title="SURAKSHA", calling="SCANNER", syntax=ExplicitVRLittleEndian, **more):
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    entity.add_requested_context(UltrasoundImageStorage, syntax)
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", port, ae_title=title, **more)
    if not association.is_established and association.dul.socket is not None:
        wire = association.dul.socket.socket
        if wire is not None:  # pynetdicom leaves it to the garbage collector
            wire.close()
    return association


def store_raw(port, content, *, uid=UID, syntax=ExplicitVRLittleEndian, times=1):
    """Send bytes as the data set of a C-STORE; the status, or None if the peer aborts."""
    association = associate(port, syntax=syntax)
    if not association.is_established:
        raise ConnectionError("no association")
    association._reactor_checkpoint.clear()  # as send_c_store does, to read the answer here
    while not association._is_paused and association.is_alive():
        time.sleep(0.01)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UltrasoundImageStorage, uid
    (context,) = [
        c for c in association.accepted_contexts if c.abstract_syntax == UltrasoundImageStorage
    ]
    for _ in range(times):
        request.DataSet = BytesIO(content)
        association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association.abort() if association.is_established else None
    return getattr(answer, "Status", None)


def pdu(kind, content, length=None):
    return struct.pack(">BBL", kind, 0, len(content) if length is None else length) + content


def request_bytes(title=b"SURAKSHA", calling=b"SCANNER"):
    """An A-ASSOCIATE-RQ for Verification."""

    def item(kind, content):
        return struct.pack(">BBH", kind, 0, len(content)) + content

    context = b"\1\0\0\0" + item(0x30, b"1.2.840.10008.1.1") + item(0x40, b"1.2.840.10008.1.2")
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    body = struct.pack(">HH", 1, 0) + title.ljust(16) + calling.ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user)
    return pdu(1, body)


def p_data(content, control=3):
    return pdu(4, struct.pack(">LBB", len(content) + 2, 1, control) + content)


# name -> what is written to the socket, in pieces, with a short wait for an answer after each
SOCKETS = {
    "random bytes": [b"\xde\xad\xbe\xef" * 1000],
    "HTTP": [b"GET / HTTP/1.1\r\nHost: node\r\n\r\n"],
    "three bytes": [b"\x01\x00\x00"],
    "a PDU of 4 GiB": [pdu(1, b"x" * 100, 0xFFFFFFFF)],
    "P-DATA before an association": [p_data(b"\0" * 40)],
    "an immediate abort": [pdu(7, b"\0\0\0\0")],
    "a truncated association request": [request_bytes()[:60]],
    "an invalid association request": [pdu(1, b"\xff" * 300)],
    "an association request with wrong lengths": [request_bytes()[:74] + b"\x10\0\xff\xff" * 50],
    "a P-DATA of 4 GiB": [request_bytes(), pdu(4, b"\0" * 100, 0xFFFFFFFF)],
    "an invalid command": [request_bytes(), p_data(b"\xff" * 200)],
    "an empty command": [request_bytes(), p_data(b"")],
    "a command without a field": [request_bytes(), p_data(b"\0\0\0\0\4\0\0\0\0\0\0\0")],
    "a command of an unknown kind": [
        request_bytes(),
        p_data(b"\0\0\0\1\2\0\0\0\x77\x77\0\0\0\x08\2\0\0\0\1\1"),
    ],
    "PDVs with wrong lengths": [request_bytes(), pdu(4, struct.pack(">LBB", 0xFFFF, 1, 3))],
    "a context that was not negotiated": [
        request_bytes(),
        pdu(4, struct.pack(">LBB", 12, 77, 3) + b"\0" * 10),
    ],
    "a second association request": [request_bytes(), request_bytes()],
}


def write_to(port, pieces):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.settimeout(0.3)
        try:
            for piece in pieces:
                wire.sendall(piece)
                wire.recv(1 << 16)
        except OSError:  # no answer, or a closed connection
            pass


DEFLATED = DeflatedExplicitVRLittleEndian
