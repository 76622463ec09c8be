"""A result as files that other programs read: GeoJSON contours and an NRRD mask."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np

from suraksha.reporting.records import MADE_BY, lesion_record
from suraksha.types import Result


def geojson_bytes(result: Result) -> bytes:
    """The contours as a GeoJSON FeatureCollection (RFC 7946), as QuPath and GIS programs read it.

    A polygon's coordinates are (column, row) in pixels, counted from the upper left corner of the
    image; its properties are the lesion's figures.
    """
    features: list[dict[str, Any]] = []
    for lesion in result.lesions:
        ring = [[float(col), float(row)] for row, col in lesion.contour]
        properties = {"classification": {"name": "Lesion"}, **lesion_record(lesion)}
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    told = {
        "type": "FeatureCollection",
        "made_by": MADE_BY,
        "bundle": result.card.name,
        "model_sha256": result.card.model_sha256,
        "features": features,
    }
    return (json.dumps(told, allow_nan=False) + "\n").encode()


def nrrd_bytes(result: Result) -> bytes:
    """The mask as an NRRD file of one slice, as 3D Slicer and planning tools read it.

    Values are 0 and 1, uint8. Where the size of a pixel is known it stands in the header in mm;
    else in pixels. There is no place in the patient: the image's corner is the origin.
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
