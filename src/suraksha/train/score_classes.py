"""How well a run or a bundle tells the classes of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from suraksha.core import Image
from suraksha.data.samples import Sample
from suraksha.imaging.prepare import Preparation, prepare
from suraksha.metrics.classes import ClassScores, score_classes
from suraksha.train.classes_file import RunClasses
from suraksha.train.outputs import outputs_of
from suraksha.train.run import Run

Tell = Callable[[Image], Mapping[str, float] | None]


def class_teller(network: nn.Module, preparation: Preparation, *, classes: RunClasses) -> Tell:
    """Picture -> calibrated probability of each class, with a torch network in eval mode.

    Args:
        network: A network with a second output.
        preparation: How a picture becomes its input.
        classes: The classes of that output and their temperature.
    """
    device = next(network.parameters()).device

    @torch.inference_mode()
    def tell(image: Image) -> Mapping[str, float]:
        batch = torch.from_numpy(prepare(image, preparation)).to(device)
        logits = outputs_of(network, batch)[1][0].double().cpu().numpy()
        told = softmax(logits / classes.temperature)
        return dict(zip(classes.names, told.tolist(), strict=True))

    return tell


def tell_run(run: Run, network: nn.Module, *, samples: Sequence[Sample]) -> ClassScores | None:
    """Score what a run's network tells of pictures; None where it tells no classes.

    Args:
        run: A finished run.
        network: Its network.
        samples: The pictures with their truth.
    """
    if run.classes is None:
        return None
    tell = class_teller(network, run.config.data.preparation, classes=run.classes)
    return tell_samples(tell, samples, names=run.classes.names)


def tell_samples(
    tell: Tell, samples: Sequence[Sample], *, names: Sequence[str]
) -> ClassScores | None:
    """Score what is told of pictures; those of other classes are passed over.

    Args:
        tell: Picture -> probability by class.
        samples: The pictures with their truth.
        names: The classes that are told.

    Returns:
        The scores, or None where no picture is of these classes.
    """
    known = [sample for sample in samples if sample.item.label in names]
    told = [tell(sample.image) for sample in known]
    rows = [[one[name] for name in names] for one in told if one is not None]
    if not rows:
        return None
    return score_classes(
        np.array(rows),
        [sample.item.label for sample in known],
        names=names,
        groups=[sample.item.group for sample in known],
    )
