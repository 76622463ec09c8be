"""A durable queue on disk: what was taken in is worked on until it is done, whatever dies.

SQLite in WAL mode with ``synchronous=FULL``: a change that was committed survives a kill and a loss
of power. A worker takes jobs with a lease; a job of which the lease has run out is taken anew.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from suraksha.dicom.network.jobs import OPEN, Job, Patience, State

FILE = "queue.sqlite"
COLUMNS = "id, state, stage, attempts, last_error, received"
DIED = "the process ended while it worked on this image, again and again"
MAX_ERROR = 300
PATIENCE = Patience()
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
    next_try REAL NOT NULL DEFAULT 0,
    lease_until REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_turn ON jobs (state, next_try, received);
"""


class Queue:
    """The jobs of one spool folder; safe to use from several threads and processes.

    Args:
        folder: Where ``queue.sqlite`` lies; made as needed, readable by its owner alone.
        patience: How long a job is tried.
        clock: Seconds of the epoch.

    Raises:
        OSError: A folder that cannot be made.
    """

    def __init__(
        self, folder: Path, patience: Patience = PATIENCE, clock: Callable[[], float] = time.time
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.patience, self._clock, self._lock = patience, clock, threading.Lock()
        self._db = sqlite3.connect(
            folder / FILE, timeout=30, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(SCHEMA)

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

    def _all(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def add(self, job: str) -> bool:
        """Take an image in; False where it is known already and not among the dead letters."""
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
        """Put an image that cannot be used with the dead letters at once."""
        with self._change() as db:
            db.execute(
                "INSERT OR IGNORE INTO jobs (id, state, stage, last_error, received) "
                "VALUES (?, ?, ?, ?, ?)",
                (job, State.DEAD, State.RECEIVED, why[:MAX_ERROR], self._clock()),
            )

    def state(self, job: str) -> State | None:
        """How far an image has come; None for one that was never taken in."""
        rows = self._all("SELECT state FROM jobs WHERE id = ?", (job,))
        return State(str(rows[0][0])) if rows else None

    def take(self, state: State, *, limit: int = 1) -> list[Job]:
        """Jobs whose turn it is, oldest first; they are this caller's until the lease ends.

        A job that was begun too often without an outcome, as the process died each time, is put
        with the dead letters instead.
        """
        now = self._clock()
        with self._change() as db:
            db.execute(
                "UPDATE jobs SET state = ?, last_error = ? "
                "WHERE state = ? AND begun >= ? AND lease_until <= ?",
                (State.DEAD, DIED, state, self.patience.attempts, now),
            )
            rows = db.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE state = ? AND next_try <= ? "
                "AND lease_until <= ? ORDER BY received LIMIT ?",
                (state, now, now, limit),
            ).fetchall()
            db.executemany(
                "UPDATE jobs SET begun = begun + 1, lease_until = ? WHERE id = ?",
                [(now + self.patience.lease_s, row[0]) for row in rows],
            )
        return [_job(row) for row in rows]

    def renew(self, jobs: Sequence[Job]) -> None:
        """A sign of life: the leases of these jobs begin anew."""
        until = self._clock() + self.patience.lease_s
        with self._change() as db:
            db.executemany(
                "UPDATE jobs SET lease_until = ? WHERE id = ?", [(until, job.id) for job in jobs]
            )

    def advance(self, jobs: Sequence[Job], state: State) -> None:
        """These jobs have reached a state; attempts to send and to confirm count together."""
        again = "attempts" if state == State.SENT else "0"
        with self._change() as db:
            db.executemany(
                f"UPDATE jobs SET state = ?, stage = ?, attempts = {again}, failures = 0, "
                "begun = 0, last_error = '', next_try = 0, lease_until = 0 WHERE id = ?",
                [(state, state, job.id) for job in jobs],
            )

    def fail(self, job: Job, why: str, *, state: State | None = None, away: bool = False) -> bool:
        """An attempt failed: it is tried later from ``state`` on, or put with the dead letters.

        Args:
            job: The job.
            why: The reason, without patient data.
            state: Where to begin again; its own state where not given.
            away: The peer was not there: this does not count as an attempt, until patience ends.

        Returns:
            Whether it is now with the dead letters.
        """
        now, stage = self._clock(), state or job.stage
        attempts = job.attempts + int(not away)
        too_old = away and now - job.received > self.patience.give_up_s
        dead = attempts >= self.patience.attempts or too_old
        with self._change() as db:
            failures = db.execute("SELECT failures FROM jobs WHERE id = ?", (job.id,)).fetchone()
            count = 1 + (failures[0] if failures else 0)
            db.execute(
                "UPDATE jobs SET state = ?, stage = ?, attempts = ?, failures = ?, last_error = ?, "
                "next_try = ?, lease_until = 0, begun = 0 WHERE id = ?",
                (
                    *(State.DEAD if dead else stage, stage, attempts, count, why[:MAX_ERROR]),
                    *(now + self.patience.wait_s(count), job.id),
                ),
            )
        return dead

    def give_up(self, job: Job, why: str) -> None:
        """Put a job with the dead letters."""
        with self._change() as db:
            db.execute(
                "UPDATE jobs SET state = ?, last_error = ?, lease_until = 0 WHERE id = ?",
                (State.DEAD, why[:MAX_ERROR], job.id),
            )

    def release(self) -> None:
        """End all leases; call it where no other worker can be alive."""
        with self._change() as db:
            db.execute("UPDATE jobs SET lease_until = 0 WHERE lease_until > 0")

    def dead(self) -> list[Job]:
        """The dead letters, oldest first."""
        sql = f"SELECT {COLUMNS} FROM jobs WHERE state = ? ORDER BY received"
        return [_job(row) for row in self._all(sql, (State.DEAD,))]

    def replay(self, job: str | None = None) -> int:
        """Try dead letters again, one or all, from where they died; how many."""
        with self._change() as db:
            done = db.execute(
                "UPDATE jobs SET state = stage, attempts = 0, failures = 0, begun = 0, "
                "next_try = 0, lease_until = 0, received = ? "
                "WHERE state = ? AND (? IS NULL OR id = ?)",
                (self._clock(), State.DEAD, job, job),
            )
            return int(done.rowcount)

    def drop(self, job: str) -> None:
        """Forget a job altogether."""
        with self._change() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job,))

    def forget_done(self) -> int:
        """Forget what is confirmed: such an image is worked on again if it comes; how many."""
        with self._change() as db:
            return int(db.execute("DELETE FROM jobs WHERE state = ?", (State.CONFIRMED,)).rowcount)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        rows = self._all("SELECT state, COUNT(*) FROM jobs GROUP BY state")
        found = {str(state): int(str(count)) for state, count in rows}
        return {state.value: found.get(state, 0) for state in State}

    def pending(self) -> int:
        """How many jobs are not done and not dead."""
        counts = self.counts()
        return sum(counts[state] for state in OPEN)

    def ids(self, *states: State) -> set[str]:
        """The jobs in these states."""
        marks = ", ".join("?" * len(states))
        return {
            str(row[0])
            for row in self._all(f"SELECT id FROM jobs WHERE state IN ({marks})", states)
        }

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _job(row: Sequence[object]) -> Job:
    name, state, stage, attempts, error, received = row
    return Job(
        *(str(name), State(str(state)), State(str(stage)), int(str(attempts)), str(error)),
        float(str(received)),
    )
