"""The verb ``models``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from suraksha.cli.arguments import add_training_size
from suraksha.cli.text import table_text


def add_models(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``models``."""
    add_training_size(parser, default="C3")
    parser.add_argument(
        "--draw", type=Path, metavar="FILE", help="also draw the network 'suraksha' to a file"
    )


def run_models(options: argparse.Namespace) -> int:
    """List the networks with their size and cost; draw one."""
    import torch

    from suraksha.networks.cost import count_macs, count_parameters
    from suraksha.networks.zoo import ZOO, create_model

    size = options.input_size
    if options.draw is not None:
        from suraksha.networks.diagram import draw_network
        from suraksha.networks.suraksha import SurakshaSpec

        draw_network(SurakshaSpec(), options.draw, size=size)
    found = []
    for entry in ZOO.values():
        with torch.device("meta"):  # no memory for the weights: the largest has 134 million
            network = create_model(entry.name)
        macs = count_macs(network, (1, size, size))
        found.append({**asdict(entry), "parameters": count_parameters(network), "macs": macs})
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    rows = [
        (m["name"], f"{m['parameters']:,}", f"{m['macs']:,}", m["divisor"], m["source"])
        for m in found
    ]
    head = ("network", "parameters", f"MACs at {size} px", "divisor", "source")
    print(table_text(head, rows))
    return 0
