"""Images in, SEG and SR out, between real DICOM applications."""

import gc
import subprocess
import threading
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEGBaseline8Bit
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from suraksha.dicom.network.commitment import Commitments
from suraksha.dicom.network.logs import silence_loggers
from suraksha.dicom.network.peer import Peer, PeerError, Reference, reference
from suraksha.dicom.network.scu import DicomDestination, SendOptions
from suraksha.dicom.objects.results import result_objects
from suraksha.errors import UsageError
from suraksha.inference.segmenter import load_segmenter
from suraksha.io.dicom import DicomFile

from ..make import image, region, us_cine, us_files, us_image
from ..servers import DICOM, NODE, Listening, Orthanc, wait_for

ORTHANC = Peer("ORTHANC", "127.0.0.1", DICOM)
AT_ORTHANC = f"ORTHANC@127.0.0.1:{DICOM}"


@pytest.fixture(scope="session")
def segment():
    return load_segmenter()


def storescu(*paths, words=()):
    """Send with DCMTK; -R proposes only the needed contexts, -xy also lossy JPEG."""
    done = subprocess.run(
        ["storescu", "-R", *words, "-aec", "SURAKSHA", "127.0.0.1", str(NODE), *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def conforms(content, tmp_path):
    path = tmp_path / "checked.dcm"
    path.write_bytes(content)
    done = subprocess.run(
        ["dciodvfy", "-new", path], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr


def images(folder):
    """A single frame below a banner, an RGB frame, a cine, a lossy RGB cine and one without."""
    folder.mkdir()
    scan = [region(30, 0, 229, 249)]
    us_image(folder / "one.dcm", pixels=image(0, banner=30), regions=scan, study="a")
    us_image(folder / "rgb.dcm", pixels=image(1, rgb=True), number=1, study="b")
    us_cine(folder / "cine.dcm", frames=3, study="c")
    us_cine(folder / "lossy.dcm", frames=2, rgb=True, study="d", syntax=JPEGBaseline8Bit)
    us_image(folder / "none.dcm", pixels=image(3), number=3, study="e")
    return sorted(folder.iterdir())


def confirmed(node):
    return (node.status() or {"queue": {"confirmed": 0}})["queue"]["confirmed"]


def waiting(node):
    return (node.status() or {"queue": {"segmented": 0}})["queue"]["segmented"]


def numbers(dataset):
    """The measured values of an SR, as (name, value), in order."""
    found = []
    for item in dataset.get("ContentSequence", []):
        if item.ValueType == "NUM":
            value = item.MeasuredValueSequence[0]
            found.append((item.ConceptNameCodeSequence[0].CodeMeaning, float(value.NumericValue)))
        found += numbers(item)
    return found


def close(found, expected):
    """The same names, and the same numbers up to what another process rounds otherwise."""
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [value for _, value in found] == pytest.approx([v for _, v in expected], rel=1e-5)
    return True


def test_images_sent_by_dcmtk_are_answered_with_seg_and_sr(orthanc, tmp_path, segment):
    sent = images(tmp_path / "in")
    log = tmp_path / "node.log"
    with Listening("listen", "--spool", tmp_path / "spool", "--to", AT_ORTHANC, log=log) as node:
        lossy = tmp_path / "in" / "lossy.dcm"
        assert storescu(lossy, words=["-xy"]) == (0, "")
        assert storescu(*(path for path in sent if path != lossy)) == (0, "")
        wait_for(lambda: confirmed(node) == 5, 60, "results of five images")
        assert node.stop() == 0
    assert (len(orthanc.stored("SR")), len(orthanc.stored("SEG"))) == (5, 4)
    assert [p.name for p in (tmp_path / "spool" / "images").iterdir()] == []
    there = {}
    for kind in ("SEG", "SR"):
        for instance in orthanc.stored(kind):
            content = orthanc.file(instance)
            conforms(content, tmp_path)
            dataset = dcmread(BytesIO(content))
            there[dataset.SOPInstanceUID] = dataset
    for path in sent:
        wanted = result_objects(path, segment)
        header = DicomFile(path).header
        for expected in wanted:
            found = there.pop(expected.SOPInstanceUID)
            assert found.StudyInstanceUID == header.StudyInstanceUID
            assert found.PatientID == header.PatientID
            assert close(numbers(found), numbers(expected))
            if found.Modality == "SEG":
                assert np.array_equal(found.pixel_array, expected.pixel_array)
                assert found.pixel_array.any()
    assert there == {}
    text = log.read_text()
    assert "Phantom" not in text
    assert "SYN-0001" not in text
    assert "one.dcm" not in text


def test_an_unreachable_peer_receives_all_results_when_it_is_back(orthanc, tmp_path):
    orthanc.stop()
    sent = us_files(tmp_path / "in", 4)
    log = tmp_path / "node.log"
    words = ("listen", "--spool", tmp_path / "spool", "--to", AT_ORTHANC, "--confirm", "query")
    with Listening(*words, log=log) as node:
        assert storescu(*sent)[0] == 0
        wait_for(lambda: waiting(node), 30, "a segmented image")
        node.kill()
        node.start()
        orthanc.start()
        wait_for(lambda: confirmed(node) == 4, 60, "results of four images")
        assert storescu(*sent)[0] == 0  # all are known
        assert node.stop() == 0
    assert len(orthanc.stored("SR")) == 4
    assert len(orthanc.stored("SEG")) == 3


def sendable(folder):
    return us_files(folder / "in", 2)


@pytest.mark.parametrize("how", ["query", "none"])
def test_objects_are_sent_and_confirmed(orthanc, tmp_path, how):
    silence_loggers()
    paths = sendable(tmp_path)
    destination = DicomDestination(ORTHANC, SendOptions(confirm=how))
    assert destination.send(paths) == dict.fromkeys(paths, "")
    sent = [reference(path) for path in paths]
    assert destination.confirm(sent) == {one.instance for one in sent}
    other = Reference(sent[0].sop_class, "1.2.3.4", sent[0].series, sent[0].study)
    assert destination.confirm([other]) == (set() if how == "query" else {"1.2.3.4"})
    assert len(orthanc.stored("US")) == 2
    destination.send(paths)
    assert len(orthanc.stored("US")) == 2


def test_a_storage_commitment_report_of_orthanc_arrives(orthanc, tmp_path):
    silence_loggers()
    commitments = Commitments()
    inbox = AE(ae_title="SURAKSHA")
    inbox.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = inbox.start_server(
        ("127.0.0.1", NODE),
        block=False,
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, commitments.handle)],
    )
    try:
        paths = sendable(tmp_path)
        destination = DicomDestination(ORTHANC, SendOptions(confirm="commitment"), commitments)
        destination.send(paths)
        sent = [reference(path) for path in paths]
        assert destination.confirm(sent) == {one.instance for one in sent}
        gone = Reference(sent[0].sop_class, "1.2.3.4", sent[0].series, sent[0].study)
        assert destination.confirm([sent[0], gone]) == {sent[0].instance}
    finally:
        server.shutdown()


def test_without_a_commitment_report_the_peer_is_queried(orthanc, tmp_path):
    silence_loggers()
    paths = sendable(tmp_path)  # nothing listens where Orthanc reports to
    destination = DicomDestination(ORTHANC, SendOptions(confirm="auto", commitment_timeout_s=0.5))
    destination.send(paths)
    sent = [reference(path) for path in paths]
    assert destination.confirm(sent) == {one.instance for one in sent}
    strict = DicomDestination(ORTHANC, SendOptions(confirm="commitment", commitment_timeout_s=0.5))
    with pytest.raises(PeerError, match="commitment"):
        strict.confirm(sent)


# pynetdicom leaves a socket that did not connect to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_unreachable_peer_and_a_wrong_title_are_reported(own_network, tmp_path):
    silence_loggers()
    paths = sendable(tmp_path)
    with pytest.raises(PeerError, match="connection refused or timed out"):
        DicomDestination(Peer("ANY", "127.0.0.1", 4), SendOptions(timeout_s=2)).send(paths)
    with Orthanc(tmp_path / "orthanc"), pytest.raises(PeerError, match="rejected"):
        DicomDestination(Peer("WRONG", "127.0.0.1", DICOM), SendOptions()).send(paths)
    gc.collect()


@pytest.fixture
def scripted_peer():
    """A peer whose answers are chosen by the test."""
    answers = []
    entity = AE(ae_title="SCRIPTED")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context(Verification)

    def answer(event):
        status = answers.pop(0)
        if status is None:
            event.assoc.abort()
        return status or 0

    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)]
    )
    yield Peer("SCRIPTED", "127.0.0.1", server.server_address[1]), answers
    server.shutdown()


def test_the_status_of_each_object_is_reported(scripted_peer, tmp_path):
    silence_loggers()
    peer, answers = scripted_peer
    paths = us_files(tmp_path, 3)
    answers += [0xA700, 0xB000, 0x0000]
    problems = DicomDestination(peer, SendOptions()).send(paths)
    assert list(problems.values()) == ["the peer answered 0xA700", "", ""]
    answers += [0x0000, None]
    with pytest.raises(PeerError):
        DicomDestination(peer, SendOptions()).send(paths)
    sent = [reference(paths[0])]
    with pytest.raises(PeerError):  # it offers neither commitment nor a query
        DicomDestination(peer, SendOptions()).confirm(sent)


@pytest.mark.parametrize(
    "text",
    ["", "ORTHANC", "ORTHANC@host", "@host:1", "A@h:0", "A@h:99999", "TOO-LONG-A-TITLE-X@h:1"],
)
def test_invalid_addresses_are_refused(text):
    with pytest.raises(UsageError):
        Peer.parse(text)


def test_addresses_are_parsed():
    assert Peer.parse("ORTHANC@10.0.0.1:4242") == Peer("ORTHANC", "10.0.0.1", 4242)
    assert Peer.parse("MY PACS@[::1]:104") == Peer("MY PACS", "::1", 104)


def test_commitment_reports_without_a_request_are_rejected():
    from types import SimpleNamespace

    from pydicom.dataset import Dataset

    commitments = Commitments()
    report = Dataset()
    report.TransactionUID = "2.25.1"
    report.ReferencedSOPSequence = []
    status, _ = commitments.handle(SimpleNamespace(event_information=report))
    assert status == 0x0112
    assert threading.active_count() < 50
