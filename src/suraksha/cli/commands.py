"""The table of all commands, and the parser that is built from it.

Building the parser imports the module of the chosen command only, and such a module imports
nothing heavy at its top: ``--help`` needs neither numpy nor torch nor any extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import NoReturn

import suraksha

OK, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
EPILOG = "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted. Research use only."

# extra -> the modules that it installs
EXTRAS = MappingProxyType(
    {
        "train": ("torch", "lightning", "kornia", "matplotlib", "onnx", "onnxscript", "tomli_w"),
        "openvino": ("openvino",),
        "dicom": ("pydicom", "highdicom", "pynetdicom", "gdcm", "dicomweb_client"),
        "ray": ("ray",),
        "video": ("cv2",),
        "web": ("fastapi", "uvicorn", "multipart", "python_multipart", "prometheus_client"),
    }
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Args:
        name: What the user types: a verb, or a group and a verb.
        module: Module of `suraksha.cli` with its two functions: ``add_<verb>``, which adds the
            arguments, and ``run_<verb>``, which returns the exit code.
        help: One line.
        quiet: Whether it shows progress, which ``--quiet`` turns off.
    """

    name: str
    module: str
    help: str
    quiet: bool = False

    @property
    def group(self) -> str:
        """The word before the verb, or an empty string."""
        return self.name.rpartition(" ")[0]

    @property
    def verb(self) -> str:
        """The last word of the name."""
        return self.name.rpartition(" ")[2]

    def function(self, prefix: str) -> Callable[..., int]:
        """Its function ``add_...`` or ``run_...``; this imports its module."""
        module = import_module(f"suraksha.cli.{self.module}")
        found: Callable[..., int] = getattr(module, f"{prefix}_{self.verb.replace('-', '_')}")
        return found


GROUPS = MappingProxyType(
    {
        "dicom": "connect to a PACS: receive images, send results, anonymize files",
        "data": "check, describe, pack, split, download or generate a data set",
        "bench": "run a plan of many trainings and report the results",
    }
)
COMMANDS = (
    Command("segment", "segment", "find and measure lesions in images", quiet=True),
    Command("live", "live", "segment a video or a camera while it runs", quiet=True),
    Command("serve", "serve", "web page and HTTP interface on this computer"),
    Command("info", "info", "show the version, bundles, engines and installed extras"),
    Command("dicom listen", "dicom_node", "receive images by C-STORE and send SEG and SR on"),
    Command("dicom watch", "dicom_node", "poll a DICOMweb archive and store SEG and SR in it"),
    Command("dicom send", "dicom_send", "send DICOM files and confirm that they arrived"),
    Command("dicom queue", "dicom_send", "show the queue of a node; retry or drop failed jobs"),
    Command("dicom anonymize", "dicom_files", "write copies of DICOM files without patient data"),
    Command("data init", "data", "describe a folder of your own images (writes suraksha.toml)"),
    Command("data check", "data", "audit a data set; exit code 1 if it has faults", quiet=True),
    Command("data pack", "data", "resize a data set once, for training", quiet=True),
    Command("data split", "data", "write the split of a protocol to a file"),
    Command("data fetch", "data", "unpack a data set from a URL or a zip file", quiet=True),
    Command("data phantom", "data", "generate a synthetic data set", quiet=True),
    Command("models", "models", "list the networks"),
    Command("train", "train", "train a network from a recipe", quiet=True),
    Command("evaluate", "evaluate", "score a run or a bundle on images with masks", quiet=True),
    Command("export", "export", "write the bundle of a finished run", quiet=True),
    Command("bench run", "bench", "train and score every run of a plan; resumes", quiet=True),
    Command("bench table", "bench", "print the tables of a plan's runs"),
    Command("bench figures", "bench", "draw the figures of a plan's runs"),
    Command("bench speed", "bench", "measure the speed of bundles or networks", quiet=True),
    Command("bench check-published", "bench", "check the arithmetic of a published table"),
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """A parser without abbreviated options, whose errors suggest the option that was meant."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**{"allow_abbrev": False, "epilog": EPILOG, **settings})  # type: ignore[arg-type]

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Exit with the usage of this command because of arguments that it does not have."""
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        name = unknown[0].partition("=")[0]
        near = get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


def build_parser(words: Sequence[str] | None = None) -> Parser:
    """The parser.

    Args:
        words: The command line. Only the arguments of its command are added, which saves imports;
            None adds those of every command, as shell completion needs.
    """
    chosen = None if words is None else [word for word in words if not word.startswith("-")][:2]
    parser = Parser(
        prog="suraksha",
        description="Finds and measures breast lesions in ultrasound images. Research use only.",
    )
    parser.set_defaults(verb_parser=parser)
    _add_version(parser)
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    groups = {}
    for command in COMMANDS:
        if command.group and command.group not in groups:
            text = GROUPS[command.group]
            group = verbs.add_parser(command.group, help=text, description=text.capitalize() + ".")
            group.set_defaults(verb_parser=group)
            groups[command.group] = group.add_subparsers(
                dest="action", required=True, metavar="ACTION"
            )
        place = groups.get(command.group, verbs)
        text = command.help[0].upper() + command.help[1:] + "."
        verb = place.add_parser(command.verb, help=command.help, description=text)
        if chosen is None or command.name in (" ".join(chosen), chosen[0] if chosen else ""):
            _add_arguments(verb, command)
    return parser


def _add_arguments(verb: Parser, command: Command) -> None:
    command.function("add")(verb)
    verb.add_argument("--json", action="store_true", help="print the result as JSON")
    if command.quiet:
        verb.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    _add_version(verb)
    verb.set_defaults(verb_parser=verb, run_command=command)


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=suraksha.__version__)
