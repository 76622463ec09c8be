"""A run's presence rule as its file ``presence.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from suraksha.errors import UsageError
from suraksha.files import write_text
from suraksha.imaging.prepare import THRESHOLD
from suraksha.measure.presence import PresenceRule
from suraksha.train.presence import PresenceFit

FILE = "presence.json"


@dataclass(frozen=True, slots=True)
class RunPresence:
    """How a run turns probabilities into a mask. The default is no rule.

    Args:
        threshold: Probability from which a pixel is lesion.
        rule: What a region of such pixels needs to stay.
        fit: On what the rule was fitted, the chosen point and the trade curve; empty without one.
    """

    threshold: float = THRESHOLD
    rule: PresenceRule = field(default_factory=PresenceRule)
    fit: Mapping[str, Any] = field(default_factory=dict)


def save_presence(found: PresenceFit, path: Path, *, fitted_on: Mapping[str, Any]) -> None:
    """Write a fitted rule, whole or not at all.

    Args:
        found: What was fitted.
        path: The file to write.
        fitted_on: The pictures in words: data set, protocol, part, size.

    Raises:
        OSError: A place that cannot be written.
    """
    record = {
        "threshold": found.threshold,
        **asdict(found.rule),
        "fit": {**fitted_on, **found.to_dict()},
    }
    write_text(path, json.dumps(record, indent=2, allow_nan=False) + "\n")


def read_presence(path: Path) -> RunPresence:
    """Read what `save_presence` wrote; the default where there is no such file.

    Raises:
        ValueError: No JSON, a key missing or unknown, or a value that does not fit.
    """
    if not path.is_file():
        return RunPresence()
    try:
        table = json.loads(path.read_bytes())
        threshold, fit = float(table.pop("threshold")), dict(table.pop("fit"))
        return RunPresence(threshold, PresenceRule(**table), fit)
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise ValueError(f"{path.name} holds no presence rule: {error}") from error
