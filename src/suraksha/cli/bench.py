"""The verb ``bench``: run a plan of many runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from suraksha.bench.cells import states
from suraksha.bench.plan import load_plan
from suraksha.bench.published import TABLE_2, check_published, check_text, read_table
from suraksha.bench.run import BenchOptions, bench
from suraksha.compute.base import EXECUTORS, make_executor
from suraksha.train.report import markdown_table


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench``."""
    verbs = parser.add_subparsers(dest="bench_command", required=True, metavar="WHAT")
    help_text = "train, score and report a plan; the same command goes on where it was stopped"
    verb = verbs.add_parser("run", help=help_text, description=help_text)
    verb.add_argument("plan", type=Path, metavar="PLAN", help="a .toml file")
    verb.add_argument(
        "--data", type=Path, default=Path("data"), metavar="ROOT", help="data set (default: data)"
    )
    verb.add_argument("--out", type=Path, metavar="RUNS", help="default: runs/NAME-OF-THE-PLAN")
    verb.add_argument(
        "--lists", type=Path, metavar="DIR", help="of busi_train1.txt, ... (default: ROOT/splits)"
    )
    verb.add_argument(
        "--only", action="append", default=[], metavar="PROTOCOL[:NUMBER]", help="repeatable"
    )
    verb.add_argument(
        "--compute", choices=EXECUTORS, default="local", help="where to train (default: local)"
    )
    verb.add_argument(
        "--address", metavar="HOST:PORT", help="of a Ray cluster (default: one on this machine)"
    )
    help_text = "runs at a time on Ray (default: one a GPU, or one a machine without GPUs)"
    verb.add_argument("--workers", type=int, default=0, metavar="N", help=help_text)
    verb.add_argument("--list", action="store_true", help="show the runs and how far they are")
    verb.add_argument("--quiet", action="store_true", help="no progress")
    verb.add_argument("--json", action="store_true", help="print one JSON object")
    help_text = "test the arithmetic of the paper's Table 2, or of another table"
    verb = verbs.add_parser("check-published", help=help_text, description=help_text)
    verb.add_argument("table", nargs="?", type=Path, metavar="CSV", help="default: the paper's")
    verb.add_argument("--json", action="store_true", help="print one JSON list")


def run_bench(options: argparse.Namespace) -> int:
    """Do what the words after ``bench`` ask for."""
    return RUN[options.bench_command](options)


def _check_published(options: argparse.Namespace) -> int:
    """Show what a published table's figures imply of each other."""
    rows = TABLE_2 if options.table is None else read_table(options.table)
    checks = check_published(rows)
    text = check_text(rows, checks)
    print(json.dumps([check.to_dict() for check in checks]) if options.json else text)
    return 0


def _run_plan(options: argparse.Namespace) -> int:
    """Run a plan, or list it; 1 where a run failed."""
    plan = load_plan(options.plan)
    out: Path = options.out or Path("runs") / plan.name
    if options.list:
        found = {"plan": plan.name, "plan_sha256": plan.sha256}
        runs = states(plan, out, only=options.only)
        print(json.dumps({**found, "runs": runs}) if options.json else _listing(runs))
        return 0

    choice = BenchOptions(
        lists=options.lists or options.data / "splits",
        only=tuple(options.only),
        progress=not options.quiet,
        executor=make_executor(options.compute, address=options.address, workers=options.workers),
        tell=(lambda line: None) if options.quiet else (lambda line: print(line, file=sys.stderr)),
    )
    done = bench(plan, options.data, out=out, options=choice)
    text = f"{done.text}\nwritten: {out / 'report'}.json, .md"
    print(json.dumps(done.report) if options.json else text)
    return 1 if done.failed else 0


def _listing(runs: list[dict[str, object]]) -> str:
    head = ("run", "protocol", "number", "seed", "state", "seconds")
    rows = [["" if run[key] is None else str(run[key]) for key in head] for run in runs]
    return markdown_table(head, rows)


RUN = {"run": _run_plan, "check-published": _check_published}
