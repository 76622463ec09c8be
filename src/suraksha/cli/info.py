"""The verb ``info``."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import suraksha
from suraksha.cli.arguments import ENGINES
from suraksha.cli.commands import EXTRAS


def add_info(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``info``."""
    parser.add_argument("bundle", nargs="?", help="a bundle's name or .busi file (default: all)")
    parser.add_argument("--card", action="store_true", help="print the bundle's model card")


def run_info(options: argparse.Namespace) -> int:
    """Show what is installed, or the model card of a bundle."""
    from suraksha.inference.bundle import BUNDLES, read_bundle
    from suraksha.reporting.model_card import model_card

    if options.card:
        card = read_bundle(options.bundle).card
        print(card.to_json() if options.json else model_card(card), end="")
        return 0
    bundles = list(_bundles([options.bundle] if options.bundle else BUNDLES))
    extras = {name: all(map(find_spec, modules)) for name, modules in EXTRAS.items()}
    engines = [name for name in ENGINES if find_spec(name)]
    if options.json:
        info = {
            "version": suraksha.__version__,
            "python": platform.python_version(),
            "bundles": bundles,
            "engines": engines,
            "extras": extras,
        }
        print(json.dumps(info, indent=2))
        return 0
    print(f"suraksha {suraksha.__version__}, Python {platform.python_version()}")
    for bundle in bundles:
        default = " (default)" if bundle["default"] else ""
        print(
            f"bundle {bundle['name']}{default}: {bundle['parameters'] / 1e6:.1f} M parameters, "
            f"input {bundle['size'][0]} x {bundle['size'][1]}, SHA-256 {bundle['sha256']}"
        )
    print(f"engines: {', '.join(engines)}")
    for name, installed in extras.items():
        print(f"extra [{name}]: {'installed' if installed else 'not installed'}")
    print("Research use only.")
    return 0


def _bundles(wanted: Iterable[str]) -> Iterator[dict[str, Any]]:
    from suraksha.inference.bundle import DEFAULT_BUNDLE, read_bundle

    for name in wanted:
        bundle = read_bundle(name)
        card = bundle.card
        yield {
            "name": card.name,
            "default": name == DEFAULT_BUNDLE,
            "sha256": bundle.sha256,
            "parameters": card.parameters,
            "macs": card.macs,
            "size": list(card.preparation.shape),
            "intended_use": card.intended_use,
        }
