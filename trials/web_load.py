"""Load test of ``suraksha serve``: four clients at full speed for five minutes.

Run by ``make trial``; writes errors, latency and memory to docs/results/web-load.json. The
duration in seconds is the optional first argument. Images of several sizes, exports and
measurements of annotations are mixed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))
REPORT = REPO / "docs" / "results" / "web-load.json"
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
CLIENTS = 4
SHAPES = ((400, 500), (600, 800), (200, 250), (700, 900))
BUSY = 429
MAX_GROWTH = 1.10
Post = tuple[str, str, dict[str, Any]]  # name, path, arguments


@dataclass
class Tally:
    """Outcomes and latencies of the requests."""

    responses: Counter[str] = field(default_factory=Counter)
    latency_ms: dict[str, list[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, request: str, status: str, ms: float) -> None:
        """Count one request."""
        with self.lock:
            self.responses[status] += 1
            if status == "200":
                self.latency_ms.setdefault(request, []).append(ms)


def requests(images: list[bytes]) -> list[Post]:
    """(name, path, arguments) of the requests that the page and other clients send."""
    parts = [("parts", (None, name)) for name in ("image", "mask", "attention")]
    mix: list[Post] = []
    for image in images:
        mix.append(("segment", "/v1/segment", {"files": {"files": image}}))
        mix.append(("segment like the page", "/v1/segment", {"files": [("files", image), *parts]}))
        mix.append(("export png", "/v1/export/png", {"files": {"file": image}}))
    polygons = json.dumps([[[50, 60], [50, 140], [120, 140], [120, 60]]])
    size = {"rows": (None, "400"), "columns": (None, "500"), "polygons": (None, polygons)}
    mix.append(("measure", "/v1/measure", {"files": size}))
    return mix


def client(address: str, mix: list[Post], start: int, end: float, tally: Tally) -> None:
    """Send requests without a pause until the end."""
    with httpx.Client(base_url=address, timeout=90) as http:
        for number in count(start):
            if time.monotonic() > end:
                return
            name, path, arguments = mix[number % len(mix)]
            begun = time.perf_counter()
            try:
                status = str(http.post(path, **arguments).status_code)
            except httpx.HTTPError as error:
                status = type(error).__name__
            tally.add(name, status, 1000 * (time.perf_counter() - begun))


def percentiles(values: list[float]) -> dict[str, float]:
    """p50 and p95 of latencies, in ms."""
    p50, p95 = np.percentile(values, (50, 95))
    return {"count": len(values), "p50_ms": round(p50, 1), "p95_ms": round(p95, 1)}


def main() -> int:
    """Run the trial; 0 if every status was 200 or 429 and memory did not grow."""
    serving: Any = import_module("tests.web.serving")
    tally, memory = Tally(), []
    mix = requests([serving.phantom_png(n, shape=shape) for n, shape in enumerate(SHAPES)])
    with tempfile.TemporaryDirectory() as name:
        server = serving.Served(Path(name))
        start = time.monotonic()
        threads = [
            threading.Thread(
                target=client, args=(server.address, mix, 3 * n, start + SECONDS, tally)
            )
            for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(1)
            memory.append((round(time.monotonic() - start), round(server.memory_mb(), 1)))
        elapsed, leftover = time.monotonic() - start, len(server.leftover_files())
        code, errors = server.stop(), server.log.count("ERROR")
    mb = [value for _, value in memory]
    part = max(len(mb) // 5, 1)
    early, late = median(mb[part : 2 * part]), median(mb[-part:])
    every = [ms for values in tally.latency_ms.values() for ms in values]
    report: dict[str, Any] = {
        "clients": CLIENTS,
        "cores": len(os.sched_getaffinity(0)),
        "seconds": round(elapsed),
        "responses": dict(sorted(tally.responses.items())),
        "responses_per_second": round(tally.responses["200"] / elapsed, 1),
        "latency": percentiles(every),
        "latency_by_request": {k: percentiles(v) for k, v in sorted(tally.latency_ms.items())},
        "memory_mb": {"early": early, "late": late, "max": max(mb)},
        "memory_over_time": memory[:: max(len(memory) // 30, 1)],
        "errors_in_the_log": errors,
        "leftover_files": leftover,
        "exit_code": code,
    }
    others = set(tally.responses) - {"200", str(BUSY)}
    report["ok"] = not (others or code or errors or leftover) and late < MAX_GROWTH * early
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
