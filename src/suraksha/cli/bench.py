"""The verbs of ``bench``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suraksha.cli.arguments import check_exists, natural, positive
from suraksha.cli.text import table_text
from suraksha.errors import UsageError

# what 'bench table' and 'bench figures' show by default, in a clone of the repository
PLAN, RESULTS = Path("plans/benchmark-cpu.toml"), Path("docs/results")
COMPUTE = ("local", "ray")
TABLE_FORMATS = ("markdown", "csv", "json", "latex", "html")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench run``."""
    parser.add_argument("plan", type=Path, metavar="PLAN", help="a .toml file")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="ROOT",
        help="the data set (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the runs (default: runs/NAME-OF-PLAN)"
    )
    parser.add_argument(
        "--lists",
        type=Path,
        metavar="DIR",
        help="folder with busi_train1.txt, ... (default: ROOT/splits)",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PROTOCOL[:SPLIT]",
        help="only these runs of the plan; repeatable",
    )
    parser.add_argument(
        "--compute", choices=COMPUTE, default="local", help="where to train (default: %(default)s)"
    )
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of a Ray cluster (default: start one here)"
    )
    parser.add_argument(
        "--workers",
        type=natural,
        default=0,
        metavar="N",
        help="runs at a time on Ray (default: one for each GPU, or one for each machine)",
    )
    parser.add_argument("--list", action="store_true", help="show the runs and their state")


def run_run(options: argparse.Namespace) -> int:
    """Run a plan, or list its runs; 1 if a run failed."""
    check_exists(options.plan, "the plan")
    if not options.list:
        check_exists(options.data, "the data set")
    from suraksha.experiments.plan import load_plan

    plan = load_plan(options.plan)
    out: Path = options.out or Path("runs") / plan.name
    if options.list:
        from suraksha.experiments.results import run_states

        facts = {"plan": plan.name, "plan_sha256": plan.sha256}
        runs = run_states(plan, out, only=options.only)
        print(json.dumps({**facts, "runs": runs}) if options.json else _listing(runs))
        return 0

    from suraksha.compute.base import make_executor
    from suraksha.experiments import execution

    def log(line: str) -> None:
        if not options.quiet:
            print(line, file=sys.stderr)

    choice = execution.PlanOptions(
        lists=options.lists or options.data / "splits",
        only=tuple(options.only),
        progress=not options.quiet,
        executor=make_executor(options.compute, address=options.address, workers=options.workers),
        log=log,
    )
    done = execution.run_plan(plan, options.data, out=out, options=choice)
    text = f"{done.text}\nwritten: {out / 'report'}.json, .md"
    print(json.dumps(done.report) if options.json else text)
    return 1 if done.failed else 0


def _listing(runs: Sequence[Mapping[str, object]]) -> str:
    keys = ("run", "protocol", "split", "seed", "state", "seconds")
    rows = [["-" if run[key] is None else str(run[key]) for key in keys] for run in runs]
    return table_text(("run", "protocol", "split", "seed", "state", "seconds"), rows)


def add_table(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench table``."""
    _add_results(parser, default=PLAN)
    parser.add_argument(
        "--format",
        choices=TABLE_FORMATS,
        default=TABLE_FORMATS[0],
        help="what to print (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write every format there")


def run_table(options: argparse.Namespace) -> int:
    """Print the tables of a plan's runs; write them in every format."""
    _check_plan(options.plan)
    from suraksha.experiments.formats import FORMATS
    from suraksha.experiments.plan import load_plan
    from suraksha.experiments.results import read_results
    from suraksha.files import write_text
    from suraksha.paper.tables import build_tables

    plan = load_plan(options.plan)
    tables = build_tables(read_results(plan, options.runs or RESULTS / plan.name))
    chosen = "json" if options.json else options.format
    print(FORMATS[chosen][1](plan.title, tables), end="")
    if options.out is not None:
        for ending, write in FORMATS.values():
            write_text(options.out / f"table.{ending}", write(plan.title, tables))
        print(f"written: {options.out / 'table'}.*", file=sys.stderr)
    return 0


def add_figures(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench figures``."""
    _add_results(parser, default=PLAN)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="ROOT",
        help="the data set; with it, figures that show its images are drawn too",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: RUNS/figures")


def run_figures(options: argparse.Namespace) -> int:
    """Draw the figures of a plan's runs."""
    _check_plan(options.plan)
    from suraksha.experiments.plan import load_plan
    from suraksha.experiments.results import read_results
    from suraksha.paper.figures import draw_figures

    plan = load_plan(options.plan)
    folder: Path = options.runs or RESULTS / plan.name
    out: Path = options.out or folder / "figures"
    drawn = draw_figures(read_results(plan, folder), out, data=options.data, runs=folder)
    paths = [str(path) for path in drawn]
    print(json.dumps({"figures": paths}) if options.json else "\n".join(paths))
    return 0


def add_speed(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench speed``."""
    _add_results(parser, default=None)
    parser.add_argument(
        "--rounds",
        type=positive,
        metavar="N",
        help="measurements of each candidate (default: as many as take about three minutes)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="without PLAN: folder for speed.json and speed.md"
    )


def run_speed(options: argparse.Namespace) -> int:
    """Measure the whole path from file to lesion, or the networks of a plan."""
    if options.plan is None:
        return _latency(options)
    check_exists(options.plan, "the plan")
    from suraksha.experiments.plan import load_plan
    from suraksha.experiments.speed import measure_speeds

    plan = load_plan(options.plan)
    configs = [planned.config for planned in plan.runs]
    folder: Path = options.runs or RESULTS / plan.name
    found = measure_speeds(configs, folder, rounds=options.rounds, progress=_steps(options))
    if options.json:
        print(json.dumps(asdict(found)))
        return 0
    fastest = min(found.milliseconds.values())
    rows = [
        (key, f"{value:.1f}", f"{1000 / value:.1f}", f"{value / fastest:.2f}")
        for key, value in found.milliseconds.items()
    ]
    head = ("network, options, channels, size", "ms per image", "images/s", "relative to fastest")
    print(f"{found.device}, {found.engine}\n\n{table_text(head, rows)}")
    return 0


def _latency(options: argparse.Namespace) -> int:
    """Measure from file to measured lesion with every bundle and engine."""
    from suraksha.experiments.latency import HEAD, latency_json, latency_rows, measure_latency
    from suraksha.files import write_text
    from suraksha.reporting.markdown import markdown_table

    record = measure_latency(rounds=options.rounds, progress=_steps(options))
    rows, title = latency_rows(record), _latency_title(record)
    if options.out is not None:
        write_text(options.out / "speed.json", latency_json(record))
        write_text(options.out / "speed.md", f"{title}\n\n{markdown_table(HEAD, rows)}\n")
    text = f"{title}\n\n{table_text(HEAD, rows)}"
    print(latency_json(record) if options.json else text)
    return 0


def _steps(options: argparse.Namespace) -> Callable[[str, int], None]:
    """Shows the current step and the number of steps left on stderr, if that is a terminal."""
    shown = not options.quiet and sys.stderr.isatty()

    def step(title: str, left: int) -> None:
        if shown:
            print(f"\r\x1b[K{left} left: {title}"[:120], end="", file=sys.stderr, flush=True)
            if left == 1:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    return step


def _latency_title(record: Mapping[str, Any]) -> str:
    return (
        f"{record['device']}, torch {record['torch']}; {record['image']}; median of "
        f"{record['rounds']} rounds. Peak memory of a process that segments: "
        f"{record['peak_memory_mib']:.0f} MiB."
    )


def add_check_published(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench check-published``."""
    parser.add_argument(
        "table", nargs="?", type=Path, metavar="CSV", help="default: Table 2 of the paper"
    )


def run_check_published(options: argparse.Namespace) -> int:
    """Show what the figures of a published table imply about each other."""
    from suraksha.paper.arithmetic import check_published, check_text
    from suraksha.paper.published import TABLE_2, read_table

    rows = TABLE_2 if options.table is None else read_table(options.table)
    checks = check_published(rows)
    found = [check.to_dict() for check in checks]
    print(json.dumps(found) if options.json else check_text(rows, checks))
    return 0


def _add_results(parser: argparse.ArgumentParser, *, default: Path | None) -> None:
    parser.add_argument(
        "plan",
        nargs="?",
        type=Path,
        default=default,
        metavar="PLAN",
        help=f"a .toml file (default: {default or 'none: the shipped bundles'})",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        help=f"folder of its runs (default: {RESULTS}/NAME-OF-PLAN)",
    )


def _check_plan(plan: Path) -> None:
    """Refuse a missing plan; the default one exists only in a clone."""
    if plan == PLAN and not plan.exists():
        raise UsageError(
            f"no plan is given, and the default {PLAN} does not exist here",
            "it is part of the repository, not of the package",
            "Give PLAN and --runs, or run this in a clone of the repository",
        )
    check_exists(plan, "the plan")
