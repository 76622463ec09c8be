"""A plan's report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from suraksha.datasets.splits import PROTOCOLS
from suraksha.experiments.report import FOLDED, as_estimate
from suraksha.reporting.markdown import estimate_text, markdown_table


def report_text(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    parts = [
        f"# Plan {report['plan']}",
        f"Scored on the {report['part']} part. Plan SHA-256: {report['plan_sha256']}.",
    ]
    if report["missing"]:
        parts.append(_listing("Not finished:", report["missing"]))
    if report["failed"]:
        told = [f"{name}: {why}" for name, why in report["failed"].items()]
        parts.append(_listing("Failed:", told))
    for group in report["groups"]:
        options = "".join(f", {key} {value}" for key, value in group["options"].items())
        title = f"{group['recipe']}: {group['model']}{options}"
        parts.append(f"## {title}, {group['size']} px, {group['protocol']}")
        parts.append(f"{group['parameters']:,} parameters, {group['macs']:,} MACs an image.")
        parts.append(_group_table(group))
    if report["paired"]:
        parts.append("## Paired by image: Dice of the first minus Dice of the second")
        parts.append(_paired_table(report["paired"]))
    return "\n\n".join(parts) + "\n"


def _listing(title: str, lines: Iterable[str]) -> str:
    return "\n".join((title, "", *(f"* {line}" for line in lines)))


def _group_table(group: Mapping[str, Any]) -> str:
    titles = list(group["rows"][0]["figures"])
    head = [PROTOCOLS[group["protocol"]].number, "training seed", *titles]
    rows = [
        [
            *(str(row["number"]), str(row["seed"])),
            *(_text(row["figures"][title]) for title in titles),
            *(f"{row['seconds']:.0f}", row["device"], row["run"]),
        ]
        for row in group["rows"]
    ]
    if group["mean"] is not None:
        rows.append(["mean", "", *(_text(group["mean"][title]) for title in titles), "", "", ""])
    return markdown_table([*head, "seconds to train", "device", "run"], rows)


def _paired_table(pairs: Sequence[Mapping[str, Any]]) -> str:
    head = ["split", "first", "second", "MACs, first / second", *FOLDED]
    rows = [
        [
            f"{pair['protocol']} {pair['number']}",
            *(pair["first"], pair["second"], f"{pair['macs_ratio']:.3f}"),
            *(_signed(pair["difference"][title]) for title in FOLDED),
        ]
        for pair in pairs
    ]
    return markdown_table(head, rows)


def _text(figure: Mapping[str, Any]) -> str:
    """With its interval, or else with its standard deviation, or else alone."""
    value, spread = figure["value"], figure.get("sd")
    if value is None or figure["low"] is not None:
        return estimate_text(as_estimate(figure))
    return f"{value:.4f}" + ("" if spread is None else f" (sd {spread:.4f})")


def _signed(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f})"
