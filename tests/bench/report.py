"""The benchmark's figures as tables, JSON and a plot."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MIB = 1 << 20

Report = dict[str, Any]


def show(report: Report) -> None:
    """Print the tables."""
    console = Console(width=120)
    console.print(f"{report['cores']} cores; {report['settings'] or 'default settings'}")
    table = Table("images", "tiling", "images/s", "× naive", "efficiency", "direct publish",
                  "bytes out × naive", "one image, idle", "× its stages", box=None)  # fmt: skip
    for one in report["sets"]:
        figures, naive = one["figures"], one.get("naive")
        table.add_row(
            one["images"], one["tiling"], f"{figures['rate']:.2f}",
            f"{figures['rate'] / naive['rate']:.2f} of {naive['rate']:.2f}" if naive else "-",
            f"{one['efficiency']:.2f}",
            "-" if figures["publish_rate"] is None else f"{figures['publish_rate']:.2f}",
            f"{figures['bytes_out'] / naive['bytes_out']:.3f}" if naive else "-",
            f"{1000 * figures['idle_seconds']['p50']:.0f} ms",
            f"{one['idle_over_stages']:.2f}",
        )  # fmt: skip
    console.print(table)
    for one in report["sets"]:
        _show_details(console, one)


def _show_details(console: Console, one: Report) -> None:
    figures = one["figures"]
    console.print(f"\n[bold]{one['images']}, tiling {one['tiling']}[/bold]")
    costs = ", ".join(f"{name} {1000 * s:.1f}" for name, s in one["stage_costs"]["busy"].items())
    console.print(f"  one thread alone, ms: {costs}")
    busy = ", ".join(f"{name} {cores:.2f}" for name, cores in figures["stage_cores"].items())
    console.print(f"  cores busy, by stage: {busy}; batch of {figures['batch_size'] or 0:.2f}")
    used = ", ".join(f"{name} {cores:.2f}" for name, cores in figures["cores_used"].items())
    console.print(f"  cores used, by role: {used}; load {figures['load_cores']:.2f}")
    peaks = ", ".join(f"{name} {peak / MIB:.0f}" for name, peak in figures["peak_bytes"].items())
    if naive := one.get("naive"):
        peaks += f"; naive {naive['peak_bytes']['naive'] / MIB:.0f}"
    console.print(f"  peak resident memory, MiB: {peaks}")
    alike = {"service": figures["ssim"], "naive": naive and naive["ssim"]}
    values = ", ".join(f"{name} {ssim:.4f}" for name, ssim in alike.items() if ssim is not None)
    console.print(f"  SSIM where nothing is covered: {values or '-'}")
    for name in ("submit_seconds", "saturated_submit_seconds", "task_seconds", "idle_seconds"):
        values = ", ".join(f"{key} {1000 * s:.0f}" for key, s in figures[name].items())
        console.print(f"  {name.removesuffix('_seconds').replace('_', ' ')}, ms: {values}")


def markdown(report: Report) -> str:
    """Return the main figures as a table for the documentation."""
    head = (
        "| images | DETECT_TILING | images/s | naive | ratio | efficiency | bytes out / naive "
        "| SSIM − naive's | worker's peak | one image, idle | one upload under load, p99 |"
    )
    lines = [
        head,
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in report["sets"]:
        figures, naive = one["figures"], one.get("naive")
        rate, ratio, size = "-", "-", "-"
        if naive:
            rate = f"{naive['rate']:.2f}"
            ratio = f"**{figures['rate'] / naive['rate']:.2f}**"
            size = f"{figures['bytes_out'] / naive['bytes_out']:.2f}"
        lines.append(
            f"| {one['images']} | {one['tiling']} | {figures['rate']:.2f} | {rate} | {ratio} |"
            f" {one['efficiency']:.2f} | {size} | {_ssim_gain(one)} |"
            f" {figures['peak_bytes']['worker'] / MIB:.0f} MiB |"
            f" {1000 * figures['idle_seconds']['p50']:.0f} ms"
            f" ({one['idle_over_stages']:.2f} × its stages) |"
            f" {1000 * figures['saturated_submit_seconds']['p99']:.0f} ms |"
        )
    return "\n".join(lines)


def _ssim_gain(one: Report) -> str:
    """Return by how much results are more like their originals than the baseline's."""
    ours, naive = one["figures"]["ssim"], (one.get("naive") or {}).get("ssim")
    return "-" if ours is None or naive is None else f"{ours - naive:+.4f}"


def write(report: Report, folder: Path) -> None:
    """Write bench.json and bench.png into the folder."""
    (folder / "bench.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    _plot(report, folder / "bench.png")


def _plot(report: Report, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sets = report["sets"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    names = [f"{one['images']}\ntiling {one['tiling']}" for one in sets]
    places = range(len(sets))
    ratios = [one["figures"]["rate"] / one["naive"]["rate"] for one in sets if one.get("naive")]
    if len(ratios) == len(sets):
        left.bar(places, ratios)
        left.axhline(1, color="grey", linestyle="--")
        left.set_ylabel("images/s over the naive service's")
    else:
        left.bar(places, [one["figures"]["rate"] for one in sets])
        left.set_ylabel("images/s")
    left.set_xticks(places, names)
    bottom = [0.0] * len(sets)
    for stage in ("decode", "inference", "cover", "encode"):
        heights = [one["figures"]["stage_cores"].get(stage, 0.0) for one in sets]
        right.bar(places, heights, bottom=bottom, label=stage)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    right.axhline(report["cores"], color="grey", linestyle="--")
    right.set_ylabel("cores busy, by stage")
    right.set_xticks(places, names)
    right.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
