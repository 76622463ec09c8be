"""The values of the node's queue: states, jobs, and when to try again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256


class State(StrEnum):
    """How far an image has come."""

    RECEIVED = "received"
    SEGMENTED = "segmented"
    SENT = "sent"
    CONFIRMED = "confirmed"
    DEAD = "dead"


OPEN = (State.RECEIVED, State.SEGMENTED, State.SENT)


@dataclass(frozen=True, slots=True)
class Job:
    """One image on its way.

    Args:
        id: Name of its files, a hash of its SOP Instance UID.
        state: How far it has come; of a dead one, see ``stage``.
        stage: The state that it is worked on in, or died in.
        attempts: How often this stage failed.
        last_error: Why the last attempt failed; no patient data.
        received: When it came, seconds of the epoch.
    """

    id: str
    state: State
    stage: State
    attempts: int
    last_error: str
    received: float


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a job is tried.

    Args:
        attempts: After so many a job is put with the dead letters.
        first_s: Wait after the first failure, in seconds; it doubles each time.
        longest_s: The longest wait.
        give_up_s: So long a peer may be away before its jobs are put with the dead letters.
        lease_s: After so long without a sign of life another worker may take a job.
    """

    attempts: int = 12
    first_s: float = 1.0
    longest_s: float = 300.0
    give_up_s: float = 72 * 3600.0
    lease_s: float = 120.0

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return float(min(self.longest_s, self.first_s * 2.0 ** min(max(failures - 1, 0), 30)))


def job_id(sop_instance_uid: str) -> str:
    """The name of an image's files and of its job: a hash, as UIDs may lead to a patient."""
    return sha256(sop_instance_uid.encode()).hexdigest()[:24]
