"""The verb ``evaluate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from suraksha.cli.arguments import check_exists, check_out, progress
from suraksha.cli.text import count_text
from suraksha.errors import BundleError

PARTS = ("test", "validation", "all")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate``."""
    parser.add_argument("model", metavar="RUN|BUNDLE", help="a run's folder, or a bundle")
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="a data set (scored at the images' own size) or a packed one",
    )
    parser.add_argument(
        "--part", choices=PARTS, default=PARTS[0], help="which images (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for tables and scores (default: the run's folder)",
    )


def run_evaluate(options: argparse.Namespace) -> int:
    """Score a run or a bundle; print a summary, write the tables and the score of each image."""
    check_exists(options.data, "the data set")
    is_run = Path(options.model).is_dir()
    if not is_run and options.model.endswith(".busi") and not Path(options.model).is_file():
        raise BundleError(
            f"bundle {options.model} does not exist", "no file has that path", "Check the path"
        )
    if options.out is not None:
        check_out(options.out)

    from suraksha.evaluation.curves import draw_reliability
    from suraksha.evaluation.evaluate import evaluate
    from suraksha.evaluation.summaries import summary_lines, write_evaluation
    from suraksha.inference.segmenter import load_segmenter
    from suraksha.runs.folder import Run, open_run

    model = open_run(options.model) if is_run else load_segmenter(options.model)
    found = evaluate(
        model, options.data, part=options.part, progress=progress(options, label="scoring")
    )
    default = Path(options.model) if is_run else Path(f"evaluation-{found.facts['bundle']}")
    out: Path = options.out or default
    written = write_evaluation(found, out)
    if not isinstance(model, Run):
        scored = model.card.calibration_metrics if options.part == "test" else {}
        title = f"{found.facts['bundle']}, {found.facts['scored_dataset']}, {options.part}"
        draw_reliability(
            found.calibration.to_dict(),
            out / "reliability.png",
            title=title,
            lesions=scored.get("lesion_bins", ()),
        )
    print(written.record if options.json else "\n".join(summary_lines(found)))
    facts = found.facts
    print(
        f"scored {count_text(facts['images_scored'], 'image')} of {facts['scored_dataset']} "
        f"({facts['scored_part']} part); tables: {written.stem}.md, .json, -images.jsonl",
        file=sys.stderr,
    )
    for text in found.warnings:
        print(f"suraksha: {text}", file=sys.stderr)
    return 0
