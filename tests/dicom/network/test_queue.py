"""The job queue on disk: nothing is lost, and failed jobs are retried or given up."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest

from suraksha.dicom.network.queue import CRASHED, FILE, Queue, RetryPolicy, State, job_id
from suraksha.errors import InputError


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(tmp_path, clock):
    made = Queue(
        tmp_path / "spool", RetryPolicy(max_attempts=3, first_delay_s=2, max_delay_s=5), clock
    )
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


def test_jobs_are_taken_in_order_of_arrival(queue, clock):
    for name in "cab":
        queue.add(name)
        clock.now += 1
    jobs = queue.take(State.RECEIVED, limit=2)
    assert [job.id for job in jobs] == ["c", "a"]
    queue.advance(jobs, State.SEGMENTED)
    assert [job.id for job in queue.take(State.RECEIVED, limit=2)] == ["b"]


def test_an_interrupted_job_is_taken_again(queue):
    queue.add("a")
    assert [job.id for job in queue.take(State.RECEIVED)] == ["a"]  # and the process ended
    assert [job.id for job in queue.take(State.RECEIVED)] == ["a"]


def test_the_retry_delay_grows_and_the_last_failure_moves_to_the_dead_letter_queue(queue, clock):
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


def test_an_unreachable_peer_costs_no_attempt_until_the_policy_gives_up(queue, clock):
    queue.add("a")
    (job,) = queue.take(State.RECEIVED)
    queue.advance([job], State.SEGMENTED)
    for _ in range(20):
        clock.now += 6
        (job,) = queue.take(State.SEGMENTED)
        assert not queue.fail(job, "timed out", unreachable=True)
    clock.now += queue.retry.give_up_s
    (job,) = queue.take(State.SEGMENTED)
    assert queue.fail(job, "timed out", unreachable=True)
    assert queue.dead()[0].stage == State.SEGMENTED
    queue.replay()
    assert queue.take(State.SEGMENTED)


def test_an_image_that_crashes_the_process_repeatedly_moves_to_the_dead_letter_queue(queue):
    queue.add("bad")
    for _ in range(3):
        assert queue.take(State.RECEIVED)  # and the process crashed
    queue.add("good")
    assert [job.id for job in queue.take(State.RECEIVED, limit=5)] == ["good"]
    assert [job.last_error for job in queue.dead()] == [CRASHED]


def test_an_outcome_resets_the_count_of_crashes(queue, clock):
    queue.add("a")
    for _ in range(2):
        for _ in range(2):
            (job,) = queue.take(State.RECEIVED)
        queue.fail(job, "timed out", unreachable=True)
        clock.now += 10
    assert [job.id for job in queue.take(State.RECEIVED)] == ["a"]
    assert queue.dead() == []


def test_a_dead_job_whose_image_arrives_again_is_processed(queue):
    queue.add("a")
    (job,) = queue.take(State.RECEIVED)
    queue.give_up(job, "damaged")
    assert queue.state("a") == State.DEAD
    assert queue.add("a")
    assert queue.take(State.RECEIVED)[0].attempts == 0


def test_stored_errors_are_truncated(queue):
    queue.refuse("a", "x" * 10_000)
    assert len(queue.dead()[0].last_error) == 300


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_only_the_owner_can_read_the_folder(queue, tmp_path):
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


OLD_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, stage TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, begun INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0, last_error TEXT NOT NULL DEFAULT '',
    received REAL NOT NULL, next_try REAL NOT NULL DEFAULT 0,
    lease_until REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO jobs (id, state, stage, received, lease_until)
    VALUES ('a', 'received', 'received', 1.0, 9e12);
"""


def write_database(folder, script):
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.executescript(script)


def test_a_queue_of_release_0_1_is_continued(tmp_path):
    write_database(tmp_path, OLD_SCHEMA)
    with closing(Queue(tmp_path)) as queue:
        (job,) = queue.take(State.RECEIVED)
        queue.advance([job], State.SEGMENTED)
        assert queue.add("b")
        assert (queue.state("a"), queue.state("b")) == (State.SEGMENTED, State.RECEIVED)


def test_a_queue_of_a_newer_release_is_refused(tmp_path):
    Queue(tmp_path).close()
    write_database(tmp_path, "PRAGMA user_version=7")
    with pytest.raises(InputError, match="version 7"):
        Queue(tmp_path)


def test_a_queue_with_other_columns_is_refused(tmp_path):
    write_database(tmp_path, "CREATE TABLE jobs (id TEXT, state TEXT)")
    with pytest.raises(InputError, match="begun"):
        Queue(tmp_path)


def test_a_file_that_is_not_a_database_is_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match="not a queue"):
        Queue(tmp_path)


def test_added_jobs_survive_kill_9(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom suraksha.dicom.network.queue import Queue\n"
        "queue = Queue(Path(sys.argv[1]))\n"
        "for n in range(10_000):\n    queue.add(f'job-{n}')\n    print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process.stdout as output:
        for line in output:
            if line.strip() == "25":
                process.send_signal(signal.SIGKILL)
                break
        last = max([25, *(int(line) for line in output.read().split())])
    process.wait()
    queue = Queue(tmp_path)
    added = {f"job-{n}" for n in range(last + 1)}
    assert queue.ids(State.RECEIVED) >= added
    queue.close()


def test_job_ids_do_not_contain_the_uid():
    name = job_id("1.2.840.113619.2.5.1762583153.215519.978957063.78")
    assert len(name) == 24
    assert "113619" not in name
