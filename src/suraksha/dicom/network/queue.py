"""A durable job queue on disk: an accepted image is processed even if the process is killed.

SQLite in WAL mode with ``synchronous=FULL``: a committed change survives a kill and a power loss.
One process at a time works on a queue (`suraksha.dicom.network.service.open_service` holds a lock);
others may read it and replay jobs from the dead-letter queue.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from suraksha.errors import InputError

FILE = "queue.sqlite"
VERSION = 1
COLUMNS = "id, state, stage, attempts, last_error, received"
CRASHED = "the process was killed or crashed repeatedly while processing this image"
MAX_ERROR_LENGTH = 300
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    stage TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    begun INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    received REAL NOT NULL,
    next_try REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_turn ON jobs (state, next_try, received);
"""
# what a jobs table must have; queues of Suraksha 0.1 also have a column that is ignored
REQUIRED_COLUMNS = {*COLUMNS.split(", "), "begun", "failures", "next_try"}


class State(StrEnum):
    """The state of a job."""

    RECEIVED = "received"
    SEGMENTED = "segmented"
    SENT = "sent"
    CONFIRMED = "confirmed"
    DEAD = "dead"


OPEN = (State.RECEIVED, State.SEGMENTED, State.SENT)


@dataclass(frozen=True, slots=True)
class Job:
    """One image in the queue.

    Args:
        id: Name of its files, a hash of its SOP Instance UID.
        state: Its state; for a job in the dead-letter queue see ``stage``.
        stage: The state in which it is processed, or in which it failed for good.
        attempts: Failed attempts in this stage.
        last_error: Reason of the last failure; no patient data.
        received: Time of arrival, seconds since the epoch.
    """

    id: str
    state: State
    stage: State
    attempts: int
    last_error: str
    received: float


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a job is retried.

    Args:
        max_attempts: Attempts before a job is moved to the dead-letter queue.
        first_delay_s: Delay after the first failure, in seconds; it doubles with each failure.
        max_delay_s: Maximum delay, in seconds.
        give_up_s: Seconds that a peer may be unreachable before its jobs are moved to the
            dead-letter queue.
    """

    max_attempts: int = 12
    first_delay_s: float = 1.0
    max_delay_s: float = 300.0
    give_up_s: float = 72 * 3600.0

    def delay_s(self, failures: int) -> float:
        """Delay in seconds after a number of consecutive failures."""
        doublings = min(max(failures - 1, 0), 30)
        return float(min(self.max_delay_s, self.first_delay_s * 2.0**doublings))


DEFAULT_RETRY = RetryPolicy()


def job_id(sop_instance_uid: str) -> str:
    """The name of an image's job and files: a hash, as UIDs can identify a patient."""
    return sha256(sop_instance_uid.encode()).hexdigest()[:24]


class Queue:
    """The jobs of one spool folder; safe to use from several threads.

    Args:
        folder: Folder of ``queue.sqlite``; created if missing, readable by its owner only.
        retry: How often and how long a job is retried.
        clock: Returns seconds since the epoch.

    Raises:
        InputError: The folder holds a queue of another version, or a file that is not a queue.
        OSError: The folder cannot be created.
    """

    def __init__(
        self,
        folder: Path,
        retry: RetryPolicy = DEFAULT_RETRY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.retry, self._clock, self._lock = retry, clock, threading.Lock()
        self._db = sqlite3.connect(
            folder / FILE, timeout=30, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(folder / FILE)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, path: Path) -> None:
        """Create the tables of a new queue, and check those of an existing one."""
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > VERSION:
                raise _unusable(path, f"it has version {version}, this release reads {VERSION}")
            found = {str(row[1]) for row in self._db.execute("PRAGMA table_info(jobs)")}
            if found and (missing := REQUIRED_COLUMNS - found):
                raise _unusable(path, f"its columns {', '.join(sorted(missing))} are missing")
            self._db.executescript(SCHEMA)
            if version < VERSION:
                self._db.execute(f"PRAGMA user_version={VERSION}")
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise _unusable(path, f"it is not a queue ({type(error).__name__})") from error

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when it ends."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _select(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def add(self, job: str) -> bool:
        """Add an image; False if it is known already and not in the dead-letter queue."""
        with self._change() as db:
            added = db.execute(
                "INSERT INTO jobs (id, state, stage, received) VALUES (?1, ?2, ?2, ?3) "
                "ON CONFLICT (id) DO UPDATE SET state = ?2, stage = ?2, attempts = 0, "
                "failures = 0, begun = 0, next_try = 0, last_error = '', received = ?3 "
                "WHERE state = ?4",
                (job, State.RECEIVED, self._clock(), State.DEAD),
            )
            return added.rowcount == 1

    def refuse(self, job: str, why: str) -> None:
        """Add an image that cannot be used directly to the dead-letter queue."""
        with self._change() as db:
            db.execute(
                "INSERT OR IGNORE INTO jobs (id, state, stage, last_error, received) "
                "VALUES (?, ?, ?, ?, ?)",
                (job, State.DEAD, State.RECEIVED, why[:MAX_ERROR_LENGTH], self._clock()),
            )

    def state(self, job: str) -> State | None:
        """The state of a job; None if the queue does not know it."""
        rows = self._select("SELECT state FROM jobs WHERE id = ?", (job,))
        return State(str(rows[0][0])) if rows else None

    def take(self, state: State, *, limit: int = 1) -> list[Job]:
        """The jobs of a state that are due, oldest first; each attempt is counted as begun.

        A job that was begun too often without an outcome, because the process ended each time, is
        moved to the dead-letter queue instead.
        """
        with self._change() as db:
            db.execute(
                "UPDATE jobs SET state = ?, last_error = ? WHERE state = ? AND begun >= ?",
                (State.DEAD, CRASHED, state, self.retry.max_attempts),
            )
            rows = db.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE state = ? AND next_try <= ? "
                "ORDER BY received LIMIT ?",
                (state, self._clock(), limit),
            ).fetchall()
            db.executemany(
                "UPDATE jobs SET begun = begun + 1 WHERE id = ?", [(row[0],) for row in rows]
            )
        return [_job(row) for row in rows]

    def advance(self, jobs: Sequence[Job], state: State) -> None:
        """Move jobs to a state; attempts to send and to confirm are counted together."""
        attempts = "attempts" if state == State.SENT else "0"
        with self._change() as db:
            db.executemany(
                f"UPDATE jobs SET state = ?, stage = ?, attempts = {attempts}, failures = 0, "
                "begun = 0, last_error = '', next_try = 0 WHERE id = ?",
                [(state, state, job.id) for job in jobs],
            )

    def fail(
        self, job: Job, why: str, *, state: State | None = None, unreachable: bool = False
    ) -> bool:
        """Record a failed attempt: the job is retried later or moved to the dead-letter queue.

        Args:
            job: The job.
            why: The reason, without patient data.
            state: The state to continue from; default: the job's stage.
            unreachable: The peer was unreachable: not counted as an attempt, until `give_up_s`.

        Returns:
            Whether it is now in the dead-letter queue.
        """
        now, stage = self._clock(), state or job.stage
        attempts = job.attempts + int(not unreachable)
        expired = unreachable and now - job.received > self.retry.give_up_s
        dead = attempts >= self.retry.max_attempts or expired
        with self._change() as db:
            failures = db.execute("SELECT failures FROM jobs WHERE id = ?", (job.id,)).fetchone()
            count = 1 + (failures[0] if failures else 0)
            values = {
                "id": job.id,
                "state": State.DEAD if dead else stage,
                "stage": stage,
                "attempts": attempts,
                "failures": count,
                "last_error": why[:MAX_ERROR_LENGTH],
                "next_try": now + self.retry.delay_s(count),
            }
            db.execute(
                "UPDATE jobs SET state = :state, stage = :stage, attempts = :attempts, "
                "failures = :failures, last_error = :last_error, next_try = :next_try, begun = 0 "
                "WHERE id = :id",
                values,
            )
        return dead

    def give_up(self, job: Job, why: str) -> None:
        """Move a job to the dead-letter queue."""
        with self._change() as db:
            db.execute(
                "UPDATE jobs SET state = ?, last_error = ? WHERE id = ?",
                (State.DEAD, why[:MAX_ERROR_LENGTH], job.id),
            )

    def dead(self) -> list[Job]:
        """The jobs of the dead-letter queue, oldest first."""
        sql = f"SELECT {COLUMNS} FROM jobs WHERE state = ? ORDER BY received"
        return [_job(row) for row in self._select(sql, (State.DEAD,))]

    def replay(self, job: str | None = None) -> int:
        """Retry one or all jobs of the dead-letter queue from the stage they failed in.

        Returns:
            How many jobs are retried.
        """
        with self._change() as db:
            changed = db.execute(
                "UPDATE jobs SET state = stage, attempts = 0, failures = 0, begun = 0, "
                "next_try = 0, received = ? WHERE state = ? AND (? IS NULL OR id = ?)",
                (self._clock(), State.DEAD, job, job),
            )
            return int(changed.rowcount)

    def drop(self, job: str) -> None:
        """Remove a job."""
        with self._change() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job,))

    def forget_done(self) -> int:
        """Remove confirmed jobs, so that their images are processed again if they arrive again.

        Returns:
            How many jobs were removed.
        """
        with self._change() as db:
            return int(db.execute("DELETE FROM jobs WHERE state = ?", (State.CONFIRMED,)).rowcount)

    def counts(self) -> dict[str, int]:
        """The number of jobs by state."""
        rows = self._select("SELECT state, COUNT(*) FROM jobs GROUP BY state")
        found = {str(state): int(str(count)) for state, count in rows}
        return {state.value: found.get(state, 0) for state in State}

    def pending(self) -> int:
        """The number of jobs that are neither confirmed nor in the dead-letter queue."""
        counts = self.counts()
        return sum(counts[state] for state in OPEN)

    def ids(self, *states: State) -> set[str]:
        """The IDs of the jobs in these states."""
        marks = ", ".join("?" * len(states))
        rows = self._select(f"SELECT id FROM jobs WHERE state IN ({marks})", states)
        return {str(row[0]) for row in rows}

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()


def _unusable(path: Path, why: str) -> InputError:
    return InputError(
        f"cannot use the queue {path}",
        why,
        "Process it with the release that wrote it, or choose an empty --spool folder",
    )


def _job(row: Sequence[object]) -> Job:
    name, state, stage, attempts, error, received = row
    return Job(
        id=str(name),
        state=State(str(state)),
        stage=State(str(stage)),
        attempts=int(str(attempts)),
        last_error=str(error),
        received=float(str(received)),
    )
