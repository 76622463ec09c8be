"""The verb ``export``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from suraksha.cli.arguments import add_data, check_exists, chosen_data, progress
from suraksha.errors import UsageError

SUFFIX = ".busi"
NOT_STATED = "not stated"
FLOAT_BITS = 24


def add_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    parser.add_argument("bundle", type=Path, metavar=f"FILE{SUFFIX}", help="the bundle to write")
    add_data(parser, "the data set of the run: its test images score and check the bundle")
    parser.add_argument(
        "--licence", default=NOT_STATED, help="licence of the weights, for the model card"
    )
    parser.add_argument(
        "--weight-bits",
        type=int,
        default=FLOAT_BITS,
        metavar="N",
        help="significant bits of the weights; 11 halves the file (default: %(default)s, all)",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="quantize to 8 bits; refused if mean Dice drops by more than 0.005",
    )
    parser.add_argument(
        "--calibration-run",
        type=Path,
        metavar="RUN",
        help="take the operating point and the calibration from another run of the same recipe "
        "that has a validation part",
    )


def run_export(options: argparse.Namespace) -> int:
    """Score a run on its test part, and write its bundle if ONNX Runtime agrees with torch."""
    if options.bundle.suffix != SUFFIX:
        raise UsageError(
            f"{options.bundle} is not a name for a bundle",
            f"it does not end in {SUFFIX}",
            f"Give {options.bundle.with_suffix(SUFFIX)}",
        )
    check_exists(options.run, "the run")
    data = chosen_data(options.data)

    from suraksha.evaluation.export import ExportOptions, export
    from suraksha.runs.folder import open_run

    source = options.calibration_run
    card = export(
        open_run(options.run),
        options.bundle,
        data=data,
        options=ExportOptions(
            licence=options.licence,
            weight_bits=options.weight_bits,
            int8=options.int8,
            fits=None if source is None else open_run(source),
        ),
        progress=progress(options, label="exporting"),
        log=lambda text: print(f"suraksha: {text}", file=sys.stderr),
    )
    facts = {"bundle": str(options.bundle), "model_sha256": card.model_sha256, **card.parity}
    if options.json:
        print(json.dumps(facts))
        return 0
    megabytes = options.bundle.stat().st_size / 1e6
    print(f"bundle: {options.bundle} ({megabytes:.1f} MB, network {card.model_sha256[:12]})")
    for size, difference in card.parity.items():
        print(
            f"ONNX parity at {size}: max absolute difference {difference:.0e} between the "
            "probabilities of ONNX Runtime and torch"
        )
    print(f"next: suraksha segment IMAGES --bundle {options.bundle}")
    return 0
