"""The presence rule of a run, fitted on its validation pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from suraksha.data.cache import Cache
from suraksha.imaging.prepare import Preparation, normalise
from suraksha.train.curves import draw_trade
from suraksha.train.presence import fit_presence
from suraksha.train.presence_file import FILE, save_presence
from suraksha.train.run import Run

BATCH = 16


def write_presence(run: Run, cache: Cache) -> None:
    """Fit a run's rule on its validation part; write ``presence.json`` and ``presence.png``.

    Nothing is written where the split has no validation part: the test part chooses nothing.

    Args:
        run: A run that is trained to its last epoch.
        cache: The pictures that it trained from.

    Raises:
        TrainError: The run is not finished.
        DataError: The cache does not hold the pictures.
    """
    names = run.split.validation
    if not names:
        return
    preparation = run.config.data.preparation
    rows = cache.select(names)
    maps = probabilities(run.network(), cache, names=names, preparation=preparation)
    found = fit_presence(zip(maps, cache.masks()[rows], strict=True))
    draw_trade(found, run.folder / "presence.png", title=run.config.run_name)
    fitted_on = {
        "dataset": cache.dataset,
        "part": f"validation part of {run.split.protocol} {run.split.parameter}",
        "grid": f"{preparation.height}x{preparation.width}",
    }
    save_presence(found, run.folder / FILE, fitted_on=fitted_on)


@torch.inference_mode()
def _batch(network: nn.Module, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    device = next(network.parameters()).device
    answer = network(torch.from_numpy(pictures).to(device)).sigmoid()[:, 0]
    found: NDArray[np.float32] = answer.float().cpu().numpy()
    return found


def probabilities(
    network: nn.Module, cache: Cache, *, names: Sequence[str], preparation: Preparation
) -> Iterator[NDArray[np.float32]]:
    """The lesion probability of pictures on a cache's grid, each (h, w) float32 in 0..1.

    Args:
        network: In eval mode.
        cache: The pictures.
        names: Which of them, in this order.
        preparation: How they are normalised.

    Raises:
        DataError: The cache does not hold a name.
    """
    rows = cache.select(names)
    for start in range(0, len(rows), BATCH):
        pictures = np.asarray(cache.images[rows[start : start + BATCH]])
        yield from _batch(network, normalise(pictures, preparation))
