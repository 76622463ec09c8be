"""From received to confirmed: what the worker does when images or peers misbehave."""

import pytest
from pydicom.uid import JPEGBaseline8Bit

from suraksha.dicom.network.jobs import Patience, State, job_id
from suraksha.dicom.network.peer import PeerError, reference
from suraksha.dicom.network.queue import Queue
from suraksha.dicom.network.service import open_service
from suraksha.dicom.network.spool import Spool
from suraksha.dicom.network.worker import Worker, WorkOptions
from suraksha.dicom.objects.results import result_objects
from suraksha.errors import BusyError
from suraksha.inference.segmenter import load_segmenter

from .make import image, us_image
from .servers import wait_for


class Folder:
    """A peer that keeps what it gets by UID, and fails in the ways that it is told to."""

    def __init__(self):
        self.kept, self.times, self.trouble = {}, 0, []

    def send(self, paths):
        self.times += 1
        trouble = self.trouble.pop(0) if self.trouble else ""
        if trouble == "away":
            raise PeerError("away")
        if trouble != "lose":
            self.kept |= {reference(path).instance: path.read_bytes() for path in paths}
        return dict.fromkeys(paths, trouble if trouble.startswith("the peer") else "")

    def confirm(self, objects):
        return {one.instance for one in objects if one.instance in self.kept}


@pytest.fixture(scope="module")
def segment():
    return load_segmenter()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def desk(tmp_path, segment):
    """Queue, spool, peer and a worker whose steps the test takes itself."""
    clock = Clock()
    spool = Spool(tmp_path / "spool")
    queue = Queue(tmp_path / "spool", Patience(attempts=4), clock)
    peer = Folder()
    worker = Worker(
        queue,
        spool,
        make=lambda path: result_objects(path, segment),
        destination=peer,
        options=WorkOptions(),
    )
    yield queue, spool, peer, worker, clock
    queue.close()


def put(queue, spool, tmp_path, **elements):
    data = us_image(tmp_path / "in.dcm", **elements)
    job = job_id(data.SOPInstanceUID)
    with spool.arriving() as half:
        half.write_bytes((tmp_path / "in.dcm").read_bytes())
        spool.accept(half, job)
    queue.add(job)
    return job


def test_a_image_goes_all_the_way_and_leaves_nothing(desk, tmp_path):
    queue, spool, peer, worker, _ = desk
    job = put(queue, spool, tmp_path)
    assert worker.segment() == 1
    assert len(spool.results(job)) == 2
    assert worker.deliver() == 2  # sent, then confirmed
    assert queue.state(job) == State.CONFIRMED
    assert len(peer.kept) == 2
    assert not spool.image(job).exists()
    assert spool.results(job) == []
    assert worker.segment() == worker.deliver() == 0


def test_results_made_twice_are_the_same_objects(desk, tmp_path):
    queue, spool, peer, worker, _ = desk
    job = put(queue, spool, tmp_path)
    worker.segment()
    first = {reference(path) for path in spool.results(job)}
    worker.deliver()
    queue.forget_done()
    put(queue, spool, tmp_path)
    worker.segment()
    assert {reference(path) for path in spool.results(job)} == first
    worker.deliver()
    assert len(peer.kept) == 2


def test_a_image_that_cannot_be_decoded_is_a_dead_letter_at_once(desk, tmp_path):
    queue, spool, _, worker, _ = desk
    job = put(queue, spool, tmp_path, pixels=image(0, rgb=True), syntax=JPEGBaseline8Bit)
    path = spool.image(job)
    content = bytearray(path.read_bytes())
    content[-20_000:] = bytes(20_000)
    path.write_bytes(content)
    worker.segment()
    (letter,) = queue.dead()
    assert (letter.id, letter.stage, letter.attempts) == (job, State.RECEIVED, 0)
    assert "Phantom" not in letter.last_error
    assert path.exists()  # for whoever looks into it


def test_an_error_of_another_library_tells_its_kind_alone(desk, tmp_path):
    queue, spool, peer, _, clock = desk
    job = put(queue, spool, tmp_path)

    def fail(path):
        raise KeyError("Phantom^Synthetic")

    worker = Worker(queue, spool, make=fail, destination=peer, options=WorkOptions())
    for _ in range(4):
        worker.segment()
        clock.now += 1000
    (letter,) = queue.dead()
    assert (letter.id, letter.last_error) == (job, "KeyError while it was worked on")


def test_what_a_peer_refuses_is_tried_again_and_then_put_away(desk, tmp_path):
    queue, spool, peer, worker, clock = desk
    job = put(queue, spool, tmp_path)
    worker.segment()
    peer.trouble += ["the peer answered 0xA700"] * 4
    for _ in range(4):
        worker.deliver()
        clock.now += 1000
    (letter,) = queue.dead()
    assert (letter.stage, letter.last_error) == (State.SEGMENTED, "the peer answered 0xA700")
    queue.replay(job)
    worker.deliver()
    assert queue.state(job) == State.CONFIRMED


def test_a_peer_that_is_away_is_waited_for(desk, tmp_path):
    queue, spool, peer, worker, clock = desk
    job = put(queue, spool, tmp_path)
    worker.segment()
    peer.trouble += ["away"] * 10
    for _ in range(10):
        worker.deliver()
        clock.now += 1000
    assert queue.dead() == []
    worker.deliver()
    assert queue.state(job) == State.CONFIRMED


def test_what_a_peer_took_and_lost_is_sent_again(desk, tmp_path):
    queue, spool, peer, worker, clock = desk
    job = put(queue, spool, tmp_path)
    worker.segment()
    peer.trouble += ["lose"]
    for _ in range(4):
        worker.deliver()
        clock.now += 1000
    assert queue.state(job) == State.CONFIRMED
    assert peer.times == 2


def test_results_that_somebody_removed_are_made_anew(desk, tmp_path):
    queue, spool, peer, worker, clock = desk
    job = put(queue, spool, tmp_path)
    worker.segment()
    for path in spool.results(job):
        path.unlink()
    worker.deliver()
    clock.now += 1000
    worker.segment()
    worker.deliver()
    assert queue.state(job) == State.CONFIRMED
    assert len(peer.kept) == 2


def test_one_process_works_in_a_folder_and_picks_up_what_another_left(tmp_path, segment):
    spool, queue = Spool(tmp_path / "spool"), Queue(tmp_path / "spool")
    job = put(queue, spool, tmp_path)
    queue.take(State.RECEIVED)  # and died
    queue.close()
    (tmp_path / "spool" / "images" / ".arriving.dcm.0a1b.part").write_bytes(b"half")
    (tmp_path / "spool" / "images" / "unknown.dcm").write_bytes(b"no job")

    def work():
        return open_service(
            tmp_path / "spool",
            lambda path: result_objects(path, segment),
            destination=Folder(),
            patience=Patience(),
            options=WorkOptions(keep=True),
        )

    with work() as desk:
        names = {p.name for p in (tmp_path / "spool" / "images").iterdir()}
        assert names == {f"{job}.dcm"}
        wait_for(lambda: desk.queue.state(job) == State.CONFIRMED, 20, "the job")
        with pytest.raises(BusyError), work():
            pass
    assert spool.image(job).exists()  # keep
    with work():
        assert spool.image(job).exists()
