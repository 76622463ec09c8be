"""The files that ``segment`` writes for one image: one table of kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from suraksha.cli.results_folder import ENDINGS, ResultsFolder
from suraksha.errors import InputError
from suraksha.files import write_bytes
from suraksha.inference.engines import Maps
from suraksha.reporting.attention import heat_panels
from suraksha.reporting.formats import geojson_bytes, nrrd_bytes
from suraksha.reporting.overlay import overlay
from suraksha.reporting.records import png_bytes
from suraksha.types import Result

# kinds that describe lesions and are left out where there is none
OF_LESIONS = ("seg", "rtstruct")


def write_outputs(
    result: Result, folder: ResultsFolder, *, name: str, kinds: Sequence[str], maps: Maps
) -> dict[str, Any]:
    """Write the files of an image, and remove those of an earlier result.

    Args:
        result: The result.
        folder: Where to write.
        name: The name that the folder gave to the image.
        kinds: What to write besides the mask, the overlay and, with ``maps``, the attention maps.
        maps: Attention maps; empty if they were not asked for.

    Returns:
        The names of the files by kind. Under ``not_written``, if there are any, the kinds that
        this result cannot be written as, and why.

    Raises:
        OSError: A file that cannot be written.
    """
    written: dict[str, Any] = {}
    refused: dict[str, str] = {}
    wanted = ("mask", "overlay", *(("attention",) if maps else ()), *kinds)
    folder.remove(name)
    for kind in wanted:
        if kind in OF_LESIONS and not result.lesions:
            continue  # the report states that there is none
        file = f"{name}{ENDINGS[kind]}"
        try:
            write_bytes(folder.path / file, _MAKERS[kind](result, maps))
        except InputError as error:
            refused[kind] = str(error)
        else:
            written[kind] = file
    return {**written, **({"not_written": refused} if refused else {})}


def _mask(result: Result, maps: Maps) -> bytes:
    return png_bytes(result.mask.astype(np.uint8) * 255)


def _overlay(result: Result, maps: Maps) -> bytes:
    return png_bytes(overlay(result.image, result.mask, lesions=result.lesions))


def _attention(result: Result, maps: Maps) -> bytes:
    return png_bytes(heat_panels(result.image, maps))


def _dicom(kind: str) -> Callable[[Result, Maps], bytes]:
    def make(result: Result, maps: Maps) -> bytes:
        from suraksha.dicom.objects.results import object_bytes

        return object_bytes(result, kind.upper())

    return make


_MAKERS: Mapping[str, Callable[[Result, Any], bytes]] = {
    "mask": _mask,
    "overlay": _overlay,
    "attention": _attention,
    "geojson": lambda result, maps: geojson_bytes(result),
    "nrrd": lambda result, maps: nrrd_bytes(result),
    **{kind: _dicom(kind) for kind in ("seg", "sr", "sc", "rtstruct")},
}
