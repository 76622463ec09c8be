"""Export of a result as a file: PNG, mask, CSV, JSON, DICOM SEG and SR, correction."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

import suraksha
from suraksha.errors import MissingExtraError
from suraksha.reporting.records import MADE_BY, csv_text, png_bytes
from suraksha.types import Image, Result
from suraksha.web.responses import CORRECTED, encode_png, frame_record, render_overlay

CORRECTION_FORMAT = "suraksha-correction/1"


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """The result to export.

    Args:
        result: The result, or its correction.
        name: The server's name for the image.
        frame: Index of the frame in the file, from 0.
        corrected: Whether a person drew the mask.
    """

    result: Result
    name: str
    frame: int
    corrected: bool

    def record(self) -> dict[str, Any]:
        """The record of the frame, with the hash that identifies its image."""
        record = frame_record(
            self.result, name=self.name, frame=self.frame, corrected=self.corrected
        )
        header = {
            "made_by": MADE_BY,
            "version": suraksha.__version__,
            "image_sha256": image_hash(self.result.image),
        }
        return {**header, **record}


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A file format.

    Args:
        suffix: End of the file name.
        media_type: MIME type.
        encode: Returns the content of the file.
    """

    suffix: str
    media_type: str
    encode: Callable[[FrameResult], bytes]


def _to_json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _png(frame: FrameResult) -> bytes:
    comment = CORRECTED if frame.corrected else ""
    return png_bytes(render_overlay(frame.result), comment=comment)


def _mask(frame: FrameResult) -> bytes:
    return png_bytes(_mask_pixels(frame))


def _mask_pixels(frame: FrameResult) -> NDArray[np.uint8]:
    return frame.result.mask.astype(np.uint8) * 255


def _csv(frame: FrameResult) -> bytes:
    """The CSV of ``suraksha segment``, with the index of the frame and the hash of the image."""
    record = frame.record()
    source = csv.DictReader(io.StringIO(csv_text([record])))
    image, *columns = source.fieldnames or ()
    added = {key: record[key] for key in ("frame_index", "image_sha256")}
    text = io.StringIO()
    writer = csv.DictWriter(text, (image, *added, *columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **added} for row in source)
    return text.getvalue().encode()


def _json(frame: FrameResult) -> bytes:
    return _to_json(frame.record())


def _seg(frame: FrameResult) -> bytes:
    return _dicom(frame, "SEG")


def _sr(frame: FrameResult) -> bytes:
    return _dicom(frame, "SR")


def _dicom(frame: FrameResult, kind: str) -> bytes:
    """A DICOM object; the writer is imported on first use.

    Raises:
        MissingExtraError: The extra ``[dicom]`` is not installed.
        InputError: The image is not from a DICOM file, or there is nothing to write.
    """
    try:
        from suraksha.dicom.objects.results import object_bytes
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing DICOM objects", "dicom", str(error.name)) from error
    return object_bytes(frame.result, kind, corrected=frame.corrected)


def _correction(frame: FrameResult) -> bytes:
    """The annotation of a person, with the hash of the image and the bundle; without the image.

    The polygons are outer contours; the mask as PNG also has the holes.
    """
    record = frame.record()
    return _to_json(
        {
            "format": CORRECTION_FORMAT,
            "notice": "Research use only.",
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "corrected": frame.corrected,
            "polygons": record.pop("contours"),
            "mask_png": encode_png(_mask_pixels(frame)),
            **record,
        }
    )


def image_hash(image: Image) -> str:
    """SHA-256 of the size, type and pixels of an image."""
    pixels = np.ascontiguousarray(image.pixels)
    head = f"{pixels.shape} {pixels.dtype.str}\n".encode()
    return sha256(head + pixels.tobytes()).hexdigest()


JSON, DICOM = "application/json", "application/dicom"
EXPORT_FORMATS = {
    "png": ExportFormat("overlay.png", "image/png", _png),
    "mask": ExportFormat("mask.png", "image/png", _mask),
    "csv": ExportFormat("lesions.csv", "text/csv; charset=utf-8", _csv),
    "json": ExportFormat("result.json", JSON, _json),
    "seg": ExportFormat("seg.dcm", DICOM, _seg),
    "sr": ExportFormat("sr.dcm", DICOM, _sr),
    "correction": ExportFormat("correction.json", JSON, _correction),
}
