"""Arguments that several commands share. Nothing here imports numpy or torch at its top.

The names that the parser offers are written out here, so that ``--help`` need not import the
tables that hold them; ``tests/cli/test_commands.py`` checks that both agree.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from suraksha.errors import InputError, UsageError

if TYPE_CHECKING:
    from suraksha.inference.segmenter import Segmenter
    from suraksha.types import Spacing

Item = TypeVar("Item")
DEFAULT_BUNDLE = "suraksha-lite"
AUTO = "auto"
ENGINES = ("onnxruntime", "openvino")
INPUT_SIZES = MappingProxyType({"C1": 64, "C2": 128, "C3": 256})
# protocol -> what --split counts
PROTOCOLS = MappingProxyType(
    {"paper": "draw", "community": "list", "clean": "fold", "hospitals": "left-out data set"}
)
# lists and data sets are numbered from 1, draws and folds from 0
FIRST_SPLIT = MappingProxyType({"paper": 0, "community": 1, "clean": 0, "hospitals": 1})


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """The arguments that choose a bundle and how it runs."""
    parser.add_argument(
        "--bundle",
        metavar="NAME|FILE",
        help=f"a bundle's name or .busi file (default: {DEFAULT_BUNDLE})",
    )
    parser.add_argument(
        "--engine",
        default=AUTO,
        choices=(AUTO, *ENGINES),
        help="what runs the network (default: %(default)s, which is ONNX Runtime)",
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="CPU threads (default: all, at most 4)"
    )
    parser.add_argument(
        "--input-size",
        type=inference_size,
        metavar="N",
        help="side of the network's input in pixels, C1, C2 or C3 (64, 128, 256), or auto: chosen "
        "for each image (default: the bundle's own size)",
    )
    parser.add_argument(
        "--no-input-check",
        action="store_true",
        help="also segment images that do not look like ultrasound",
    )


def load_chosen(options: argparse.Namespace, *, max_threads: int | None = None) -> Segmenter:
    """The bundle that `add_bundle` lets the user choose, on at most so many threads."""
    from suraksha.inference import segmenter
    from suraksha.inference.engines import default_threads

    threads = default_threads() if options.threads is None else options.threads
    return segmenter.load_segmenter(
        options.bundle,
        engine=options.engine,
        threads=threads if max_threads is None else min(threads, max_threads),
        patch=options.input_size,
        check=not options.no_input_check,
    )


def add_spacing(parser: argparse.ArgumentParser) -> None:
    """The size of a pixel."""
    parser.add_argument(
        "--spacing",
        type=millimetres,
        metavar="MM",
        help="size of a pixel in mm, for example 0.08; without it lengths are in pixels",
    )


def spacing_of(options: argparse.Namespace) -> Spacing | None:
    """What ``--spacing`` gives.

    Raises:
        UsageError: No ultrasound image has such pixels.
    """
    from suraksha.types import Spacing

    if options.spacing is None:
        return None
    try:
        return Spacing.square(options.spacing)
    except InputError as error:
        raise UsageError(f"--spacing: {error.what}", error.why, error.fix) from error


def add_protocol(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """The arguments that choose a split."""
    parser.add_argument(
        "--protocol",
        choices=tuple(PROTOCOLS),
        default=default,
        help=f"how images are split (default: {default or 'that of the recipe'})",
    )
    counted = ", ".join(f"{unit} of {name}" for name, unit in PROTOCOLS.items())
    parser.add_argument(
        "--split", type=natural, metavar="N", help=f"which split: {counted} (default: the first)"
    )
    parser.add_argument(
        "--lists",
        type=Path,
        metavar="DIR",
        help="folder with busi_train1.txt, ... (protocol community)",
    )


def add_training_size(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """The side of the network's input for training."""
    parser.add_argument(
        "--input-size",
        type=input_size,
        default=default,
        metavar="N",
        help="side of the network's input: C1, C2, C3 (64, 128, 256) or pixels (default: "
        f"{default or 'that of the recipe'})",
    )


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not an integer of at least 1")
    return int(text)


def natural(text: str) -> int:
    """An integer of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not an integer of at least 0")
    return int(text)


def input_size(text: str) -> int:
    """``C1``, ``C2``, ``C3`` or a side in pixels."""
    if text.upper() in INPUT_SIZES:
        return INPUT_SIZES[text.upper()]
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not C1, C2, C3 or a number of pixels")
    return int(text)


def inference_size(text: str) -> int | str:
    """The same, or ``auto``."""
    return AUTO if text.lower() == AUTO else input_size(text)


def millimetres(text: str) -> float:
    """A length above 0 in mm; the unit may be given: ``0.08mm``."""
    number = text.strip().lower().removesuffix("mm").strip().replace(",", ".")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a length in millimetres (give a number such as 0.08)"
        )
    return value


def check_out(out: Path) -> None:
    """Refuse an output folder that is a file.

    Raises:
        UsageError: It is one.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(
            f"--out {out} cannot be used", "it is a file, not a folder", "Give a folder"
        )


def check_exists(path: Path, what: str) -> None:
    """Refuse a path that does not exist, before anything heavy is imported.

    Raises:
        InputError: It does not exist.
    """
    if not path.exists():
        raise InputError(f"{what} {path} does not exist", "no file has that path", "Check the path")


def recipe_names() -> tuple[str, ...]:
    """The names of the shipped recipes."""
    folder = resources.files("suraksha.runs") / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name[:-5] for name in names if name.endswith(".toml")))


def progress(
    options: argparse.Namespace, *, unit: str = "image", label: str = ""
) -> Callable[[Sequence[Item]], Iterable[Item]]:
    """Wraps a sequence in a progress bar on stderr; none if ``--quiet`` or not a terminal."""
    from tqdm import tqdm

    hidden = True if options.quiet else None

    def bar(items: Sequence[Item]) -> Iterable[Item]:
        return tqdm(items, desc=label or None, unit=unit, disable=hidden, leave=False)

    return bar
