"""A report as Markdown tables, which are printed and written into the model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Report = dict[str, Any]

MARK = "evaluation"
"""The name of the table in the model card's marks."""
_NOTHING = "–"


def write_card(path: Path, text: str) -> None:
    """Replace what stands between ``<!-- evaluation -->`` and ``<!-- /evaluation -->``.

    Raises:
        ValueError: there are no such marks.
    """
    start, end = f"<!-- {MARK} -->", f"<!-- /{MARK} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{path} has no {start} … {end}")
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


def report_text(report: Report) -> str:
    """Return all tables of a report, each with a line about it."""
    summary, calibration = report["summary"], report["calibration"]
    left_out = summary["exact"]["left_out"]
    parts = [
        head_line(report),
        f"**By exact corners** (without {left_out['unsure']} unsure, {left_out['none']} no plate):",
        exact_table(summary["exact"]["groups"]),
        "**By the label files**, upright labels by their inner 70 %:",
        labelled_table(summary["labelled"]["groups"]),
        "**On images without plates:**",
        false_covers_table(summary["false_covers"]),
        calibration_line(calibration),
        calibration_table(calibration["bins"]),
        "**By confidence:**",
        sweep_table(report["by_confidence"], "confidence"),
        "**By padding:**",
        sweep_table(report["by_padding"], "padding"),
    ]
    return "\n\n".join(part for part in parts if part)


def head_line(report: Report) -> str:
    """Return what was measured, with which settings, and how long it took."""
    seconds = report["summary"]["seconds_per_image"]
    return (
        f"`{report['checkpoint']}` at {report['imgsz']} px on {report['device']}, with"
        f" DETECT_TILING={report['tiling']}, DETECT_CONFIDENCE={report['confidence']:g} and"
        f" COVER_PADDING={report['padding']:g}; {report['images']} images. Seconds per image:"
        f" {seconds['median']:.2f} (median), {seconds['mean']:.2f} (mean), {seconds['p90']:.2f}"
        " (p90)."
    )


def exact_table(groups: Sequence[Report]) -> str:
    """Return the coverage by exact corners, by group."""
    head = ("", "plates", "≥ 90 % covered", "≥ 98 % covered", "area ratio, median", "p90")
    return table(
        head,
        [
            (
                g["group"],
                g["plates"],
                interval(g["covered"]),
                interval(g["fully"]),
                number(g["ratio_median"]),
                number(g["ratio_p90"]),
            )
            for g in groups
        ],
    )


def labelled_table(groups: Sequence[Report]) -> str:
    """Return the coverage by label files, by group."""
    head = ("", "plates", "covered", "area ratio, oriented labels", "p90")
    return table(
        head,
        [
            (
                g["group"],
                g["plates"],
                interval(g["covered"]),
                number(g["ratio_median"]),
                number(g["ratio_p90"]),
            )
            for g in groups
        ],
    )


def false_covers_table(groups: Sequence[Report]) -> str:
    """Return the false covers by kind of image."""
    rows = []
    for g in groups:
        per_100 = _NOTHING
        if g["per_100"] is not None:
            per_100 = f"{g['per_100']:.1f} ({g['low']:.1f}-{g['high']:.1f})"
        rows.append((g["group"], g["images"], g["false_covers"], per_100))
    return table(("", "images", "false covers", "per 100 images"), rows)


def calibration_line(calibration: Report) -> str:
    """Return a sentence about the error of the scores."""
    error = calibration["error"]
    shown = _NOTHING if error is None else f"{error:.3f}"
    return (
        f"**Scores** of {calibration['plates']} found plates on images on which all plates are "
        f"labelled; expected calibration error {shown}:"
    )


def calibration_table(bins: Sequence[Report]) -> str:
    """Return the share of right plates by score."""
    rows = [
        (f"{b['from']:.1f}-{b['to']:.1f}", b["plates"], f"{b['score']:.2f}", interval(b))
        for b in bins
    ]
    return table(("score", "found", "mean score", "right"), rows)


def sweep_table(curve: Sequence[Report], setting: str) -> str:
    """Return the main figures by a setting, which is a key of the lines of ``curve``."""
    head = (setting, "exact ≥ 90 %", "≥ 98 %", "ratio", "labelled", "false covers per 100")
    return table(
        head,
        [
            (
                f"{line[setting]:g}",
                percent(line["exact"]["covered"]["share"]),
                percent(line["exact"]["fully"]["share"]),
                number(line["exact"]["ratio_median"]),
                percent(line["labelled"]["covered"]["share"]),
                number(line["false_covers"]["per_100"]),
            )
            for line in curve
        ],
    )


def percent(share: float | None) -> str:
    """Return a share in per cent."""
    return _NOTHING if share is None else f"{100 * share:.1f} %"


def interval(figures: Report) -> str:
    """Return a share with its interval, in per cent."""
    if figures["share"] is None:
        return _NOTHING
    low, high = 100 * figures["low"], 100 * figures["high"]
    return f"{percent(figures['share'])} ({low:.1f}-{high:.1f})"


def number(value: float | None) -> str:
    """Return a number with two decimals."""
    return _NOTHING if value is None else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; columns are as wide as their widest cell. Empty without rows."""
    if not rows:
        return ""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
