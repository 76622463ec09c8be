"""Five minutes of ``suraksha serve`` with four clients at full speed: errors, latency and memory.

Run by ``make trial``; writes docs/results/web-load.json. Other seconds than 300 can be given.
Images of several sizes, exports and measurements of drawings are mixed.
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
GROWTH = 1.10


@dataclass
class Tally:
    """What became of the requests."""

    answers: Counter[str] = field(default_factory=Counter)
    latency_ms: dict[str, list[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, status: str, ms: float) -> None:
        """Count one."""
        with self.lock:
            self.answers[status] += 1
            if status == "200":
                self.latency_ms.setdefault(what, []).append(ms)


def requests(images: list[bytes]) -> list[tuple[str, str, dict[str, Any]]]:
    """(what, path, what is sent), as the page and programs would."""
    parts = [("parts", (None, name)) for name in ("image", "mask", "attention")]
    made: list[tuple[str, str, dict[str, Any]]] = []
    for image in images:
        made.append(("segment", "/v1/segment", {"files": {"files": image}}))
        made.append(("segment as the page", "/v1/segment", {"files": [("files", image), *parts]}))
        made.append(("export png", "/v1/export/png", {"files": {"file": image}}))
    polygons = json.dumps([[[50, 60], [50, 140], [120, 140], [120, 60]]])
    size = {"rows": (None, "400"), "columns": (None, "500"), "polygons": (None, polygons)}
    made.append(("measure", "/v1/measure", {"files": size}))
    return made


def client(address: str, start: int, end: float, tally: Tally) -> None:
    """Ask without a pause until the time is over."""
    serving: Any = import_module("tests.web.serving")
    asked = requests([serving.phantom_png(n, shape=shape) for n, shape in enumerate(SHAPES)])
    with httpx.Client(base_url=address, timeout=90) as line:
        for number in count(start):
            if time.monotonic() > end:
                return
            what, path, sent = asked[number % len(asked)]
            begun = time.perf_counter()
            try:
                status = str(line.post(path, **sent).status_code)
            except httpx.HTTPError as error:
                status = type(error).__name__
            tally.add(what, status, 1000 * (time.perf_counter() - begun))


def percentiles(values: list[float]) -> dict[str, float]:
    """p50 and p95 of latencies, in ms."""
    p50, p95 = np.percentile(values, (50, 95))
    return {"count": len(values), "p50_ms": round(p50, 1), "p95_ms": round(p95, 1)}


def main() -> int:
    """Run the trial; 0 if nothing but 200 and 429 came and memory is flat."""
    serving: Any = import_module("tests.web.serving")
    tally, memory = Tally(), []
    with tempfile.TemporaryDirectory() as name:
        server = serving.Served(Path(name))
        start = time.monotonic()
        threads = [
            threading.Thread(target=client, args=(server.address, 3 * n, start + SECONDS, tally))
            for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(1)
            memory.append((round(time.monotonic() - start), round(server.memory_mb(), 1)))
        taken, left = time.monotonic() - start, len(server.leftover_files())
        code, errors = server.stop(), server.log.count("ERROR")
    mb = [value for _, value in memory]
    part = max(len(mb) // 5, 1)
    early, late = median(mb[part : 2 * part]), median(mb[-part:])
    every = [ms for values in tally.latency_ms.values() for ms in values]
    report: dict[str, Any] = {
        "clients": CLIENTS,
        "cores": len(os.sched_getaffinity(0)),
        "seconds": round(taken),
        "answers": dict(sorted(tally.answers.items())),
        "answers_per_second": round(tally.answers["200"] / taken, 1),
        "latency": percentiles(every),
        "latency_by_request": {k: percentiles(v) for k, v in sorted(tally.latency_ms.items())},
        "memory_mb": {"early": early, "late": late, "greatest": max(mb)},
        "memory_over_time": memory[:: max(len(memory) // 30, 1)],
        "errors_in_the_log": errors,
        "files_left": left,
        "exit_code": code,
    }
    others = set(tally.answers) - {"200", str(BUSY)}
    report["ok"] = not (others or code or errors or left) and late < GROWTH * early
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
