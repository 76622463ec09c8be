"""The verb ``segment``: its arguments. `suraksha.cli.segment_run` does the work."""

from __future__ import annotations

import argparse
from pathlib import Path

from suraksha.cli.arguments import add_bundle, add_spacing, check_out
from suraksha.errors import UnknownNameError

DEFAULT_OUT = Path("suraksha-results")
# what --formats offers; the first four apply to DICOM images only
FORMATS = ("seg", "sr", "sc", "rtstruct", "geojson", "nrrd")


def add_segment(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``segment``."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="images or folders")
    parser.add_argument(
        "--out",
        type=Path,
        default=DEFAULT_OUT,
        metavar="DIR",
        help="results folder (default: %(default)s)",
    )
    add_spacing(parser)
    parser.add_argument(
        "--formats",
        type=formats,
        default=(),
        metavar="KIND,...",
        help=f"also write these: {', '.join(FORMATS)}; the first four need DICOM images",
    )
    add_bundle(parser)
    parser.add_argument(
        "--classes",
        action="store_true",
        help="show class probabilities (decision support, research use only)",
    )
    parser.add_argument(
        "--explain", action="store_true", help="write the network's attention maps of each image"
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="segment images again even if their results are up to date",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line for each image")


def run_segment(options: argparse.Namespace) -> int:
    """Segment images; 1 if any of them failed."""
    check_out(options.out)
    from suraksha.cli.segment_run import segment_images

    return segment_images(options)


def formats(text: str) -> tuple[str, ...]:
    """What ``--formats`` gives: kinds, separated by commas."""
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for kind in kinds:
        if kind not in FORMATS:
            raise argparse.ArgumentTypeError(str(UnknownNameError("format", kind, FORMATS)))
    return kinds
