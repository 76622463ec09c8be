"""Suraksha segments and measures breast lesions in ultrasound images. Research use only.

    import suraksha as su
    segment = su.load_segmenter()
    result = segment("case.png")          # a path, a numpy array, a PIL image, a pydicom Dataset
    result.lesions[0].long_axis_mm        # None if the scale of the image is unknown

Public names are imported on first use, so that ``import suraksha`` is fast and loads neither numpy
nor torch. Training, evaluation, export and the networks need the extra ``[train]``.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from suraksha.errors import (
    BundleError,
    BusyError,
    ComputeError,
    DataError,
    InputError,
    MissingExtraError,
    ModelError,
    SurakshaError,
    TrainError,
    UnknownNameError,
    UnreadableError,
    UnsuitableError,
    UsageError,
)

if TYPE_CHECKING:
    from suraksha.datasets.catalogue import list_datasets
    from suraksha.datasets.phantom import make_phantom
    from suraksha.dicom.objects.results import write_seg, write_sr
    from suraksha.evaluation.evaluate import evaluate
    from suraksha.evaluation.export import export
    from suraksha.experiments.execution import run_plan
    from suraksha.inference.bundle import list_bundles
    from suraksha.inference.segmenter import Segmenter, load_segmenter
    from suraksha.io.images import read_image
    from suraksha.io.inputs import as_image
    from suraksha.measurement.measure import measure
    from suraksha.networks.zoo import create_model, list_models
    from suraksha.runs.config import TrainConfig, list_recipes, load_recipe
    from suraksha.runs.folder import open_run
    from suraksha.training.fit import train
    from suraksha.types import Image, Lesion, Result, Spacing

__version__ = "0.2.0"

# name -> module that defines it
_LAZY = {
    "Image": "suraksha.types",
    "Lesion": "suraksha.types",
    "Result": "suraksha.types",
    "Segmenter": "suraksha.inference.segmenter",
    "Spacing": "suraksha.types",
    "TrainConfig": "suraksha.runs.config",
    "as_image": "suraksha.io.inputs",
    "create_model": "suraksha.networks.zoo",
    "evaluate": "suraksha.evaluation.evaluate",
    "export": "suraksha.evaluation.export",
    "list_bundles": "suraksha.inference.bundle",
    "list_datasets": "suraksha.datasets.catalogue",
    "list_models": "suraksha.networks.zoo",
    "list_recipes": "suraksha.runs.config",
    "load_recipe": "suraksha.runs.config",
    "load_segmenter": "suraksha.inference.segmenter",
    "make_phantom": "suraksha.datasets.phantom",
    "measure": "suraksha.measurement.measure",
    "open_run": "suraksha.runs.folder",
    "read_image": "suraksha.io.images",
    "run_plan": "suraksha.experiments.execution",
    "train": "suraksha.training.fit",
    "write_seg": "suraksha.dicom.objects.results",
    "write_sr": "suraksha.dicom.objects.results",
}
# Names that need an extra, for the message if it is missing.
_EXTRA = {
    **dict.fromkeys(
        ("create_model", "evaluate", "export", "open_run", "run_plan", "train"), "train"
    ),
    **dict.fromkeys(("write_seg", "write_sr"), "dicom"),
}
__all__ = [
    "BundleError",
    "BusyError",
    "ComputeError",
    "DataError",
    "Image",
    "InputError",
    "Lesion",
    "MissingExtraError",
    "ModelError",
    "Result",
    "Segmenter",
    "Spacing",
    "SurakshaError",
    "TrainConfig",
    "TrainError",
    "UnknownNameError",
    "UnreadableError",
    "UnsuitableError",
    "UsageError",
    "as_image",
    "create_model",
    "evaluate",
    "export",
    "list_bundles",
    "list_datasets",
    "list_models",
    "list_recipes",
    "load_recipe",
    "load_segmenter",
    "make_phantom",
    "measure",
    "open_run",
    "read_image",
    "run_plan",
    "train",
    "write_seg",
    "write_sr",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'suraksha' has no attribute '{name}'")
    try:
        value: object = getattr(_import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "suraksha").partition(".")[0]
        if name not in _EXTRA or missing == "suraksha":
            raise
        raise MissingExtraError(f"suraksha.{name}", _EXTRA[name], missing) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
