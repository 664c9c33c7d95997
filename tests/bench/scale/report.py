"""The figures as Markdown: what it costs to grow, and how far one Redis goes."""

from tests.bench.scale.curve import Point
from tests.bench.scale.run import ScaleFigures

GPU_RATES = (200, 500, 1000)
REDIS_SHARE = 0.6
"""Of one core: above it, waiting times grow quickly."""

IMAGES_PER_TASK = 10
PHOTO_BYTES = 300_000


def markdown(figures: ScaleFigures) -> str:
    """Return everything that docs/performance.md shows between its marks."""
    return "\n\n".join(
        [_curve(figures), _queue(figures), _remarks(figures), _paper(figures), _carried(figures)]
    )


def _curve(figures: ScaleFigures) -> str:
    rows = [_point_row(f"{point.workers}", point) for point in figures.points]
    if figures.deep is not None:
        name = f"{figures.deep.workers}, {figures.deep.queued:,} queued"
        rows.append(_point_row(name, figures.deep))
    head = ["workers", "images/s", "of ideal", "Redis CPU", "worker CPU", "round trips"]
    return _table(head, rows)


def _point_row(name: str, point: Point) -> list[str]:
    return [
        name,
        f"{point.images_per_second:.1f}",
        f"**{point.share_of_ideal:.2f}**",
        f"{point.redis_cpu * 1000:.2f} ms",
        f"{point.workers_cpu * 1000:.1f} ms",
        f"{point.round_trips:.1f}",
    ]


def _queue(figures: ScaleFigures) -> str:
    head = ["Redis' time for", *(f"{steps.queued:,} queued" for steps in figures.steps)]
    rows = [
        [name, *(f"{steps.server_microseconds[name]:.1f} µs" for steps in figures.steps)]
        for name in figures.steps[0].server_microseconds
    ]
    sweeps = [f"{steps.sweep_seconds * 1000:.0f} ms" for steps in figures.steps]
    stale = [f"{steps.stale_sweep_seconds:.1f} s" for steps in figures.steps]
    rows.append(["one round of deleting old data, as seen by the dispatcher", *sweeps])
    rows.append(
        ["the same, if every task was inactive for longer than TASK_TIMEOUT_SECONDS", *stale]
    )
    return _table(head, rows)


def _remarks(figures: ScaleFigures) -> str:
    single, many, inline = figures.weights
    one, ten = figures.submits
    free = figures.fast_detector
    assert free is not None
    return (
        f"- A waiting image needs {single.memory / 1000:.1f} kB of memory in Redis if it is the"
        f" only one of its task, and {many.memory / 1000:.1f} kB in a task of {many.per_task}. An"
        " image that is sent inside its entry needs its own size and about"
        f" {inline.memory / inline.inline_bytes - 1:.0%} more.\n"
        f"- One producer process accepts {one.images_per_second:,.0f} small files per second with"
        f" one file per request (p50 {one.p50_ms:.0f} ms, {one.producer_cpu * 1000:.1f} ms of CPU"
        f" per file), or {ten.images_per_second:,.0f} in requests of {ten.files_per_request}"
        f" ({ten.producer_cpu * 1000:.1f} ms per file).\n"
        "- One worker process whose detector takes no time processes"
        f" {free.images_per_second:,.0f} of these images per second, with"
        f" {free.workers_cpu * 1000:.1f} ms of CPU and {free.round_trips:.1f} round trips per"
        " image. For a GPU that is faster, start several worker processes."
    )


def redis_cpu(figures: ScaleFigures) -> dict[str, float]:
    """CPU seconds of Redis for one image on its whole way, step by step, when it is busy."""
    assert figures.pressure is not None
    return {
        "submit": figures.submits[-1].redis_cpu,
        "read, begin, finish": figures.pressure.redis_cpu,
        "event and webhook": figures.event_redis_cpu / IMAGES_PER_TASK,
    }


def carried_per_second(figures: ScaleFigures) -> float:
    """Images a second that one Redis carries."""
    return REDIS_SHARE / sum(redis_cpu(figures).values())


def _paper(figures: ScaleFigures) -> str:
    assert figures.pressure is not None
    parts = " + ".join(
        f"{seconds * 1000:.2f} ({step})" for step, seconds in redis_cpu(figures).items()
    )
    total = sum(redis_cpu(figures).values()) * 1000
    most = figures.points[-1]
    return (
        "**How many GPUs does one Redis carry?** Redis executes its commands on one core, and every"
        f" write is on disk before it responds. Per image, in tasks of {IMAGES_PER_TASK}, it needs"
        f" {parts} = {total:.2f} ms of CPU, measured at {figures.pressure.images_per_second:,.0f}"
        f" images/s. At {most.images_per_second:.0f} images/s, read, begin and finish need"
        f" {most.redis_cpu * 1000:.2f} ms, because fewer of them share one write to the disk. If"
        f" {REDIS_SHARE:.0%} of a core is used, which leaves a reserve for bursts, this allows"
        f" {REDIS_SHARE * 1000:.0f} ms ÷ {total:.2f} ms ="
        f" **{carried_per_second(figures):,.0f} images/s**. The number of GPUs is this, divided by"
        " the images/s of one GPU:"
    )


def _carried(figures: ScaleFigures) -> str:
    most, carried = figures.points[-1], carried_per_second(figures)
    moved = most.redis_bytes_in + most.redis_bytes_out + figures.submits[-1].redis_bytes
    head = [
        "images/s of one GPU", "GPUs per Redis",
        f"network of Redis per GPU, files ({PHOTO_BYTES // 1000} kB) in storage",
        "files in entries",
    ]  # fmt: skip
    rows = [
        [
            f"{rate}",
            f"{carried / rate:.1f}",
            f"{_megabits(rate * moved):,.1f} Mbit/s",
            f"{_megabits(rate * (moved + 2 * PHOTO_BYTES)):,.0f} Mbit/s",
        ]
        for rate in GPU_RATES
    ]
    inline = figures.weights[2]
    return (
        f"{_table(head, rows)}\n\nA file inside its entry is sent to Redis, written to its log, and"
        f" sent to a worker. For a file of {inline.inline_bytes >> 10} KiB this costs"
        f" {inline.redis_cpu * 1000:.1f} ms of CPU, so at most"
        f" {REDIS_SHARE / inline.redis_cpu:,.0f} images/s if disk and network are fast enough. Put"
        " large files into storage. For more GPUs, start a second Redis with its own producers,"
        f" workers and dispatchers: tasks share no data.\n\n*{figures.server}"
        f" with `appendfsync always`, {figures.cores} cores ({figures.cpu}), {figures.at[:10]};"
        " the load generator uses the same cores. CPU and round trips are per image.*"
    )


def _megabits(bytes_per_second: float) -> float:
    return bytes_per_second * 8 / 1e6


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
