"""Schemathesis on ``suraksha serve`` for ten minutes: no 500, responses conform to the schema.

Run by ``make trial``; writes docs/results/web-schemathesis.json. The duration in seconds is
the optional first argument.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))
REPORT = REPO / "docs" / "results" / "web-schemathesis.json"
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
EXAMPLES, FAULTS_SHOWN = 40, 20


def exercise(address: str, counts: Counter[str], faults: list[str]) -> None:
    """Send generated requests to every operation of the schema until the time is over."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    fuzz: Any = import_module("tests.web.fuzz")
    end, turn = time.monotonic() + SECONDS, 0
    operations = fuzz.operations(address)
    while time.monotonic() < end:
        turn += 1
        for operation in operations:

            @seed(turn)
            @given(case=operation.as_strategy())
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def one(case: Any) -> None:  # noqa: ANN401 - a type of schemathesis
                if time.monotonic() > end:
                    return
                response = case.call(timeout=60)
                counts[f"{case.method} {case.path} {response.status_code}"] += 1
                try:
                    case.validate_response(response, checks=fuzz.CHECKS)
                except BaseExceptionGroup as group:
                    faults.append(" | ".join(str(error)[:300] for error in group.exceptions))
                except AssertionError as error:
                    faults.append(str(error)[:300])

            one()


def main() -> int:
    """Run the trial; 0 if nothing failed."""
    serving: Any = import_module("tests.web.serving")
    counts: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        server = serving.Served(Path(name))
        early = server.memory_mb()
        exercise(server.address, counts, faults)
        memory = {"early": early, "late": server.memory_mb(), "max": server.memory_mb("VmHWM")}
        leftover = len(server.leftover_files())
        code = server.stop()
        errors = server.log.count("ERROR")
    report = {
        "seconds": SECONDS,
        "requests": sum(counts.values()),
        "by_response": dict(sorted(counts.items())),
        "server_errors": sum(n for key, n in counts.items() if key.rsplit(" ", 1)[1] == "500"),
        "faults": faults[:FAULTS_SHOWN],
        "fault_count": len(faults),
        "errors_in_the_log": errors,
        "leftover_files": leftover,
        "memory_mb": {key: round(value, 1) for key, value in memory.items()},
        "exit_code": code,
    }
    report["ok"] = not (faults or report["server_errors"] or leftover or code or errors)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
