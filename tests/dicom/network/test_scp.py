"""The storage SCP: what it accepts and refuses, and that it stays available."""

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
from suraksha.dicom.network.queue import Queue, State, job_id
from suraksha.dicom.network.scp import ScpOptions, StorageScp
from suraksha.dicom.network.server import NetworkLimits
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

# warnings of pydicom about hostile bytes, in our own client and in pynetdicom's threads
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
LIMITS = NetworkLimits(
    max_associations=4,
    max_object_bytes=8 << 20,
    max_memory_bytes=16 << 20,
    pdu_timeout_s=4,
    idle_timeout_s=6,
)
MAX_RSS_MIB = 150


@pytest.fixture
def start(tmp_path):
    """Starts SCPs without a worker: what they accept stays in the spool."""
    silence_loggers()
    started = []

    def begin(**options):
        spool, queue = Spool(tmp_path / "spool"), Queue(tmp_path / "spool")
        chosen = ScpOptions(**({"port": 0, "limits": LIMITS} | options))
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


def assert_available(node, queue, tmp_path):
    """It answers C-ECHO and stores a valid image."""
    end = time.monotonic() + 10
    while True:  # earlier connections may still be closing
        association = associate(node.port)
        if association.is_established or time.monotonic() > end:
            break
        time.sleep(0.1)
    assert association.send_c_echo().get("Status") == 0
    association.release()
    good = us_image(tmp_path / "good.dcm", study="good")
    assert store(node.port, tmp_path / "good.dcm") == 0
    assert queue.state(job_id(good.SOPInstanceUID)) == State.RECEIVED


def test_an_image_is_in_the_spool_when_it_is_answered(start, tmp_path):
    node, spool, queue = start()
    sent = us_image(tmp_path / "a.dcm")
    assert store(node.port, tmp_path / "a.dcm") == 0
    kept = dcmread(spool.image(job_id(sent.SOPInstanceUID)))
    assert kept.PixelData == sent.PixelData
    assert kept.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert kept.PatientName == sent.PatientName
    assert queue.counts()["received"] == 1
    assert node.counts() == {
        "stored": 1,
        "known": 0,
        "refused": 0,
        "failed": 0,
        "out_of_resources": 0,
    }


def test_an_image_that_is_sent_repeatedly_is_one_job(start, tmp_path):
    node, _, queue = start()
    us_image(tmp_path / "a.dcm", syntax=RLELossless)
    assert [store(node.port, tmp_path / "a.dcm") for _ in range(3)] == [0, 0, 0]
    assert queue.pending() == 1
    assert node.counts()["known"] == 2


@pytest.mark.parametrize("name", OBJECTS)
def test_a_hostile_object_is_refused_and_the_scp_stays_available(start, tmp_path, name):
    node, spool, queue = start()
    content, syntax = OBJECTS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    status = store_raw(node.port, content, syntax=syntax)
    assert status in (0xA900, 0xC000)
    assert time.monotonic() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_RSS_MIB << 10
    assert queue.pending() == 0
    assert list((spool.folder / "images").iterdir()) == []
    assert node.counts()["refused"] == 1
    assert_available(node, queue, tmp_path)


@pytest.mark.parametrize("name", SOCKETS)
def test_hostile_bytes_on_the_socket_do_no_harm(start, tmp_path, name):
    node, _, queue = start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_to(node.port, SOCKETS[name])
    wait_for(lambda: not node._server.active_associations, 1.5, "the end of the association")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_RSS_MIB << 10
    assert_available(node, queue, tmp_path)


@pytest.mark.parametrize(
    "uid", ["../../../../etc/passwd", "/etc/passwd", "1.2\0.3", "9" * 200, "' OR 1=1 --"]
)
def test_a_malicious_uid_is_never_used_as_a_path(start, tmp_path, uid):
    node, spool, queue = start()
    status = None
    try:
        status = store_raw(node.port, encoded(header()), uid=uid)
    except ValueError:  # pynetdicom refuses to send it
        assert len(uid) > 64
    assert status != 0
    assert {p.name for p in tmp_path.iterdir()} == {"spool"}
    assert list((spool.folder / "images").iterdir()) == []
    assert_available(node, queue, tmp_path)


def test_an_object_above_the_limit_ends_the_association(start, tmp_path):
    node, _, queue = start()
    assert store_raw(node.port, encoded(header()) + bytes(12 << 20)) is None
    assert queue.pending() == 0
    assert_available(node, queue, tmp_path)


def test_many_concurrent_messages_are_limited(start, tmp_path):
    node, _, queue = start()
    store_raw(node.port, encoded(header()), times=60)
    assert queue.pending() <= 1
    assert_available(node, queue, tmp_path)


def test_an_interrupted_transfer_leaves_no_file(start, tmp_path):
    node, spool, queue = start()
    association = associate(node.port)
    wire = association.dul.socket.socket
    wire.sendall(p_data(b"\0" * 3000, control=0))
    wire.shutdown(socket.SHUT_RDWR)
    association.abort()
    wire.close()
    assert list((spool.folder / "images").iterdir()) == []
    assert_available(node, queue, tmp_path)


def test_silent_connections_are_limited_and_time_out(start, tmp_path):
    node, _, queue = start()
    wires = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(20)]
    time.sleep(0.3)
    closed = 0
    for wire in wires:
        wire.setblocking(False)
        with suppress(BlockingIOError):
            closed += wire.recv(1) == b""
    assert closed >= 20 - 2 * LIMITS.max_associations
    assert_available(node, queue, tmp_path)  # while the others are open, or after they timed out
    for wire in wires:
        wire.close()


def test_unknown_calling_and_called_titles_are_rejected(start, tmp_path):
    node, _, queue = start(allowed_titles=("SCANNER",))
    assert associate(node.port, calling="STRANGER").is_rejected
    assert associate(node.port, title="ANOTHER").is_rejected
    assert_available(node, queue, tmp_path)


def test_unsupported_transfer_syntaxes_are_not_negotiated(start, tmp_path):
    node, _, queue = start()
    association = associate(node.port, syntax=DEFLATED)
    assert [c.abstract_syntax for c in association.accepted_contexts] == [Verification]
    association.release()
    assert_available(node, queue, tmp_path)


def test_a_full_disk_or_queue_is_answered_with_out_of_resources(start, tmp_path):
    us_image(tmp_path / "a.dcm")
    node, _, _ = start(min_free_bytes=1 << 60)
    assert store(node.port, tmp_path / "a.dcm") == 0xA700
    node.stop()
    node, _, queue = start(max_pending=1)
    assert store(node.port, tmp_path / "a.dcm") == 0
    us_image(tmp_path / "b.dcm", number=1)
    assert store(node.port, tmp_path / "b.dcm") == 0xA700
    assert node.counts()["out_of_resources"] == 1
    assert queue.pending() == 1


def test_remote_access_needs_an_option_and_allowed_titles():
    with pytest.raises(UsageError, match="--allow-remote"):
        ScpOptions(host="0.0.0.0")
    with pytest.raises(UsageError, match="--allow"):
        ScpOptions(host="0.0.0.0", allow_remote=True)
    assert ScpOptions(host="0.0.0.0", allow_remote=True, allowed_titles=("SCANNER",))
    assert ScpOptions(host="::1")


def test_an_unexpected_error_is_counted_and_logged_without_its_text(
    start, tmp_path, caplog, monkeypatch
):
    node, _, queue = start()

    def fail(job):
        raise KeyError("Phantom^Synthetic")

    us_image(tmp_path / "a.dcm")
    with monkeypatch.context() as broken:
        broken.setattr(queue, "state", fail)
        assert store(node.port, tmp_path / "a.dcm") == 0xC000
    assert node.counts()["failed"] == 1
    assert "KeyError at suraksha.dicom.network.scp:" in caplog.text
    assert "Phantom" not in caplog.text
    assert_available(node, queue, tmp_path)


def test_logs_contain_no_patient_data(start, tmp_path, caplog, capfd):
    node, _, _ = start()
    us_image(tmp_path / "a.dcm", PatientName="Secret^Name", PatientID="SECRET-ID")
    store(node.port, tmp_path / "a.dcm")
    store_raw(node.port, encoded(header(PatientName="Secret^Name", Rows=None)))
    logged = caplog.text + "".join(capfd.readouterr())
    assert "Secret" not in logged
    assert "SECRET" not in logged
    assert UID not in logged
