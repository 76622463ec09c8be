"""The verb ``train``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from suraksha.cli.arguments import (
    FIRST_SPLIT,
    add_protocol,
    add_training_size,
    check_exists,
    check_out,
    natural,
    positive,
    progress,
    recipe_names,
)
from suraksha.cli.text import count_text
from suraksha.errors import TrainError, UnknownNameError

if TYPE_CHECKING:
    from suraksha.evaluation.evaluate import Evaluation
    from suraksha.runs.config import TrainConfig


def add_train(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``train``."""
    parser.add_argument(
        "recipe", metavar="RECIPE", help=f"a .toml file, or one of: {', '.join(recipe_names())}"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="ROOT|CACHE", help="a data set, or a packed one"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="default: %(default)s"
    )
    add_training_size(parser)
    parser.add_argument("--epochs", type=positive, metavar="N", help="default: as in the recipe")
    parser.add_argument(
        "--seed", type=natural, metavar="N", help="random seed (default: that of the recipe)"
    )
    add_protocol(parser, default=None)


def run_train(options: argparse.Namespace) -> int:
    """Train a network, or resume a run that was stopped."""
    _check_recipe(options.recipe)
    check_exists(options.data, "the data set")
    check_out(options.out)
    config = configured(options)

    from suraksha.datasets.distributed import launched_rank
    from suraksha.evaluation.evaluate import evaluate
    from suraksha.evaluation.summaries import summary_lines
    from suraksha.training.fit import cache_for, train

    run = train(
        config, options.data, out=options.out, lists=options.lists, progress=not options.quiet
    )
    if launched_rank():  # the first process reports for all
        return 0
    cache = cache_for(config, options.data, out=options.out, progress=False)
    part = "validation" if run.split.validation else "test"
    found = evaluate(run, cache.folder, part=part, progress=progress(options, label="scoring"))
    finished = {} if run.finished is None else run.finished.to_dict()
    if options.json:
        facts = {"run": str(run.folder), "config_sha256": config.sha256, **finished}
        print(json.dumps({**facts, "scored_part": part, **_scores(found)}))
        return 0
    seconds, device = finished.get("seconds", 0.0), finished.get("device", "")
    print(f"trained {finished.get('epochs')} epochs in {seconds:.0f} s on {device}: {run.folder}")
    images, grid = count_text(len(found.scores), f"{part} image"), found.facts["grid"]
    print(f"score on {images}, at {grid.replace('x', ' x ')} px:")
    for line in summary_lines(found):
        print(f"  {line}")
    print(f"next: suraksha evaluate {run.folder} {options.data}")
    print(f"      suraksha export {run.folder} NAME.busi --data {options.data}")
    for text in found.warnings:
        print(f"suraksha: {text}", file=sys.stderr)
    return 0


def _scores(found: Evaluation) -> dict[str, float | None]:
    """Mean Dice on lesion images of the network and of the mean mask; None where undefined."""
    from suraksha.evaluation.evaluate import MEAN_MASK
    from suraksha.metrics.subsets import LESION

    scores: dict[str, float | None] = {}
    for key, model in (("dice", found.rows[0].model), ("mean_mask_dice", MEAN_MASK)):
        summary = found.summary(model, LESION)
        value = math.nan if summary is None else summary.mean["dice"].value
        scores[key] = value if math.isfinite(value) else None
    return scores


def _check_recipe(recipe: str) -> None:
    """Refuse a recipe that does not exist, before torch is imported.

    Raises:
        UnknownNameError: No shipped recipe has that name.
        TrainError: No file has that path.
    """
    names = recipe_names()
    if not recipe.endswith(".toml"):
        if recipe not in names:
            raise UnknownNameError("recipe", recipe, names)
    elif not Path(recipe).is_file():
        raise TrainError(
            f"recipe {recipe} does not exist",
            "no file has that path",
            f"Give a path, or one of: {', '.join(names)}",
        )


def configured(options: argparse.Namespace) -> TrainConfig:
    """The recipe with the changes of the command line."""
    from suraksha.runs.config import load_recipe

    config = load_recipe(options.recipe)
    data = config.data
    if options.input_size is not None:
        data = replace(data, size=options.input_size)
    protocol = options.protocol or data.protocol
    split = options.split
    if split is None:
        split = data.split if protocol == data.protocol else FIRST_SPLIT[protocol]
    data = replace(data, protocol=protocol, split=split)
    optim = config.optim
    if options.epochs is not None:  # the fraction of epochs on small images stays the same
        small = round(optim.small_epochs * options.epochs / optim.epochs)
        warmup = min(optim.warmup_epochs, options.epochs / 2)
        optim = replace(optim, epochs=options.epochs, small_epochs=small, warmup_epochs=warmup)
    if optim.small_size >= data.size:
        optim = replace(optim, small_epochs=0, small_size=0)
    seed = config.seed if options.seed is None else options.seed
    return replace(config, data=data, optim=optim, seed=seed)
