"""What a run fits on its validation images, as a record and a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from suraksha.errors import TrainError
from suraksha.files import write_text
from suraksha.inference.postprocessing import PostProcessingSettings
from suraksha.runs.records import read_json

FITS_FILE = "fits.json"


@dataclass(frozen=True, slots=True)
class RunFits:
    """The post-processing of a run. The default changes nothing.

    Args:
        settings: Temperatures, threshold, rule, confidence calibration and class names, as
            `suraksha.inference.postprocessing.postprocess` takes them.
        facts: About the fits: ``dataset``, ``part``, ``grid`` and ``images`` that they were made
            on, ``postprocessing`` (the rule and its alternatives), ``classes`` (the class
            temperature) and ``score`` (mean Dice there, that of the mean mask beside it).

    Raises:
        TrainError: A number outside its range, or a normal class that is not one of the classes.
    """

    settings: PostProcessingSettings = field(default_factory=PostProcessingSettings)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        known = set(settings.normal_classes) <= set(settings.classes)
        if not known or not 0 < settings.threshold < 1 or not 0 < settings.class_temperature < inf:
            raise TrainError(
                "the fitted post-processing is not valid",
                "threshold must be above 0 and below 1, class_temperature above 0, and "
                "normal_classes among the classes",
                "Train the run again",
            )


def save_fits(fits: RunFits, folder: Path) -> None:
    """Write ``fits.json``, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    write_text(folder / FITS_FILE, json.dumps(asdict(fits), indent=2, allow_nan=False) + "\n")


def read_fits(folder: Path) -> RunFits:
    """Read what `save_fits` wrote; the default where there is no such file.

    Raises:
        TrainError: Not valid JSON, a key missing or unknown, or a value that is not valid.
    """
    path = folder / FITS_FILE
    return read_json(path, RunFits) if path.is_file() else RunFits()
