"""Results of pictures as text: JSON lines, CSV and an HTML page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from html import escape
from io import BytesIO
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL.PngImagePlugin import PngInfo

from suraksha.core import Lesion
from suraksha.runtime.card import DECISION_SUPPORT

DIGITS = 4
MADE_BY = "Suraksha, research use only"
NOT_IN_RECORD = ("contour",)
CSV_LESION = tuple(
    f.name
    for f in fields(Lesion)
    if f.name not in (*NOT_IN_RECORD, "bbox", "centroid", "long_axis_ends", "short_axis_ends")
)
CSV_COLUMNS = ("image", "rows", "columns", *CSV_LESION, "bundle", "total_ms", "error", "made_by")
# key of a record that holds class probabilities, there only where they were asked for
SUPPORT = "decision_support"


def png_bytes(pixels: NDArray[np.uint8], *, comment: str = "") -> bytes:
    """A picture as PNG that says what made it."""
    file, info = BytesIO(), PngInfo()
    info.add_text("Software", MADE_BY)
    if comment:
        info.add_text("Comment", comment)
    PilImage.fromarray(pixels).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def json_line(record: Mapping[str, Any]) -> str:
    """A record on one line."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def lesion_record(lesion: Lesion) -> dict[str, Any]:
    """A lesion as JSON takes it, without its contour, lengths to 0.0001."""
    return {
        f.name: _rounded(getattr(lesion, f.name))
        for f in fields(Lesion)
        if f.name not in NOT_IN_RECORD
    }


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any field of a lesion
    if isinstance(value, tuple):
        return [_rounded(part) for part in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def size_text(lesion: Mapping[str, Any]) -> str:
    """``12.3 x 8.1 mm``, or ``134 x 90 px`` where the spacing is unknown."""
    if lesion["long_axis_mm"] is None:
        return f"{lesion['long_axis_px']:.0f} x {lesion['short_axis_px']:.0f} px"
    return f"{lesion['long_axis_mm']:.1f} x {lesion['short_axis_mm']:.1f} mm"


def picture_line(record: Mapping[str, Any]) -> str:
    """One line on one picture, for people."""
    if "error" in record:
        return f"{record['image']}: FAILED"
    lesions = [f"{size_text(x)} (confidence {x['confidence']:.2f})" for x in record["lesions"]]
    told = f" | {DECISION_SUPPORT}: {classes_text(record)}" if SUPPORT in record else ""
    return f"{record['image']}: {'; '.join(lesions) or 'no lesion found'}{told}"


def support_record(classes: Mapping[str, float]) -> dict[str, Any]:
    """Class probabilities as JSON takes them, to 0.0001, and what they are for."""
    shares = {name: round(share, DIGITS) for name, share in classes.items()}
    return {SUPPORT: {"use": DECISION_SUPPORT, "classes": shares}}


def classes_text(record: Mapping[str, Any]) -> str:
    """``benign 0.62, malignant 0.33, normal 0.05``."""
    classes = record[SUPPORT]["classes"]
    return ", ".join(f"{name} {share:.2f}" for name, share in classes.items())


def _support_columns(record: Mapping[str, Any]) -> dict[str, float]:
    classes = record.get(SUPPORT, {}).get("classes", {})
    return {f"{DECISION_SUPPORT}: {name}": share for name, share in classes.items()}


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """A row a lesion; a picture without one, or that failed, has a row of its own."""
    text = io.StringIO()
    told = dict.fromkeys(name for record in records for name in _support_columns(record))
    columns = (*CSV_COLUMNS, *told)
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for record in records:
        picture = {key: record.get(key) for key in ("image", "bundle", "error")}
        picture["made_by"] = MADE_BY
        if "shape" in record:
            picture |= dict(zip(("rows", "columns"), record["shape"], strict=True))
            picture["total_ms"] = record["latency_ms"]["total"]
            picture |= _support_columns(record)
        for lesion in record.get("lesions") or [{}]:
            writer.writerow({**picture, **lesion})
    return text.getvalue()


NOTICE = "Research use only."
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Suraksha results</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.4 sans-serif; margin: 1rem; background: #111; color: #eee; }}
.warn {{ background: #fc3; color: #000; padding: .5rem; font-weight: bold; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 1rem; }}
figure {{ margin: 0; background: #222; padding: .5rem; }}
img {{ max-width: 100%; height: auto; }}
td, th {{ padding: 0 .5rem 0 0; text-align: left; }}
td {{ white-space: nowrap; }}
th {{ font-size: .8rem; }}
figcaption {{ overflow-wrap: anywhere; }}
.failed {{ color: #f99; }}
</style></head><body>
<h1>Suraksha results</h1>
<p class="warn">{notice} {intended_use}</p>
<p>{count} pictures. Files: results.jsonl, results.csv, and a mask and an overlay for each.</p>
<main>
{figures}
</main></body></html>
"""


def html_page(records: Sequence[Mapping[str, Any]], intended_use: str) -> str:
    """A page with the overlays and the lesions; it loads nothing from elsewhere."""
    return PAGE.format(
        intended_use=escape(intended_use.removeprefix(NOTICE).lstrip()),
        notice=NOTICE,
        count=len(records),
        figures="\n".join(_figure(record) for record in records),
    )


def _figure(record: Mapping[str, Any]) -> str:
    name = escape(record["image"])
    if "error" in record:
        return f'<figure><p class="failed">{name}: {escape(record["error"])}</p></figure>'
    lesions = "".join(
        f"<tr><td>{x['label']}</td><td>{size_text(x)}</td><td>{x['confidence']:.2f}</td>"
        f"<td>{'yes' if x['taller_than_wide'] else 'no'}</td></tr>"
        for x in record["lesions"]
    )
    table = (
        "<table><tr><th>lesion</th><th>size</th><th>confidence</th><th>taller than wide</th></tr>"
        f"{lesions}</table>"
        if lesions
        else "<p>no lesion found</p>"
    )
    if SUPPORT in record:
        table += f"<p><b>{DECISION_SUPPORT}</b>: {escape(classes_text(record))}</p>"
    source = quote(record["overlay"])
    return (
        f'<figure><img loading="lazy" src="{source}" alt="overlay of {name}">'
        f"<figcaption>{name}{table}<small>bundle {escape(record['bundle'])}, network "
        f"{escape(record['model_sha256'][:12])}</small></figcaption></figure>"
    )
