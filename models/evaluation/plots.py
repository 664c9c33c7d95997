"""Plots of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation.scoring import PlateScore

_BLUE = "#4477aa"
_LAST_RATIO = 4.0


def write_plots(report: dict[str, Any], plates: Sequence[PlateScore], path: Path) -> None:
    """Write curves by confidence, the ratios of ``plates``, reliability and groups of plates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 10), layout="constrained")
    axes = figure.subplots(2, 2)
    _curves(axes[0, 0], report["by_confidence"])
    _ratios(axes[0, 1], [p.ratio for p in plates if not math.isnan(p.ratio)])
    _reliability(axes[1, 0], report["calibration"])
    _bars(axes[1, 1], report["summary"]["labelled"]["groups"])
    figure.savefig(path, dpi=90)


def _curves(axes: Any, curve: Sequence[dict[str, Any]]) -> None:
    for name, measure, level in (
        ("exact corners, ≥ 90 %", "exact", "covered"),
        ("exact corners, ≥ 98 %", "exact", "fully"),
        ("label files", "labelled", "covered"),
    ):
        _line(axes, curve, [line[measure][level]["share"] for line in curve], name)
    axes.set_xlabel("confidence")
    axes.set_ylabel("covered")
    axes.set_title("by confidence")
    other = axes.twinx()
    per_100 = [line["false_covers"]["per_100"] for line in curve]
    _line(other, curve, per_100, "false covers", "kx--", "upper right")
    other.set_ylabel("false covers per 100 images without plates")


def _line(
    axes: Any,
    curve: Sequence[dict[str, Any]],
    values: Sequence[float | None],
    name: str,
    look: str = "o-",
    place: str = "lower left",
) -> None:
    pairs = zip((line["confidence"] for line in curve), values, strict=True)
    known = sorted((x, y) for x, y in pairs if y is not None)
    if known:
        axes.plot([x for x, _ in known], [y for _, y in known], look, label=name)
        axes.legend(loc=place)


def _ratios(axes: Any, ratios: Sequence[float]) -> None:
    axes.hist(np.clip(ratios, 0, _LAST_RATIO), bins=40, range=(0, _LAST_RATIO), color=_BLUE)
    for share, colour in ((50, "#cc3311"), (90, "#ee7733")):
        if ratios:
            value = float(np.percentile(ratios, share))
            axes.axvline(value, color=colour, label=f"p{share} {value:.2f}")
            axes.legend()
    axes.set_xlabel(f"area of the cover / area of the plate ({_LAST_RATIO:g}: and more)")
    axes.set_ylabel("plates")
    axes.set_title("exact corners")


def _reliability(axes: Any, calibration: dict[str, Any]) -> None:
    bins = calibration["bins"]
    scores = [b["score"] for b in bins]
    axes.plot([0, 1], [0, 1], color="#bbbbbb")
    axes.errorbar(scores, [b["share"] for b in bins], _spread(bins), fmt="o-", capsize=4)
    for b in bins:
        axes.annotate(str(b["plates"]), (b["score"], b["share"]), fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("score")
    axes.set_ylabel("share of right plates")
    error = calibration["error"]
    axes.set_title("reliability" + ("" if error is None else f", expected error {error:.3f}"))


def _bars(axes: Any, groups: Sequence[dict[str, Any]]) -> None:
    covered = [group["covered"] for group in groups if group["plates"]]
    names = [f"{g['group']} ({g['plates']})" for g in groups if g["plates"]]
    places = np.arange(len(names))[::-1]
    shares = [c["share"] for c in covered]
    axes.barh(places, shares, xerr=_spread(covered), capsize=2, color=_BLUE)
    axes.set_yticks(places, names, fontsize=7)
    axes.set_xlim(0, 1.02)
    axes.set_title("covered, by the label files")


def _spread(shares: Sequence[dict[str, Any]]) -> Any:
    """Return the distances from shares to the ends of their intervals, (2, N)."""
    low = [max(0.0, s["share"] - s["low"]) for s in shares]
    high = [max(0.0, s["high"] - s["share"]) for s in shares]
    return np.array([low, high]).reshape(2, -1)
