"""The node as others meet it: what it takes, what it refuses, and that it stays up."""

import resource
import socket
import time
from contextlib import suppress

import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless
from pynetdicom.sop_class import Verification

from suraksha.dicom.network.commitment import Commitments
from suraksha.dicom.network.logs import silence_loggers
from suraksha.dicom.network.queue import Queue
from suraksha.dicom.network.scp import ScpOptions, StorageScp
from suraksha.dicom.network.spool import Spool
from suraksha.errors import UsageError

from ..hostile import (
    DEFLATED,
    OBJECTS,
    SOCKETS,
    UID,
    associate,
    encoded,
    header,
    p_data,
    store_raw,
    write_to,
)
from ..make import us_image
from ..servers import wait_for

# what hostile bytes make pydicom say in our own client and in pynetdicom's threads
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
BOUNDS = NetworkLimits(associations=4, object_bytes=8 << 20, held_bytes=16 << 20, pdu_s=4, idle_s=6)
MIB_OF_RSS = 150


@pytest.fixture
def start(tmp_path):
    """Starts nodes without a worker: what they take stays in the spool."""
    silence_loggers()
    started = []

    def begin(**options):
        spool, queue = Spool(tmp_path / "spool"), Queue(tmp_path / "spool")
        chosen = ScpOptions(**({"port": 0, "bounds": BOUNDS} | options))
        node = StorageScp(spool, queue, options=chosen, commitments=Commitments())
        node.start()
        started.append((node, queue))
        return node, spool, queue

    yield begin
    for node, queue in started:
        node.stop()
        queue.close()


def store(port, path, **more):
    data = dcmread(path)
    association = associate(port, syntax=data.file_meta.TransferSyntaxUID, **more)
    assert association.is_established
    status = association.send_c_store(data)
    association.release()
    return status.get("Status")


def assert_well(node, queue, tmp_path):
    """It answers C-ECHO and keeps a good image."""
    end = time.monotonic() + 10
    while True:  # connections of before may still be closing
        association = associate(node.port)
        if association.is_established or time.monotonic() > end:
            break
        time.sleep(0.1)
    assert association.send_c_echo().get("Status") == 0
    association.release()
    good = us_image(tmp_path / "good.dcm", study="good")
    assert store(node.port, tmp_path / "good.dcm") == 0
    assert queue.state(job_id(good.SOPInstanceUID)) == State.RECEIVED


def test_a_image_lies_in_the_spool_when_it_is_answered(start, tmp_path):
    node, spool, queue = start()
    sent = us_image(tmp_path / "a.dcm")
    assert store(node.port, tmp_path / "a.dcm") == 0
    kept = dcmread(spool.image(job_id(sent.SOPInstanceUID)))
    assert kept.PixelData == sent.PixelData
    assert kept.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert kept.PatientName == sent.PatientName
    assert queue.counts()["received"] == 1
    assert node.counts() == {"stored": 1, "known": 0, "refused": 0, "no_room": 0}


def test_the_same_image_again_is_one_job(start, tmp_path):
    node, _, queue = start()
    us_image(tmp_path / "a.dcm", syntax=RLELossless)
    assert [store(node.port, tmp_path / "a.dcm") for _ in range(3)] == [0, 0, 0]
    assert queue.pending() == 1
    assert node.counts()["known"] == 2


@pytest.mark.parametrize("name", OBJECTS)
def test_a_hostile_object_is_refused_and_the_node_stays_up(start, tmp_path, name):
    node, spool, queue = start()
    content, syntax = OBJECTS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    status = store_raw(node.port, content, syntax=syntax)
    assert status in (0xA900, 0xC000)
    assert time.monotonic() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MIB_OF_RSS << 10
    assert queue.pending() == 0
    assert list((spool.folder / "images").iterdir()) == []
    assert node.counts()["refused"] == 1
    assert_well(node, queue, tmp_path)


@pytest.mark.parametrize("name", SOCKETS)
def test_a_hostile_socket_does_no_harm(start, tmp_path, name):
    node, _, queue = start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_to(node.port, SOCKETS[name])
    wait_for(lambda: not node._server.active_associations, 1.5, "the end of what was begun")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MIB_OF_RSS << 10
    assert_well(node, queue, tmp_path)


@pytest.mark.parametrize(
    "uid", ["../../../../etc/passwd", "/etc/passwd", "1.2\0.3", "9" * 200, "' OR 1=1 --"]
)
def test_a_uid_that_is_a_trick_stays_in_the_spool(start, tmp_path, uid):
    node, spool, queue = start()
    status = None
    try:
        status = store_raw(node.port, encoded(header()), uid=uid)
    except ValueError:  # pynetdicom does not send it
        assert len(uid) > 64
    assert status != 0
    assert {p.name for p in tmp_path.iterdir()} == {"spool"}
    assert list((spool.folder / "images").iterdir()) == []
    assert_well(node, queue, tmp_path)


def test_an_object_longer_than_the_bound_ends_the_association(start, tmp_path):
    node, _, queue = start()
    assert store_raw(node.port, encoded(header()) + bytes(12 << 20)) is None
    assert queue.pending() == 0
    assert_well(node, queue, tmp_path)


def test_many_messages_at_once_are_bounded(start, tmp_path):
    node, _, queue = start()
    store_raw(node.port, encoded(header()), times=60)
    assert queue.pending() <= 1
    assert_well(node, queue, tmp_path)


def test_a_transfer_that_stops_midway_leaves_nothing(start, tmp_path):
    node, spool, queue = start()
    association = associate(node.port)
    wire = association.dul.socket.socket
    wire.sendall(p_data(b"\0" * 3000, control=0))
    wire.shutdown(socket.SHUT_RDWR)
    association.abort()
    wire.close()
    assert list((spool.folder / "images").iterdir()) == []
    assert_well(node, queue, tmp_path)


def test_silent_connections_are_bounded_and_go_away(start, tmp_path):
    node, _, queue = start()
    wires = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(20)]
    time.sleep(0.3)
    closed = 0
    for wire in wires:
        wire.setblocking(False)
        with suppress(BlockingIOError):
            closed += wire.recv(1) == b""
    assert closed >= 20 - 2 * BOUNDS.associations
    assert_well(node, queue, tmp_path)  # while the others are still open, or once they timed out
    for wire in wires:
        wire.close()


def test_only_named_titles_may_call_and_only_the_own_title_is_answered(start, tmp_path):
    node, _, queue = start(allowed=("SCANNER",))
    assert associate(node.port, calling="STRANGER").is_rejected
    assert associate(node.port, title="ANOTHER").is_rejected
    assert_well(node, queue, tmp_path)


def test_what_the_guard_does_not_take_is_not_agreed_to(start, tmp_path):
    node, _, queue = start()
    association = associate(node.port, syntax=DEFLATED)
    assert [c.abstract_syntax for c in association.accepted_contexts] == [Verification]
    association.release()
    assert_well(node, queue, tmp_path)


def test_a_full_disk_or_queue_is_told_as_out_of_resources(start, tmp_path):
    us_image(tmp_path / "a.dcm")
    node, _, _ = start(free_bytes=1 << 60)
    assert store(node.port, tmp_path / "a.dcm") == 0xA700
    node.stop()
    node, _, queue = start(pending=1)
    assert store(node.port, tmp_path / "a.dcm") == 0
    us_image(tmp_path / "b.dcm", number=1)
    assert store(node.port, tmp_path / "b.dcm") == 0xA700
    assert node.counts()["no_room"] == 1
    assert queue.pending() == 1


def test_beyond_loopback_only_when_asked_for_and_with_names():
    with pytest.raises(UsageError, match="--beyond-loopback"):
        ScpOptions(host="0.0.0.0")
    with pytest.raises(UsageError, match="--allow"):
        ScpOptions(host="0.0.0.0", beyond_loopback=True)
    assert ScpOptions(host="0.0.0.0", beyond_loopback=True, allowed=("SCANNER",))
    assert ScpOptions(host="::1")


def test_nothing_of_a_image_is_logged(start, tmp_path, caplog, capfd):
    node, _, _ = start()
    us_image(tmp_path / "a.dcm", PatientName="Secret^Name", PatientID="SECRET-ID")
    store(node.port, tmp_path / "a.dcm")
    store_raw(node.port, encoded(header(PatientName="Secret^Name", Rows=None)))
    told = caplog.text + "".join(capfd.readouterr())
    assert "Secret" not in told
    assert "SECRET" not in told
    assert UID not in told
