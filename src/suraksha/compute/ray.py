"""Work on a Ray cluster. No other file knows Ray."""

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

from suraksha.compute.base import Answer, Errors, Item
from suraksha.errors import ComputeError

# how often a piece of work is begun again after its worker died
RETRIES = 3
KNOCK_S = 5.0
STORE_BYTES = 128 * 2**20
# of the driver's environment, what a worker needs to find networks that are not ours
PASSED_ON = ("PYTHONPATH",)


class RayExecutor:
    """Works on a Ray cluster; see `suraksha.compute.base.Executor`.

    Each piece of work gets a GPU where the cluster has some, and an equal fraction of the cores. A
    piece whose worker died is begun again, up to three times.

    Args:
        address: Of a cluster that runs; without it one is started on this machine, and stopped.
        workers: Pieces of work at a time; 0 for one a GPU, or one a machine where there is none.
    """

    def __init__(self, address: str | None = None, workers: int = 0) -> None:
        self.address, self.workers = address, workers

    def map(
        self, work: Callable[[Item], Answer], items: Iterable[Item], *, failures: Errors
    ) -> Iterator[tuple[Item, Answer | Exception]]:
        """Do the work on each item; answers come in the order in which they are ready.

        Raises:
            ComputeError: The cluster cannot be reached.
        """
        with self._cluster():
            task, stock = self._task(), iter(items)
            running: dict[Any, Item] = {}
            try:
                while True:
                    for item in islice(stock, self.workers - len(running)):
                        running[task.options(name=f"suraksha {item}").remote(work, item)] = item
                    if not running:
                        return
                    for ready in ray.wait(list(running))[0]:
                        yield running.pop(ready), _answer(ready, failures)
            finally:
                for left in running:
                    ray.cancel(left, force=True)

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        here = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
        passed_on = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        try:
            if self.address and ":" in self.address.removeprefix("ray://"):
                _knock(self.address.removeprefix("ray://"))
            ray.init(
                address=self.address or "local",
                runtime_env={"env_vars": passed_on} if passed_on else None,
                log_to_driver=False,
                logging_level="ERROR",
                **({} if self.address else here),
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ComputeError(
                f"the Ray cluster at {self.address or 'this machine'} cannot be reached",
                str(error),
                "Start it with 'ray start --head' and give its address, or leave --address out",
            ) from error
        try:
            yield
        finally:
            ray.shutdown()

    def _task(self) -> Any:  # noqa: ANN401 - of Ray
        """`_do` as Ray takes it, with its fraction of the cluster."""
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        # a head that only keeps the cluster has no cores to give
        machines = [machine for machine in alive if machine.get("CPU", 0) >= 1] or alive
        cores = [int(machine.get("CPU", 0)) for machine in machines]
        gpus = int(sum(machine.get("GPU", 0) for machine in machines))
        self.workers = self.workers or gpus or len(machines)
        fraction = max(1, min(sum(cores) // self.workers, *cores))
        return ray.remote(
            num_cpus=fraction, num_gpus=min(1, gpus / self.workers), max_retries=RETRIES
        )(_do)


def _knock(address: str) -> None:
    """Fail at once where nobody listens; Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), KNOCK_S).close()


def _do(work: Callable[[Item], Answer], item: Item) -> Answer:
    return work(item)


def _answer(ready: Any, failures: Errors) -> Any:  # noqa: ANN401 - whatever the work gives
    try:
        return ray.get(ready)
    except RayTaskError as error:
        if isinstance(error.cause, failures):
            return error.cause
        raise
    except RayError as error:
        return ComputeError(
            f"a worker died {RETRIES + 1} times, or could not be had",
            str(error),
            "Look for what ended it (memory?), then give the same command again",
        )
