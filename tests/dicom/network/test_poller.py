"""Images from a real DICOMweb server, SEG and SR back to it."""

from io import BytesIO

import pytest
from pydicom import dcmread

from suraksha.dicom.network.dicomweb import WebArchive, WebOptions, save_part
from suraksha.dicom.network.logs import silence_loggers
from suraksha.dicom.network.peer import PeerError, Reference, reference
from suraksha.dicom.network.poller import Poller, PollOptions
from suraksha.dicom.network.queue import Queue, State, job_id
from suraksha.dicom.network.spool import Spool
from suraksha.errors import InputError, UsageError

from ..hostile import encoded, header
from ..make import us_cine, us_files, us_image
from ..servers import PASSWORD, USER, Listening, wait_for

LOGIN = WebOptions(user=USER, password=PASSWORD)


@pytest.fixture(autouse=True)
def _silence():
    silence_loggers()


@pytest.fixture
def polling(orthanc, tmp_path):
    spool, queue = Spool(tmp_path / "spool"), Queue(tmp_path / "spool")
    archive = WebArchive(orthanc.web, LOGIN)
    yield Poller(archive, spool, queue, options=PollOptions(min_free_bytes=0)), spool, queue
    queue.close()


def test_watch_stores_results_in_the_study_of_the_images(orthanc, tmp_path, monkeypatch):
    monkeypatch.setenv("SURAKSHA_DICOMWEB_PASSWORD", PASSWORD)
    for path in us_files(tmp_path / "in", 3):
        orthanc.upload(path)
    us_cine(tmp_path / "cine.dcm", frames=2, study="cine")
    words = ("watch", orthanc.web, "--spool", tmp_path / "spool", "--user", USER, "--every", 0.3)

    def confirmed():
        return (node.status() or {"queue": {"confirmed": 0}})["queue"]["confirmed"]

    with Listening(*words, log=tmp_path / "log") as node:
        wait_for(lambda: confirmed() == 3, 60, "results of three images")
        orthanc.upload(tmp_path / "cine.dcm")  # a new one while it polls
        wait_for(lambda: confirmed() == 4, 60, "the result of the clip")
        assert node.stop() == 0
    assert (len(orthanc.stored("SR")), len(orthanc.stored("SEG"))) == (4, 4)
    studies = {dcmread(BytesIO(orthanc.file(i))).StudyInstanceUID for i in orthanc.stored("SR")}
    sent = dcmread(tmp_path / "cine.dcm", stop_before_pixels=True)
    assert sent.StudyInstanceUID in studies
    log = (tmp_path / "log").read_text()
    assert PASSWORD not in log
    assert "SYN-0001" not in log


def test_each_image_is_retrieved_once_and_unchanged(orthanc, polling, tmp_path):
    poller, spool, queue = polling
    for path in us_files(tmp_path / "in", 2):
        orthanc.upload(path)
    assert poller.poll() == 2
    assert poller.poll() == 0
    sent = dcmread(tmp_path / "in" / "us-0001.dcm")
    kept = dcmread(spool.image(job_id(sent.SOPInstanceUID)))
    assert kept.PixelData == sent.PixelData
    assert queue.pending() == 2
    us_image(tmp_path / "late.dcm", number=9)  # into the same series
    orthanc.upload(tmp_path / "late.dcm")
    assert poller.poll() == 1


class Answer:
    """What an archive answers for one image."""

    def __init__(self, status_code, body=b""):
        self.status_code, self.body = status_code, body
        self.headers = {"Content-Type": "multipart/related; boundary=B"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def raise_for_status(self):
        assert self.status_code < 400

    def iter_content(self, _):
        yield self.body


@pytest.mark.parametrize(("code", "requests"), [(404, 3), (410, 1), (500, 3), (503, 3)])
def test_an_image_that_the_server_cannot_deliver_does_not_stop_others(
    tmp_path, monkeypatch, code, requests
):
    path = tmp_path / "good.dcm"
    good = str(us_image(path).SOPInstanceUID)
    body = b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n--B--"
    archive, requested = WebArchive("http://127.0.0.1:1/x", WebOptions()), []

    def get(url, **_):
        requested.append(url.rsplit("/", 1)[1])
        return Answer(200, body) if requested[-1] == good else Answer(code)

    both = [Reference("1.2", name, "1.1", "1") for name in ("9.9.9", good)]
    monkeypatch.setattr(archive, "series", lambda dates="": iter([("1", "1.1", 2)]))
    monkeypatch.setattr(archive, "images", lambda study, series: iter(both))
    monkeypatch.setattr(archive._session, "get", get)
    queue = Queue(tmp_path / "spool")
    poller = Poller(
        archive, Spool(tmp_path / "spool"), queue, options=PollOptions(min_free_bytes=0)
    )
    assert [poller.poll() for _ in range(3)] == [1, 0, 0]
    assert requested.count("9.9.9") == requests, "temporary errors are retried"
    assert requested.count(good) == 1
    queue.close()


def test_an_unusable_image_moves_to_the_dead_letter_queue_and_is_not_retrieved_again(
    orthanc, polling, tmp_path
):
    poller, spool, queue = polling
    us_image(tmp_path / "good.dcm")
    orthanc.upload(tmp_path / "good.dcm")
    bad = us_image(tmp_path / "bad.dcm", study="bad", Rows=60_000)
    orthanc.upload(tmp_path / "bad.dcm")
    assert poller.poll() == 1
    assert poller.counts()["refused"] == 1
    assert queue.state(job_id(bad.SOPInstanceUID)) == State.DEAD
    assert poller.poll() == 0
    assert poller.counts()["refused"] == 1
    assert len(list((spool.folder / "images").iterdir())) == 1


def test_an_image_above_the_limit_is_not_retrieved(orthanc, tmp_path):
    path = us_files(tmp_path / "in", 1)[0]
    orthanc.upload(path)
    archive = WebArchive(
        orthanc.web, WebOptions(user=USER, password=PASSWORD, max_object_bytes=10_000)
    )
    with pytest.raises(InputError, match="larger than"):
        archive.retrieve(reference(path), tmp_path / "out.dcm")


def test_objects_are_stored_once_and_confirmed(orthanc, tmp_path):
    archive = WebArchive(orthanc.web, LOGIN)
    paths = us_files(tmp_path / "in", 2)
    for _ in range(2):
        assert archive.send(paths) == dict.fromkeys(paths, "")
    assert len(orthanc.stored("US")) == 2
    sent = [reference(path) for path in paths]
    other = Reference(sent[0].sop_class, "1.2.3", sent[0].series, sent[0].study)
    assert archive.confirm([*sent, other]) == {one.instance for one in sent}


def test_errors_of_the_server_are_reported(orthanc, tmp_path):
    archive = WebArchive(orthanc.web, WebOptions(user=USER, password="wrong"))
    with pytest.raises(PeerError, match="401"):
        list(archive.series())
    with pytest.raises(PeerError):
        list(WebArchive("http://127.0.0.1:9/dicom-web", LOGIN).series())
    missing = Reference("1.2", "1.2.3", "1.2.4", "1.2.5")
    with pytest.raises(PeerError, match="404"):
        WebArchive(orthanc.web, LOGIN).retrieve(missing, tmp_path / "x.dcm")


def test_plain_http_to_another_computer_and_invalid_urls_are_refused():
    with pytest.raises(UsageError, match="refusing plain HTTP"):
        WebArchive("http://pacs.example/dicom-web", LOGIN)
    for url in ("ftp://127.0.0.1/", "http://me:secret@127.0.0.1/", "127.0.0.1:8042", ""):
        with pytest.raises(UsageError) as caught:
            WebArchive(url, LOGIN)
        assert "secret" not in str(caught.value)


KIND = 'multipart/related; type="application/dicom"; boundary=XX'


def parts(content, *, boundary=b"XX"):
    head = b"\r\nContent-Type: application/dicom\r\n\r\n"
    return b"--" + boundary + head + content + b"\r\n--" + boundary + b"--\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_the_first_part_is_found_for_every_chunk_size(tmp_path, size):
    content = encoded(header()) + b"\r\n--X--\r\n\r\n"
    answer = parts(content)
    chunks = [answer[at : at + size] for at in range(0, len(answer), size)]
    save_part(chunks, KIND, path=tmp_path / "x", limit=1 << 20)
    assert (tmp_path / "x").read_bytes() == content


@pytest.mark.parametrize(
    ("answer", "kind", "why"),
    [
        (parts(b"x" * 100)[:-30], KIND, "incomplete"),
        (b"", KIND, "incomplete"),
        (b"\0" * 50_000, KIND, "contains no part"),
        (parts(b"x"), "application/json", "not multipart"),
        (parts(b"x"), "multipart/related", "not multipart"),
        (parts(bytes(5000)), KIND, "larger"),
    ],
)
def test_invalid_answers_are_refused(tmp_path, answer, kind, why):
    with pytest.raises(InputError, match=why):
        save_part([answer], kind, path=tmp_path / "x", limit=4000)
