"""What ``segment`` writes for one image: one table of kinds."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suraksha.cli.output_folder import ALSO, KINDS, remove_outputs
from suraksha.errors import InputError, UnknownNameError
from suraksha.files import write_bytes
from suraksha.inference.engines import Maps
from suraksha.reporting.attention import heat_panels
from suraksha.reporting.formats import geojson_bytes, nrrd_bytes
from suraksha.reporting.overlay import overlay
from suraksha.reporting.records import png_bytes
from suraksha.types import Result

# kinds that tell of lesions alone
OF_LESIONS = ("seg", "rtstruct")


def also(text: str) -> tuple[str, ...]:
    """What ``--also`` gives: kinds, with commas between them."""
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for kind in kinds:
        if kind not in ALSO:
            raise argparse.ArgumentTypeError(str(UnknownNameError("kind of file", kind, ALSO)))
    return kinds


def write_outputs(result: Result, out: Path, *, kinds: Sequence[str], maps: Maps) -> dict[str, Any]:
    """Write the files of an image.

    Args:
        result: The answer.
        out: Folder and name of the image, without an ending.
        kinds: What to write besides mask, overlay and, with ``maps``, attention.
        maps: Where the network looked; empty if that was not asked for.

    Returns:
        The files' names by kind; under ``not_written``, where there are any, the kinds that the
        result cannot be told in, and why.

    Raises:
        OSError: A place that cannot be written.
    """
    written: dict[str, Any] = {}
    refused: dict[str, str] = {}
    wanted = ("mask", "overlay", *(("attention",) if maps else ()), *kinds)
    for kind in wanted:
        remove_outputs(out.parent, out.name, kinds=(kind,))
        if kind in OF_LESIONS and not result.lesions:
            continue  # the report says that there is none
        path = out.with_name(f"{out.name}_{kind}{KINDS[kind]}")
        try:
            write_bytes(path, _MAKERS[kind](result, maps))
        except InputError as error:
            refused[kind] = str(error)
        else:
            written[kind] = path.name
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
