"""What a run fitted on its validation images, as files: post-processing and class temperature."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from suraksha.errors import UsageError
from suraksha.files import write_text
from suraksha.inference.postprocessing import PostProcessing
from suraksha.preprocessing import THRESHOLD

POSTPROCESSING_FILE = "postprocessing.json"
CLASSES_FILE = "classes.json"


@dataclass(frozen=True, slots=True)
class RunPostProcessing:
    """How a run turns probabilities into a mask. The default is no rule.

    Args:
        threshold: Probability from which a pixel is lesion.
        rule: What a region of such pixels needs to stay.
        fit: On what the rule was fitted, the chosen point and the trade curve; empty without one.
    """

    threshold: float = THRESHOLD
    rule: PostProcessing = field(default_factory=PostProcessing)
    fit: Mapping[str, Any] = field(default_factory=dict)


def save_postprocessing(postprocessing: RunPostProcessing, path: Path) -> None:
    """Write a run's post-processing, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    record = {
        "threshold": postprocessing.threshold,
        **asdict(postprocessing.rule),
        "fit": dict(postprocessing.fit),
    }
    write_text(path, json.dumps(record, indent=2, allow_nan=False) + "\n")


def read_postprocessing(path: Path) -> RunPostProcessing:
    """Read what `save_postprocessing` wrote; the default where there is no such file.

    Raises:
        ValueError: No JSON, a key missing or unknown, or a value that does not fit.
    """
    if not path.is_file():
        return RunPostProcessing()
    try:
        table = json.loads(path.read_bytes())
        threshold, fit = float(table.pop("threshold")), dict(table.pop("fit"))
        return RunPostProcessing(threshold, PostProcessing(**table), fit)
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise ValueError(f"{path.name} holds no presence rule: {error}") from error


@dataclass(frozen=True, slots=True)
class RunClasses:
    """What the second output of a run's network tells.

    Args:
        names: The classes, in the order of the output.
        temperature: What divides its logits.
        normal: Those of the names whose images show no lesion.
        fit: On what the temperature was fitted: ``dataset``, ``part``, ``images``, and the mean
            negative log likelihood there, ``nll_before`` and ``nll_after``.

    Raises:
        ValueError: No names, a normal one that is none of them, or a temperature that is not
            above 0.
    """

    names: tuple[str, ...]
    temperature: float = 1.0
    normal: tuple[str, ...] = ()
    fit: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        odd = not self.names or not set(self.normal) <= set(self.names)
        if odd or not 0 < self.temperature < math.inf:
            raise ValueError(f"{self} tells no classes")


def save_classes(classes: RunClasses, path: Path) -> None:
    """Write a run's classes, whole or not at all.

    Raises:
        OSError: A place that cannot be written.
    """
    write_text(path, json.dumps(asdict(classes), indent=2, allow_nan=False) + "\n")


def read_classes(path: Path) -> RunClasses | None:
    """Read what `save_classes` wrote; None where there is no such file.

    Raises:
        ValueError: No JSON, a key missing or unknown, or a value that does not fit.
    """
    if not path.is_file():
        return None
    try:
        table = json.loads(path.read_bytes())
        names, temperature = tuple(map(str, table.pop("names"))), float(table.pop("temperature"))
        normal = tuple(map(str, table.pop("normal")))
        return RunClasses(names, temperature, normal, **table)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} holds no classes: {error}") from error
