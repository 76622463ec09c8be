"""The worker: from received to confirmed, with unusable images and unreliable peers."""

import logging
import threading

import pytest
from pydicom.uid import JPEGBaseline8Bit

from suraksha.dicom.network.peer import PeerError, reference
from suraksha.dicom.network.queue import Queue, RetryPolicy, State, job_id
from suraksha.dicom.network.service import open_service
from suraksha.dicom.network.spool import Spool
from suraksha.dicom.network.worker import Worker, WorkerOptions
from suraksha.dicom.objects.results import result_objects
from suraksha.errors import BusyError
from suraksha.inference.segmenter import load_segmenter

from ..make import image, us_image
from ..servers import wait_for


class FakePeer:
    """A destination that stores objects by UID, and fails as a test requires."""

    def __init__(self):
        self.stored, self.sends, self.failures = {}, 0, []

    def send(self, paths):
        self.sends += 1
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "unreachable":
            raise PeerError("connection refused or timed out")
        if failure == "bug":
            raise KeyError("Phantom^Synthetic")
        if failure != "lose":
            self.stored |= {reference(path).instance: path.read_bytes() for path in paths}
        return dict.fromkeys(paths, failure if failure.startswith("the peer") else "")

    def confirm(self, objects):
        return {one.instance for one in objects if one.instance in self.stored}


@pytest.fixture(scope="module")
def segment():
    return load_segmenter()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def service(tmp_path, segment):
    """Queue, spool, peer and a worker whose steps the test calls itself."""
    clock = Clock()
    spool = Spool(tmp_path / "spool")
    queue = Queue(tmp_path / "spool", RetryPolicy(max_attempts=4), clock)
    peer = FakePeer()
    worker = Worker(
        queue,
        spool,
        writer=lambda path: result_objects(path, segment),
        destination=peer,
        options=WorkerOptions(),
    )
    yield queue, spool, peer, worker, clock
    queue.close()


def put(queue, spool, tmp_path, **elements):
    data = us_image(tmp_path / "in.dcm", **elements)
    job = job_id(data.SOPInstanceUID)
    with spool.receiving() as part:
        part.write_bytes((tmp_path / "in.dcm").read_bytes())
        spool.accept(part, job)
    queue.add(job)
    return job


def test_a_confirmed_image_leaves_no_files(service, tmp_path):
    queue, spool, peer, worker, _ = service
    job = put(queue, spool, tmp_path)
    assert worker.segment() == 1
    assert len(spool.results(job)) == 2
    assert worker.deliver() == 2  # sent, then confirmed
    assert queue.state(job) == State.CONFIRMED
    assert len(peer.stored) == 2
    assert not spool.image(job).exists()
    assert spool.results(job) == []
    assert worker.segment() == worker.deliver() == 0


def test_repeated_results_have_the_same_uids(service, tmp_path):
    queue, spool, peer, worker, _ = service
    job = put(queue, spool, tmp_path)
    worker.segment()
    first = {reference(path) for path in spool.results(job)}
    worker.deliver()
    queue.forget_done()
    put(queue, spool, tmp_path)
    worker.segment()
    assert {reference(path) for path in spool.results(job)} == first
    worker.deliver()
    assert len(peer.stored) == 2


def test_an_image_that_cannot_be_decoded_moves_to_the_dead_letter_queue_immediately(
    service, tmp_path
):
    queue, spool, _, worker, _ = service
    job = put(queue, spool, tmp_path, pixels=image(0, rgb=True), syntax=JPEGBaseline8Bit)
    path = spool.image(job)
    content = bytearray(path.read_bytes())
    content[-20_000:] = bytes(20_000)
    path.write_bytes(content)
    worker.segment()
    (letter,) = queue.dead()
    assert (letter.id, letter.stage, letter.attempts) == (job, State.RECEIVED, 0)
    assert "Phantom" not in letter.last_error
    assert path.exists()  # for an analysis


def test_an_unexpected_error_is_logged_with_its_place_and_without_its_text(
    service, tmp_path, caplog
):
    queue, spool, peer, _, clock = service
    job = put(queue, spool, tmp_path)

    def fail(path):
        raise KeyError("Phantom^Synthetic")

    worker = Worker(queue, spool, writer=fail, destination=peer, options=WorkerOptions())
    for _ in range(4):
        worker.segment()
        clock.now += 1000
    (letter,) = queue.dead()
    assert (letter.id, letter.last_error) == (job, "unexpected KeyError; its place is in the log")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 4
    assert job in caplog.text
    assert "KeyError at suraksha.dicom.network.worker:" in caplog.text
    assert "Phantom" not in caplog.text


def test_an_unexpected_error_of_the_destination_is_logged_without_its_text(
    service, tmp_path, caplog
):
    queue, spool, peer, worker, clock = service
    job = put(queue, spool, tmp_path)
    worker.segment()
    peer.failures += ["bug"]
    worker.deliver()
    assert "KeyError at suraksha.dicom.network.worker:" in caplog.text
    assert "Phantom" not in caplog.text
    clock.now += 1000
    worker.deliver()
    assert queue.state(job) == State.CONFIRMED


def test_a_worker_that_cannot_continue_is_logged_and_not_alive(service, monkeypatch, caplog):
    queue, _, _, worker, _ = service

    def fail(state, *, limit=1):
        raise KeyError("Phantom^Synthetic")

    monkeypatch.setattr(queue, "take", fail)
    worker.start()
    wait_for(lambda: not worker.alive, 10, "the end of the worker")
    worker.stop()
    assert "worker stopped: KeyError at suraksha.dicom.network.worker:" in caplog.text
    assert "Phantom" not in caplog.text


def test_a_running_step_needs_no_further_threads(service, tmp_path, segment):
    queue, spool, peer, _, _ = service
    put(queue, spool, tmp_path)
    threads = []

    def count(path):
        threads.append(threading.active_count())
        return result_objects(path, segment)

    worker = Worker(queue, spool, writer=count, destination=peer, options=WorkerOptions())
    before = threading.active_count()
    worker.segment()
    assert threads == [before]


def test_a_refused_object_is_retried_and_then_moved_to_the_dead_letter_queue(service, tmp_path):
    queue, spool, peer, worker, clock = service
    job = put(queue, spool, tmp_path)
    worker.segment()
    peer.failures += ["the peer answered 0xA700"] * 4
    for _ in range(4):
        worker.deliver()
        clock.now += 1000
    (letter,) = queue.dead()
    assert (letter.stage, letter.last_error) == (State.SEGMENTED, "the peer answered 0xA700")
    queue.replay(job)
    worker.deliver()
    assert queue.state(job) == State.CONFIRMED


def test_an_unreachable_peer_is_retried(service, tmp_path):
    queue, spool, peer, worker, clock = service
    job = put(queue, spool, tmp_path)
    worker.segment()
    peer.failures += ["unreachable"] * 10
    for _ in range(10):
        worker.deliver()
        clock.now += 1000
    assert queue.dead() == []
    worker.deliver()
    assert queue.state(job) == State.CONFIRMED


def test_an_object_that_the_peer_lost_is_sent_again(service, tmp_path):
    queue, spool, peer, worker, clock = service
    job = put(queue, spool, tmp_path)
    worker.segment()
    peer.failures += ["lose"]
    for _ in range(4):
        worker.deliver()
        clock.now += 1000
    assert queue.state(job) == State.CONFIRMED
    assert peer.sends == 2


def test_deleted_results_are_made_again(service, tmp_path):
    queue, spool, peer, worker, clock = service
    job = put(queue, spool, tmp_path)
    worker.segment()
    for path in spool.results(job):
        path.unlink()
    worker.deliver()
    clock.now += 1000
    worker.segment()
    worker.deliver()
    assert queue.state(job) == State.CONFIRMED
    assert len(peer.stored) == 2


def test_one_process_uses_a_folder_and_continues_the_jobs_of_an_earlier_one(tmp_path, segment):
    spool, queue = Spool(tmp_path / "spool"), Queue(tmp_path / "spool")
    job = put(queue, spool, tmp_path)
    queue.take(State.RECEIVED)  # and the process ended
    queue.close()
    (tmp_path / "spool" / "images" / ".receiving.dcm.0a1b.part").write_bytes(b"partial")
    (tmp_path / "spool" / "images" / "unknown.dcm").write_bytes(b"no job")

    def work():
        return open_service(
            tmp_path / "spool",
            lambda path: result_objects(path, segment),
            destination=FakePeer(),
            retry=RetryPolicy(),
            options=WorkerOptions(keep=True),
        )

    with work() as running:
        names = {p.name for p in (tmp_path / "spool" / "images").iterdir()}
        assert names == {f"{job}.dcm"}
        wait_for(lambda: running.queue.state(job) == State.CONFIRMED, 20, "the job")
        with pytest.raises(BusyError), work():
            pass
    assert spool.image(job).exists()  # keep
    with work():
        assert spool.image(job).exists()
