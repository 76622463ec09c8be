"""Results in file formats of other programs: contours as GeoJSON, the mask as NRRD."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np

from suraksha.reporting.records import MADE_BY, lesion_record
from suraksha.types import Result


def geojson_bytes(result: Result) -> bytes:
    """The contours as a GeoJSON FeatureCollection (RFC 7946), for QuPath and GIS programs.

    Coordinates are (column, row) in pixels from the upper left corner of the image; the properties
    of a polygon are the measurements of its lesion.
    """
    features: list[dict[str, Any]] = []
    for lesion in result.lesions:
        ring = [[float(col), float(row)] for row, col in lesion.contour]
        properties = {"classification": {"name": "Lesion"}, **lesion_record(lesion)}
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    collection = {
        "type": "FeatureCollection",
        "made_by": MADE_BY,
        "bundle": result.card.name,
        "model_sha256": result.card.model_sha256,
        "features": features,
    }
    return (json.dumps(collection, allow_nan=False) + "\n").encode()


def nrrd_bytes(result: Result) -> bytes:
    """The mask as an NRRD file of one slice, for 3D Slicer and planning tools.

    Values are 0 and 1, uint8. The header has the pixel size in mm if it is known, else in pixels.
    The position in the patient is unknown: the image's corner is the origin.
    """
    rows, cols = result.mask.shape
    spacing = result.image.spacing
    row_mm, col_mm = (1.0, 1.0) if spacing is None else (spacing.row_mm, spacing.col_mm)
    unit = "pixel" if spacing is None else "mm"
    head = "\n".join(
        (
            "NRRD0004",
            f"# {MADE_BY}, {result.card.name}",
            "type: uint8",
            "dimension: 3",
            "space dimension: 3",
            f"sizes: {cols} {rows} 1",
            f"space directions: ({col_mm:.9g},0,0) (0,{row_mm:.9g},0) (0,0,1)",
            "kinds: domain domain domain",
            f'space units: "{unit}" "{unit}" "{unit}"',
            "space origin: (0,0,0)",
            "encoding: gzip",
        )
    )
    body = gzip.compress(np.ascontiguousarray(result.mask, np.uint8).tobytes(), mtime=0)
    return head.encode() + b"\n\n" + body
