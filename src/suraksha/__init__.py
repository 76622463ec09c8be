"""Suraksha: breast lesions in ultrasound images, found and measured. Research use only.

    import suraksha as su
    segment = su.load_segmenter()
    result = segment(su.read_image("case.png", spacing=0.08))
    result.lesions[0].long_axis_mm

Public names are loaded on first use, so that the import itself costs next to nothing. ``train``,
``evaluate``, ``export`` and the networks need the extra ``[train]``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from suraksha.errors import MissingExtraError, SurakshaError

if TYPE_CHECKING:
    from suraksha.datasets.phantom import make_phantom
    from suraksha.dicom.objects.results import write_seg, write_sr
    from suraksha.evaluation.evaluate import evaluate
    from suraksha.evaluation.export import export
    from suraksha.experiments.execution import bench
    from suraksha.inference.segmenter import Segmenter, load_segmenter
    from suraksha.io.images import read_image
    from suraksha.measurement.measure import measure
    from suraksha.networks.zoo import create_model, list_models
    from suraksha.runs.config import TrainConfig, load_recipe
    from suraksha.runs.folder import open_run
    from suraksha.training.fit import train
    from suraksha.types import Image, Lesion, Result, Spacing

__version__ = "0.1.0"
_RUN_SIDE = {
    "Image": "suraksha.types",
    "Lesion": "suraksha.types",
    "Result": "suraksha.types",
    "Segmenter": "suraksha.inference.segmenter",
    "Spacing": "suraksha.types",
    "load_segmenter": "suraksha.inference.segmenter",
    "make_phantom": "suraksha.datasets.phantom",
    "measure": "suraksha.measurement.measure",
    "read_image": "suraksha.io.images",
    "write_seg": "suraksha.dicom.objects.results",
    "write_sr": "suraksha.dicom.objects.results",
}
_BUILD_SIDE = {
    "TrainConfig": "suraksha.runs.config",
    "bench": "suraksha.experiments.execution",
    "create_model": "suraksha.networks.zoo",
    "evaluate": "suraksha.evaluation.evaluate",
    "export": "suraksha.evaluation.export",
    "list_models": "suraksha.networks.zoo",
    "load_recipe": "suraksha.runs.config",
    "open_run": "suraksha.runs.folder",
    "train": "suraksha.training.fit",
}
__all__ = [
    "Image",
    "Lesion",
    "Result",
    "Segmenter",
    "Spacing",
    "SurakshaError",
    "TrainConfig",
    "bench",
    "create_model",
    "evaluate",
    "export",
    "list_models",
    "load_recipe",
    "load_segmenter",
    "make_phantom",
    "measure",
    "open_run",
    "read_image",
    "train",
    "write_seg",
    "write_sr",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    module = _RUN_SIDE.get(name) or _BUILD_SIDE.get(name)
    if module is None:
        raise AttributeError(f"module 'suraksha' has no attribute '{name}'")
    try:
        value = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if name in _RUN_SIDE or (error.name or "suraksha").partition(".")[0] == "suraksha":
            raise
        raise MissingExtraError(f"suraksha.{name}", "train", str(error.name)) from error
    room = globals().get(name)
    if isinstance(room, ModuleType):
        return room  # `bench`, `measure` and `train` are rooms that can be called
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
