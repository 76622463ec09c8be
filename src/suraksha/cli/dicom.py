"""The verb ``dicom``: a node that takes images in and sends results on, and what goes with it."""

from __future__ import annotations

import argparse
from importlib import import_module

from suraksha.cli.app import Command

ACTIONS = (
    Command("listen", "suraksha.cli.dicom_node", "take images by C-STORE, send SEG and SR on"),
    Command("watch", "suraksha.cli.dicom_node", "the same beside a DICOMweb archive"),
    Command("send", "suraksha.cli.dicom_send", "send DICOM files, and make sure they arrived"),
    Command("queue", "suraksha.cli.dicom_send", "what waits, and dead letters; try them again"),
    Command("anonymize", "suraksha.cli.dicom_files", "copies of images that name no patient"),
)


def add_dicom(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``dicom``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action in ACTIONS:
        verb = actions.add_parser(action.name, help=action.help, description=action.help)
        getattr(import_module(action.module), f"add_{action.name}")(verb)


def run_dicom(options: argparse.Namespace) -> int:
    """Run one of the actions; its exit code."""
    action = next(action for action in ACTIONS if action.name == options.action)
    run = getattr(import_module(action.module), f"run_{action.name}")
    code: int = run(options)
    return code
