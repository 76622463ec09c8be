"""The verbs of the build side: ``models``, ``train``, ``evaluate`` and ``export``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import torch

from suraksha.cli.data import add_protocol, bar, first_number, patch_size, positive, protocol_number
from suraksha.datasets.distributed import launched_rank
from suraksha.evaluation.curves import draw_reliability
from suraksha.evaluation.evaluate import evaluate
from suraksha.evaluation.export import FLOAT_BITS, ExportOptions, export
from suraksha.evaluation.summaries import PARTS, TEST, write_evaluation
from suraksha.inference.bundle import SUFFIX
from suraksha.inference.card import NOT_STATED
from suraksha.inference.segmenter import load_segmenter
from suraksha.networks.cost import count_macs, count_parameters
from suraksha.networks.diagram import draw_network
from suraksha.networks.suraksha import SurakshaSpec
from suraksha.networks.zoo import ZOO, create_model
from suraksha.reporting.markdown import markdown_table
from suraksha.runs.config import TrainConfig, list_recipes, load_recipe
from suraksha.runs.folder import Run, open_run
from suraksha.training.fit import train


def add_models(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``models``."""
    parser.add_argument("--size", type=patch_size, default="C3", help="C1, C2, C3 or pixels")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw the network suraksha")
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run_models(options: argparse.Namespace) -> int:
    """List the networks with what they cost; draw one."""
    if options.draw is not None:
        draw_network(SurakshaSpec(), options.draw, size=options.size)
    found = []
    for entry in ZOO.values():
        with torch.device("meta"):  # shapes alone: the greatest has 134 million parameters
            network = create_model(entry.name)
        macs = count_macs(network, (1, options.size, options.size))
        found.append({**asdict(entry), "parameters": count_parameters(network), "macs": macs})
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    head = ("model", "parameters", f"MACs at {options.size} px", "divisor", "source")
    rows = [
        (m["name"], f"{m['parameters']:,}", f"{m['macs']:,}", str(m["divisor"]), m["source"])
        for m in found
    ]
    print(markdown_table(head, rows))
    return 0


def add_train(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``train``."""
    parser.add_argument(
        "recipe", metavar="RECIPE", help=f"a .toml file, or one of: {', '.join(list_recipes())}"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT|CACHE")
    parser.add_argument("--out", type=Path, required=True, metavar="RUNS")
    parser.add_argument("--size", type=patch_size, help="C1, C2, C3 or pixels")
    parser.add_argument("--epochs", type=positive, metavar="N", help="instead of the recipe's")
    parser.add_argument("--training-seed", type=int, metavar="N", help="instead of the recipe's")
    add_protocol(parser, default=None)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_train(options: argparse.Namespace) -> int:
    """Train, or go on with a run that was stopped."""
    config = configured(options)
    run = train(
        config, options.data, out=options.out, lists=options.lists, progress=not options.quiet
    )
    if launched_rank():  # the first process tells for all
        return 0
    finished = {} if run.finished is None else run.finished.to_dict()
    facts = {"run": str(run.folder), "config_sha256": config.sha256, **finished}
    print(json.dumps(facts) if options.json else "\n".join(f"{k}: {v}" for k, v in facts.items()))
    return 0


def configured(options: argparse.Namespace) -> TrainConfig:
    """The recipe with what the command line changes."""
    config = load_recipe(options.recipe)
    data = config.data
    if options.size is not None:
        data = replace(data, size=options.size)
    protocol = options.protocol or data.protocol
    number = protocol_number(options, protocol)
    if number is None and protocol != data.protocol:
        number = first_number(protocol)
    data = replace(data, protocol=protocol, split=data.split if number is None else number)
    optim = config.optim
    if options.epochs is not None:  # the share that sees small images stays
        small = round(optim.small_epochs * options.epochs / optim.epochs)
        optim = replace(optim, epochs=options.epochs, small_epochs=small)
    if optim.small_size >= data.size:
        optim = replace(optim, small_epochs=0, small_size=0)
    seed = config.seed if options.training_seed is None else options.training_seed
    return replace(config, data=data, optim=optim, seed=seed)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate``."""
    parser.add_argument("model", metavar="RUN|BUNDLE", help="a run's folder, or a bundle")
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="a data set (scored at its own size) or a cache"
    )
    parser.add_argument(
        "--part", choices=PARTS, default=TEST, help="which images (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the run's folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_evaluate(options: argparse.Namespace) -> int:
    """Score a run or a bundle; print and write the table."""
    is_run = Path(options.model).is_dir()
    model = open_run(options.model) if is_run else load_segmenter(options.model)
    found = evaluate(model, options.data, part=options.part, progress=bar)
    default = Path(options.model) if is_run else Path(f"evaluation-{found.facts['bundle']}")
    out: Path = options.out or default
    written = write_evaluation(found, out)
    if not isinstance(model, Run):
        told = model.card.calibration_metrics.get("lesion_bins", ()) if options.part == TEST else ()
        title = f"{found.facts['bundle']}, {found.facts['scored_dataset']}, {options.part}"
        calibration = found.calibration.to_dict()
        draw_reliability(calibration, out / "reliability.png", title=title, lesions=told)
    text = f"{written.text}\n\nwritten: {written.stem}.json, .md"
    print(written.record if options.json else text)
    return 0


def add_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    parser.add_argument("bundle", type=Path, metavar=f"FILE{SUFFIX}", help="what to write")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="ROOT|CACHE", help="images for the check"
    )
    parser.add_argument("--licence", default=NOT_STATED, help="of the weights, for the card")
    parser.add_argument(
        "--weight-bits", type=int, default=FLOAT_BITS, help="significant bits; 11 halves the file"
    )
    parser.add_argument(
        "--int8", action="store_true", help="in 8-bit integers, if that costs next to no Dice"
    )
    parser.add_argument(
        "--fits-from",
        type=Path,
        metavar="RUN",
        help="a run of the same recipe whose validation part gives presence rule and trust",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_export(options: argparse.Namespace) -> int:
    """Score a run on its test part, then write its bundle if ONNX Runtime agrees with torch."""
    fits = None if options.fits_from is None else open_run(options.fits_from)
    card = export(
        open_run(options.run),
        options.bundle,
        data=options.data,
        options=ExportOptions(options.licence, options.weight_bits, options.int8, fits),
        progress=bar,
    )
    facts = {"bundle": str(options.bundle), "model_sha256": card.model_sha256, **card.parity}
    print(json.dumps(facts) if options.json else "\n".join(f"{k}: {v}" for k, v in facts.items()))
    return 0
