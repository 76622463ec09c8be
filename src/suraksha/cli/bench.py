"""The verb ``bench``: run a plan of many runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from suraksha.cli.data import bar, positive
from suraksha.compute.base import EXECUTORS, make_executor
from suraksha.experiments.execution import BenchOptions, run_plan
from suraksha.experiments.formats import FORMATS
from suraksha.experiments.latency import HEAD, latency_json, latency_rows, measure_latency
from suraksha.experiments.plan import load_plan
from suraksha.experiments.results import read_results
from suraksha.experiments.speed import ROUNDS, measure_speeds
from suraksha.experiments.status import states
from suraksha.files import write_text
from suraksha.paper.arithmetic import check_published, check_text
from suraksha.paper.figures import draw_figures
from suraksha.paper.published import TABLE_2, read_table
from suraksha.paper.tables import build_tables
from suraksha.reporting.markdown import markdown_table

# what 'bench table' shows where nothing else is asked for
PLAN, RESULTS = Path("plans/benchmark-cpu.toml"), Path("docs/results")


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
    help_text = "the paper's Table 2 from a plan's runs, and what it lacks"
    verb = verbs.add_parser("table", help=help_text, description=help_text)
    _add_results(verb)
    verb.add_argument(
        "--format", choices=FORMATS, default="markdown", help="to print (default: %(default)s)"
    )
    verb.add_argument("--out", type=Path, metavar="DIR", help="write all formats there")
    help_text = "time the whole path of the shipped bundles, or the networks of a plan"
    verb = verbs.add_parser("speed", help=help_text, description=help_text)
    _add_results(verb, plan=None)
    verb.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N")
    help_text = "folder for speed.json and speed.md of the whole path"
    verb.add_argument("--out", type=Path, metavar="DIR", help=help_text)
    help_text = "draw the figures of a plan's runs"
    verb = verbs.add_parser("figures", help=help_text, description=help_text)
    _add_results(verb)
    help_text = "data set; then samples and answers are drawn too, which hold images of it"
    verb.add_argument("--data", type=Path, metavar="ROOT", help=help_text)
    verb.add_argument("--out", type=Path, metavar="DIR", help="default: RUNS/figures")
    help_text = "test the arithmetic of the paper's Table 2, or of another table"
    verb = verbs.add_parser("check-published", help=help_text, description=help_text)
    verb.add_argument("table", nargs="?", type=Path, metavar="CSV", help="default: the paper's")
    verb.add_argument("--json", action="store_true", help="print one JSON list")


def _add_results(verb: argparse.ArgumentParser, plan: Path | None = PLAN) -> None:
    help_text = f"a .toml file (default: {plan or 'none'})"
    verb.add_argument("plan", nargs="?", type=Path, default=plan, metavar="PLAN", help=help_text)
    help_text = f"its runs (default: {RESULTS}/NAME-OF-THE-PLAN)"
    verb.add_argument("--runs", type=Path, metavar="RUNS", help=help_text)


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


def _table(options: argparse.Namespace) -> int:
    """Show the tables of a plan's runs; write them in every format."""
    plan = load_plan(options.plan)
    tables = build_tables(read_results(plan, options.runs or RESULTS / plan.name))
    print(FORMATS[options.format][1](plan.title, tables), end="")
    if options.out is not None:
        for ending, written in FORMATS.values():
            write_text(options.out / f"table.{ending}", written(plan.title, tables))
        print(f"written: {options.out / 'table'}.*", file=sys.stderr)
    return 0


def _figures(options: argparse.Namespace) -> int:
    """Draw the figures of a plan's runs."""
    plan = load_plan(options.plan)
    folder: Path = options.runs or RESULTS / plan.name
    out: Path = options.out or folder / "figures"
    for path in draw_figures(read_results(plan, folder), out, data=options.data, runs=folder):
        print(path)
    return 0


def _speed(options: argparse.Namespace) -> int:
    """Time the whole path, or the networks of a plan; show and write the figures."""
    if options.plan is None:
        return _latency(options)
    plan = load_plan(options.plan)
    configs = [cell.config for cell in plan.cells]
    folder: Path = options.runs or RESULTS / plan.name
    found = measure_speeds(configs, folder, rounds=options.rounds, progress=bar)
    least = min(found["milliseconds"].values())
    rows = [
        [key, f"{value:.1f}", f"{1000 / value:.1f}", f"{value / least:.2f}"]
        for key, value in found["milliseconds"].items()
    ]
    head = ("network, options, channels, size", "ms an image", "images/s", "times the fastest")
    print(f"{found['device']}, {found['engine']}\n\n{markdown_table(head, rows)}")
    return 0


def _latency(options: argparse.Namespace) -> int:
    record = measure_latency(rounds=options.rounds, progress=bar)
    table = markdown_table(HEAD, latency_rows(record))
    head = (
        f"{record['device']}, torch {record['torch']}; {record['image']}, median of "
        f"{record['rounds']} rounds in turn. Peak memory of a process that segments: "
        f"{record['peak_memory_mib']:.0f} MiB."
    )
    print(f"{head}\n\n{table}")
    if options.out is not None:
        write_text(options.out / "speed.json", latency_json(record))
        write_text(options.out / "speed.md", f"{head}\n\n{table}\n")
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
        log=(lambda line: None) if options.quiet else (lambda line: print(line, file=sys.stderr)),
    )
    done = run_plan(plan, options.data, out=out, options=choice)
    text = f"{done.text}\nwritten: {out / 'report'}.json, .md"
    print(json.dumps(done.report) if options.json else text)
    return 1 if done.failed else 0


def _listing(runs: list[dict[str, object]]) -> str:
    head = ("run", "protocol", "number", "seed", "state", "seconds")
    rows = [["" if run[key] is None else str(run[key]) for key in head] for run in runs]
    return markdown_table(head, rows)


RUN = {
    "run": _run_plan,
    "table": _table,
    "figures": _figures,
    "speed": _speed,
    "check-published": _check_published,
}
