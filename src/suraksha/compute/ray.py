"""The executor for a Ray cluster. Only this file imports Ray."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

# read when Ray is imported: no telemetry, and its workers keep the devices that they see
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import RayError, RayTaskError

from suraksha.compute.base import Errors, Item, Outcome
from suraksha.errors import ComputeError

# restarts of an item after its worker process died
RETRIES = 3
CONNECT_TIMEOUT_S = 5.0
OBJECT_STORE_BYTES = 128 * 2**20
# environment variables that workers need to find custom networks
FORWARDED = ("PYTHONPATH",)


class RayExecutor:
    """Runs on a Ray cluster; see `suraksha.compute.base.Executor`.

    Each item gets a GPU if the cluster has any, and an equal fraction of the cores. An item whose
    worker process died is restarted, up to three times.

    Args:
        address: Address of a running cluster; None to start one on this machine and stop it
            afterwards.
        workers: Items at a time; 0 for one per GPU, or one per machine without GPUs.
    """

    def __init__(self, address: str | None = None, workers: int = 0) -> None:
        self.address, self.workers = address, workers

    def map(
        self, work: Callable[[Item], Outcome], items: Iterable[Item], *, failures: Errors
    ) -> Iterator[tuple[Item, Outcome | Exception]]:
        """Run the function on each item; results come in the order in which they are ready.

        Raises:
            ComputeError: The cluster cannot be reached.
        """
        with self._cluster():
            task, pending = self._task(), iter(items)
            running: dict[Any, Item] = {}
            try:
                while True:
                    for item in islice(pending, self.workers - len(running)):
                        running[task.options(name=f"suraksha {item}").remote(work, item)] = item
                    if not running:
                        return
                    for ready in ray.wait(list(running))[0]:
                        yield running.pop(ready), _outcome(ready, failures)
            finally:
                for left in running:
                    ray.cancel(left, force=True)

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        own = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
        forwarded = {key: os.environ[key] for key in FORWARDED if key in os.environ}
        try:
            if self.address and ":" in self.address.removeprefix("ray://"):
                _check_connection(self.address.removeprefix("ray://"))
            ray.init(
                address=self.address or "local",
                runtime_env={"env_vars": forwarded} if forwarded else None,
                log_to_driver=False,
                logging_level="ERROR",
                **({} if self.address else own),
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ComputeError(
                f"the Ray cluster at {self.address or 'this machine'} cannot be reached",
                str(error),
                "Start it with 'ray start --head' and give its address, or omit --address",
            ) from error
        try:
            yield
        finally:
            ray.shutdown()

    def _task(self) -> Any:  # noqa: ANN401 - a Ray task
        """`_call` as a Ray task, with its fraction of the cluster."""
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        # a head node that does not compute has no cores
        machines = [machine for machine in alive if machine.get("CPU", 0) >= 1] or alive
        cores = [int(machine.get("CPU", 0)) for machine in machines]
        gpus = int(sum(machine.get("GPU", 0) for machine in machines))
        self.workers = self.workers or gpus or len(machines)
        fraction = max(1, min(sum(cores) // self.workers, *cores))
        return ray.remote(
            num_cpus=fraction, num_gpus=min(1, gpus / self.workers), max_retries=RETRIES
        )(_call)


def _check_connection(address: str) -> None:
    """Fail at once if the connection is refused; Ray would retry for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()


def _call(work: Callable[[Item], Outcome], item: Item) -> Outcome:
    return work(item)


def _outcome(ready: Any, failures: Errors) -> Any:  # noqa: ANN401 - the result of any function
    try:
        return ray.get(ready)
    except RayTaskError as error:
        if isinstance(error.cause, failures):
            return error.cause
        raise
    except RayError as error:
        return ComputeError(
            f"a worker process died {RETRIES + 1} times, or could not be started",
            str(error),
            "Find out what ended it (for example too little memory), then repeat the command",
        )
