"""Results of images as text: JSON lines, CSV and an HTML page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from suraksha.inference.card import DECISION_SUPPORT
from suraksha.reporting.records import (
    CSV_LESION,
    MADE_BY,
    SUPPORT,
    csv_text,
    lesion_record,
    png_bytes,
    support_record,
)

__all__ = [
    "CSV_LESION",
    "MADE_BY",
    "SUPPORT",
    "classes_text",
    "csv_text",
    "html_page",
    "image_line",
    "json_line",
    "lesion_record",
    "png_bytes",
    "size_text",
    "support_record",
]


def json_line(record: Mapping[str, Any]) -> str:
    """A record on one line."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def size_text(lesion: Mapping[str, Any]) -> str:
    """``12.3 x 8.1 mm``, or ``134 x 90 px`` where the spacing is unknown."""
    if lesion["long_axis_mm"] is None:
        return f"{lesion['long_axis_px']:.0f} x {lesion['short_axis_px']:.0f} px"
    return f"{lesion['long_axis_mm']:.1f} x {lesion['short_axis_mm']:.1f} mm"


def image_line(record: Mapping[str, Any]) -> str:
    """One line on one image, for people."""
    if "error" in record:
        return f"{record['image']}: FAILED"
    lesions = [f"{size_text(x)} (confidence {x['confidence']:.2f})" for x in record["lesions"]]
    told = f" | {DECISION_SUPPORT}: {classes_text(record)}" if SUPPORT in record else ""
    review = f" | look at it: {'; '.join(record['review'])}" if record.get("review") else ""
    return f"{record['image']}: {'; '.join(lesions) or 'no lesion found'}{review}{told}"


def classes_text(record: Mapping[str, Any]) -> str:
    """``benign 0.62, malignant 0.33, normal 0.05``."""
    classes = record[SUPPORT]["classes"]
    return ", ".join(f"{name} {fraction:.2f}" for name, fraction in classes.items())


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
.review {{ color: #fc3; }}
</style></head><body>
<h1>Suraksha results</h1>
<p class="warn">{notice} {intended_use}</p>
<p>{count} images. Files: results.jsonl, results.csv, and a mask and an overlay for each.</p>
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
    told = [f"frame {record['frame']} of the clip"] if "frame" in record else []
    if "why_no_spacing" in record:
        told.append(f"no millimetres: {record['why_no_spacing']}")
    told += [f"no {kind} file: {why}" for kind, why in record.get("not_written", {}).items()]
    table = (
        "".join(
            f'<p class="review"><b>Look at it</b>: {escape(why)}.</p>'
            for why in (record.get("review") or ())
        )
        + table
        + "".join(f"<p>{escape(line)}</p>" for line in told)
    )
    if SUPPORT in record:
        table += f"<p><b>{DECISION_SUPPORT}</b>: {escape(classes_text(record))}</p>"
    source = quote(record["overlay"])
    return (
        f'<figure><img loading="lazy" src="{source}" alt="overlay of {name}">'
        f"<figcaption>{name}{table}<small>bundle {escape(record['bundle'])}, network "
        f"{escape(record['model_sha256'][:12])}</small></figcaption></figure>"
    )
