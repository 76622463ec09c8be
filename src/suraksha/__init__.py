"""Suraksha: breast lesions in ultrasound pictures, found and measured. Research use only.

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
    from suraksha.bench.run import bench
    from suraksha.core import Image, Lesion, Result, Spacing
    from suraksha.dicom.objects import write_seg, write_sr
    from suraksha.imaging.phantom import make_phantom
    from suraksha.imaging.read import read_image
    from suraksha.measure import measure
    from suraksha.models.zoo import create_model, list_models
    from suraksha.runtime.segmenter import Segmenter, load_segmenter
    from suraksha.train.config import TrainConfig, load_recipe
    from suraksha.train.evaluate import evaluate
    from suraksha.train.export import export
    from suraksha.train.fit import train
    from suraksha.train.run import open_run

__version__ = "0.1.0"
_RUN_SIDE = {
    "Image": "suraksha.core",
    "Lesion": "suraksha.core",
    "Result": "suraksha.core",
    "Segmenter": "suraksha.runtime.segmenter",
    "Spacing": "suraksha.core",
    "load_segmenter": "suraksha.runtime.segmenter",
    "make_phantom": "suraksha.imaging.phantom",
    "measure": "suraksha.measure",
    "read_image": "suraksha.imaging.read",
    "write_seg": "suraksha.dicom.objects",
    "write_sr": "suraksha.dicom.objects",
}
_BUILD_SIDE = {
    "TrainConfig": "suraksha.train.config",
    "bench": "suraksha.bench.run",
    "create_model": "suraksha.models.zoo",
    "evaluate": "suraksha.train.evaluate",
    "export": "suraksha.train.export",
    "list_models": "suraksha.models.zoo",
    "load_recipe": "suraksha.train.config",
    "open_run": "suraksha.train.run",
    "train": "suraksha.train.fit",
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
