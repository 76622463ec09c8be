"""The queue on disk: nothing is lost, nothing is worked on twice at a time."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from suraksha.dicom.network.jobs import Patience, State, job_id
from suraksha.dicom.network.queue import DIED, Queue


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(tmp_path, clock):
    made = Queue(tmp_path / "spool", Patience(attempts=3, first_s=2, longest_s=5), clock)
    yield made
    made.close()


def test_a_job_goes_from_received_to_confirmed(queue):
    assert queue.add("a")
    assert not queue.add("a")
    for state, after in (
        (State.RECEIVED, State.SEGMENTED),
        (State.SEGMENTED, State.SENT),
        (State.SENT, State.CONFIRMED),
    ):
        (job,) = queue.take(state)
        assert (job.id, job.state) == ("a", state)
        queue.advance([job], after)
    assert queue.counts() == dict.fromkeys(map(str, State), 0) | {"confirmed": 1}
    assert queue.pending() == 0
    assert not queue.add("a")


def test_jobs_are_taken_in_their_order(queue, clock):
    for name in "cab":
        queue.add(name)
        clock.now += 1
    assert [job.id for job in queue.take(State.RECEIVED, limit=2)] == ["c", "a"]
    assert [job.id for job in queue.take(State.RECEIVED, limit=2)] == ["b"]


def test_a_lease_keeps_others_away_until_it_ends(queue, clock):
    queue.add("a")
    (job,) = queue.take(State.RECEIVED)
    assert queue.take(State.RECEIVED) == []
    clock.now += queue.patience.lease_s - 1
    queue.renew([job])
    clock.now += 2
    assert queue.take(State.RECEIVED) == []
    clock.now += queue.patience.lease_s
    assert [job.id for job in queue.take(State.RECEIVED)] == ["a"]


def test_a_failure_waits_longer_each_time_and_ends_with_the_dead_letters(queue, clock):
    queue.add("a")
    for wait in (2, 4):
        (job,) = queue.take(State.RECEIVED)
        assert not queue.fail(job, "the reason")
        clock.now += wait - 0.5
        assert queue.take(State.RECEIVED) == []
        clock.now += 0.5
    (job,) = queue.take(State.RECEIVED)
    assert queue.fail(job, "the reason")
    (letter,) = queue.dead()
    assert (letter.id, letter.stage, letter.last_error) == ("a", State.RECEIVED, "the reason")
    assert queue.replay("another") == 0
    assert queue.replay("a") == 1
    assert [(job.id, job.attempts) for job in queue.take(State.RECEIVED)] == [("a", 0)]


def test_a_peer_that_is_away_costs_no_attempt_until_patience_ends(queue, clock):
    queue.add("a")
    (job,) = queue.take(State.RECEIVED)
    queue.advance([job], State.SEGMENTED)
    for _ in range(20):
        clock.now += 6
        (job,) = queue.take(State.SEGMENTED)
        assert not queue.fail(job, "away", away=True)
    clock.now += queue.patience.give_up_s
    (job,) = queue.take(State.SEGMENTED)
    assert queue.fail(job, "away", away=True)
    assert queue.dead()[0].stage == State.SEGMENTED
    queue.replay()
    assert queue.take(State.SEGMENTED)


def test_a_image_that_kills_the_process_again_and_again_is_put_away(queue):
    queue.add("bad")
    for _ in range(3):
        assert queue.take(State.RECEIVED)
        queue.release()  # as at the next start
    queue.add("good")
    assert [job.id for job in queue.take(State.RECEIVED, limit=5)] == ["good"]
    assert [job.last_error for job in queue.dead()] == [DIED]


def test_a_dead_letter_that_arrives_anew_is_worked_on(queue):
    queue.add("a")
    (job,) = queue.take(State.RECEIVED)
    queue.give_up(job, "damaged")
    assert queue.state("a") == State.DEAD
    assert queue.add("a")
    assert queue.take(State.RECEIVED)[0].attempts == 0


def test_errors_are_kept_short(queue):
    queue.refuse("a", "x" * 10_000)
    assert len(queue.dead()[0].last_error) == 300


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_only_the_owner_can_read_it(queue, tmp_path):
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


def test_threads_never_take_the_same_job(tmp_path):
    Queue(tmp_path).close()
    feeder = Queue(tmp_path)
    for number in range(60):
        feeder.add(f"job-{number}")
    taken, lock = [], threading.Lock()

    def work():
        own = Queue(tmp_path)
        while jobs := own.take(State.RECEIVED, limit=2):
            with lock:
                taken.extend(job.id for job in jobs)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    feeder.close()
    assert sorted(taken) == sorted(f"job-{number}" for number in range(60))


def test_what_was_added_survives_kill_9(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom suraksha.dicom.network.queue import Queue\n"
        "queue = Queue(Path(sys.argv[1]))\n"
        "for n in range(10_000):\n    queue.add(f'job-{n}')\n    print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process.stdout as told:
        for line in told:
            if line.strip() == "25":
                process.send_signal(signal.SIGKILL)
                break
        last = max([25, *(int(line) for line in told.read().split())])
    process.wait()
    queue = Queue(tmp_path)
    added = {f"job-{n}" for n in range(last + 1)}
    assert queue.ids(State.RECEIVED) >= added
    queue.close()


def test_names_of_jobs_tell_nothing():
    name = job_id("1.2.840.113619.2.5.1762583153.215519.978957063.78")
    assert len(name) == 24
    assert "113619" not in name
