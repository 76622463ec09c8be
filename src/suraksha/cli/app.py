"""The program ``suraksha``: one verb a command, ``--json`` on each, exit codes 0, 1 and 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper

import suraksha
from suraksha.errors import MissingExtraError, SurakshaError, UsageError

OK, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
# extra -> the modules that it brings
EXTRAS = {
    "train": ("torch", "lightning", "kornia", "matplotlib", "onnx", "onnxscript", "tomli_w"),
    "openvino": ("openvino",),
    "dicom": ("pydicom", "highdicom", "pynetdicom", "gdcm", "dicomweb_client"),
    "ray": ("ray",),
    "video": ("cv2",),
    "web": ("fastapi", "uvicorn", "multipart", "python_multipart", "prometheus_client"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """One verb.

    Args:
        name: The verb.
        module: Module with its two functions, ``add_<name>`` (arguments) and ``run_<name>``.
        help: One line.
    """

    name: str
    module: str
    help: str


COMMANDS = (
    Command("segment", "suraksha.cli.segment", "find and measure lesions in images"),
    Command("live", "suraksha.cli.live", "answer a video or camera as it runs"),
    Command("serve", "suraksha.cli.serve", "a page and an HTTP interface on this computer"),
    Command("dicom", "suraksha.cli.dicom", "a node: take images, send results; anonymize"),
    Command("info", "suraksha.cli.segment", "version, bundles, engines and extras"),
    Command("data", "suraksha.cli.data", "check, pack, fetch or make a data set"),
    Command("models", "suraksha.cli.train", "list the networks"),
    Command("train", "suraksha.cli.train", "train a network by a recipe"),
    Command("evaluate", "suraksha.cli.train", "score a run or a bundle on images with masks"),
    Command("export", "suraksha.cli.train", "make a bundle of a finished run"),
    Command("bench", "suraksha.cli.bench", "run a plan of many runs, and report it"),
)


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser; with ``only``, the arguments of that verb alone, which spares imports."""
    parser = argparse.ArgumentParser(
        prog="suraksha",
        description="Finds and measures breast lesions in ultrasound images. Research use only.",
    )
    parser.add_argument("--version", action="version", version=suraksha.__version__)
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        verb = verbs.add_parser(command.name, help=command.help, description=command.help)
        if only in (None, command.name):
            add = getattr(import_module(command.module), f"add_{command.name}")
            add(verb)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    given = list(sys.argv[1:] if arguments is None else arguments)
    names = {command.name: command for command in COMMANDS}
    verb = next((word for word in given if word in names), "")
    try:
        options = build_parser(only=verb).parse_args(given)
        run = getattr(import_module(names[verb].module), f"run_{verb}")
        code: int = run(options)
        sys.stdout.flush()
    except SurakshaError as error:
        print(f"suraksha: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    except ModuleNotFoundError as error:
        module = str(error.name).partition(".")[0]
        extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
        if extra is None:
            raise
        print(f"suraksha: {MissingExtraError(verb, extra, module)}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # what reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        advice = "Check the path, its permissions and the space on the disk"
        print(f"suraksha: a file cannot be used: {error}. {advice}.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("suraksha: interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
