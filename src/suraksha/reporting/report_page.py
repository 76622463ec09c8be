"""The report of ``segment`` as one HTML page: totals, and a sortable table with thumbnails.

The page loads nothing from elsewhere. Its thumbnails are the overlays beside it, which the browser
loads when they are scrolled into view, so that hundreds of images open at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any
from urllib.parse import quote

from suraksha.reporting.records import SUPPORT

NOTICE = "Research use only."
TEMPLATE = "report_page.html"
# a cell without a figure, sorted before all others
EMPTY = '<td data-key="-1"></td>'
Record = Mapping[str, Any]


def report_page(records: Sequence[Record], *, intended_use: str) -> str:
    """The page.

    Args:
        records: One for each image, as in ``results.jsonl``.
        intended_use: What the bundle's card says about its use.
    """
    template = resources.files("suraksha.reporting") / TEMPLATE
    return Template(template.read_text(encoding="utf-8")).substitute(
        intended_use=escape(intended_use.removeprefix(NOTICE).strip()),
        totals="\n".join(_totals(records)),
        rows="\n".join(_row(record) for record in records),
        bundles=_bundles(records),
    )


def _totals(records: Sequence[Record]) -> Iterable[str]:
    """Totals as list items."""
    failed = sum("error" in record for record in records)
    review = sum(bool(record.get("review")) for record in records)
    none = sum(record.get("lesions") == [] for record in records)
    lesions = sum(len(record.get("lesions", ())) for record in records)
    for count, text, kind in (
        (len(records), "images", ""),
        (lesions, "lesions", ""),
        (none, "images without a lesion", ""),
        (review, "images to review", "review"),
        (failed, "failed images", "failed"),
    ):
        style = f' class="{kind}"' if count and kind else ""
        yield f"<li{style}><b>{count}</b>{text if count != 1 else _singular(text)}</li>"


def _singular(text: str) -> str:
    return text.replace("images", "image").replace("lesions", "lesion")


def _bundles(records: Iterable[Record]) -> str:
    """The bundles that made the results, each once."""
    used = {
        (record["bundle"], record["model_sha256"][:12]) for record in records if "bundle" in record
    }
    names = (f"{escape(name)} (network {escape(digest)})" for name, digest in sorted(used))
    return f"Bundle: {', '.join(names)}." if used else ""


def _row(record: Record) -> str:
    """The row of one image; ``data-key`` holds what a column sorts by."""
    name = record["image"]
    shown = escape(name.replace("\\", "/").rpartition("/")[2])
    folder = escape(name.removesuffix(name.replace("\\", "/").rpartition("/")[2]))
    title = f'<td class="name" data-key="{escape(name.lower())}">{shown}'
    title += f"<br><small>{folder}</small></td>" if folder else "</td>"
    if "error" in record:
        return (
            f'<tr data-state="failed"><td></td>{title}{3 * EMPTY}'
            f'<td class="note" data-key="0"><p class="failed">failed</p>'
            f"<p>{escape(record['error'])}</p></td></tr>"
        )
    lesions = record["lesions"]
    states = ["lesion" if lesions else "none", *(["review"] if record.get("review") else [])]
    sizes = [size_text(lesion) for lesion in lesions]
    confidences = [f"{lesion['confidence']:.2f}" for lesion in lesions]
    return (
        f'<tr data-state="{" ".join(states)}"><td>{_thumbnail(record, sizes, confidences)}</td>'
        f'{title}<td class="number" data-key="{len(lesions)}">{len(lesions)}</td>'
        f'<td class="number" data-key="{_length(lesions)}">{"<br>".join(sizes) or "-"}</td>'
        f'<td class="number" data-key="{min(confidences, default="-1")}">'
        f"{'<br>'.join(confidences) or '-'}</td>{_status(record)}</tr>"
    )


def _length(lesions: Sequence[Record]) -> float:
    """The long axis of the largest lesion, -1 without one."""
    if not lesions:
        return -1.0
    first = lesions[0]
    length = first["long_axis_px"] if first["long_axis_mm"] is None else first["long_axis_mm"]
    return float(length)


def _thumbnail(record: Record, sizes: Sequence[str], confidences: Sequence[str]) -> str:
    pairs = zip(sizes, confidences, strict=True)
    found = "; ".join(f"{size}, confidence {sure}" for size, sure in pairs) or "no lesion found"
    caption = escape(f"{record['image']}: {found}")
    rows, columns = record.get("shape", (3, 4))
    return (
        f'<button type="button" class="thumbnail" data-caption="{caption}" title="Enlarge">'
        f'<img loading="lazy" decoding="async" width="{columns}" height="{rows}" '
        f'src="{quote(record["overlay"])}" alt="Overlay of {escape(record["image"])}"></button>'
    )


def _status(record: Record) -> str:
    """The cell that says whether a person should check the image, and what else is known."""
    review = record.get("review") or ()
    lines = [f'<p class="review">review: {escape(why)}</p>' for why in review] or [
        "<p>no review flag</p>"
    ]
    notes = [f"frame {record['frame']} of the clip"] if "frame" in record else []
    if "why_no_spacing" in record:
        notes.append(f"measured in pixels: {record['why_no_spacing']}")
    notes += [f"no {kind} file: {why}" for kind, why in record.get("not_written", {}).items()]
    taller = [str(x["label"]) for x in record["lesions"] if x.get("taller_than_wide")]
    notes += [f"taller than wide: lesion {', '.join(taller)}"] if taller else []
    if SUPPORT in record:
        notes.append(f"{record[SUPPORT]['use']}: {classes_text(record)}")
    lines += [f"<p><small>{escape(note)}</small></p>" for note in notes]
    if "attention" in record:
        lines.append(f'<p><a href="{quote(record["attention"])}">attention maps</a></p>')
    return f'<td class="note" data-key="{1 if review else 2}">{"".join(lines)}</td>'


def size_text(lesion: Record) -> str:
    """``12.3 x 8.1 mm``, or ``134 x 90 px`` where the spacing is unknown."""
    if lesion["long_axis_mm"] is None:
        return f"{lesion['long_axis_px']:.0f} x {lesion['short_axis_px']:.0f} px"
    return f"{lesion['long_axis_mm']:.1f} x {lesion['short_axis_mm']:.1f} mm"


def classes_text(record: Record) -> str:
    """``benign 0.62, malignant 0.33, normal 0.05``."""
    classes = record[SUPPORT]["classes"]
    return ", ".join(f"{name} {fraction:.2f}" for name, fraction in classes.items())
