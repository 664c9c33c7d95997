"""The figures as Markdown: what it costs to grow, and how far one Redis goes."""

from tests.bench.scale.curve import Point
from tests.bench.scale.run import Figures

GPU_RATES = (200, 500, 1000)
REDIS_SHARE = 0.6
"""Of one core: above it, waiting times grow quickly."""

IMAGES_PER_TASK = 10
PHOTO_BYTES = 300_000


def markdown(figures: Figures) -> str:
    """Everything that README.md shows between its marks."""
    return "\n\n".join(
        [_curve(figures), _queue(figures), _remarks(figures), _paper(figures), _carried(figures)]
    )


def _curve(figures: Figures) -> str:
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


def _queue(figures: Figures) -> str:
    head = ["Redis' time for", *(f"{steps.queued:,} queued" for steps in figures.steps)]
    rows = [
        [name, *(f"{steps.server_microseconds[name]:.1f} µs" for steps in figures.steps)]
        for name in figures.steps[0].server_microseconds
    ]
    sweeps = [f"{steps.sweep_seconds * 1000:.0f} ms" for steps in figures.steps]
    stale = [f"{steps.stale_sweep_seconds:.1f} s" for steps in figures.steps]
    rows.append(["a round of the sweeper, from its side", *sweeps])
    rows.append(["the same, with every task silent past TASK_TIMEOUT_SECONDS", *stale])
    return _table(head, rows)


def _remarks(figures: Figures) -> str:
    single, many, inline = figures.weights
    one, ten = figures.submits
    free = figures.unhindered
    assert free is not None
    return (
        f"An image that waits takes {single.memory / 1000:.1f} kB of Redis' memory in a task of its"
        f" own, {many.memory / 1000:.1f} kB in one of {many.per_task}; sent inside its entry, its"
        f" size and about {inline.memory / inline.inline_bytes - 1:.0%} more.\nOne producer process"
        f" takes {one.images_per_second:,.0f} small files a second, one in each request"
        f" (p50 {one.p50_ms:.0f} ms, {one.producer_cpu * 1000:.1f} ms of CPU each), or"
        f" {ten.images_per_second:,.0f} in requests of {ten.files_per_request}"
        f" ({ten.producer_cpu * 1000:.1f} ms each).\nOne worker process whose detector takes no"
        f" time does {free.images_per_second:,.0f} of these images a second, at"
        f" {free.workers_cpu * 1000:.1f} ms of CPU and {free.round_trips:.1f} round trips each:"
        " for a GPU that is faster, start several."
    )


def redis_cpu(figures: Figures) -> dict[str, float]:
    """CPU seconds of Redis for one image on its whole way, step by step, when it is busy."""
    assert figures.pressure is not None
    return {
        "submit": figures.submits[-1].redis_cpu,
        "read, begin, finish": figures.pressure.redis_cpu,
        "event and webhook": figures.event_redis_cpu / IMAGES_PER_TASK,
    }


def carried_per_second(figures: Figures) -> float:
    """Images a second that one Redis carries."""
    return REDIS_SHARE / sum(redis_cpu(figures).values())


def _paper(figures: Figures) -> str:
    assert figures.pressure is not None
    parts = " + ".join(
        f"{seconds * 1000:.2f} ({step})" for step, seconds in redis_cpu(figures).items()
    )
    total = sum(redis_cpu(figures).values()) * 1000
    most = figures.points[-1]
    return (
        "**How many GPUs does one Redis carry?** Redis runs its steps on one core, and has every"
        f" write on disk before it answers. It needs {parts} = {total:.2f} ms of CPU per image in"
        f" tasks of {IMAGES_PER_TASK}, measured at {figures.pressure.images_per_second:,.0f}"
        f" images/s; at {most.images_per_second:.0f} images/s read, begin and finish take"
        f" {most.redis_cpu * 1000:.2f} ms, as fewer of them share one write to the disk. With"
        f" {REDIS_SHARE:.0%} of a core in use, which leaves room for bursts, that is"
        f" {REDIS_SHARE * 1000:.0f} ms ÷ {total:.2f} ms ="
        f" **{carried_per_second(figures):,.0f} images/s**. GPUs = that ÷ the images/s of one:"
    )


def _carried(figures: Figures) -> str:
    most, carried = figures.points[-1], carried_per_second(figures)
    moved = most.redis_bytes_in + most.redis_bytes_out + figures.submits[-1].redis_bytes
    head = [
        "images/s of one GPU", "GPUs of one Redis",
        f"Redis' network for each, files ({PHOTO_BYTES // 1000} kB) in storage", "files in entries",
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
        f"{_table(head, rows)}\n\nA file inside its entry crosses Redis twice and goes to its log:"
        f" of {inline.inline_bytes >> 10} KiB, {inline.redis_cpu * 1000:.1f} ms of CPU, so"
        f" {REDIS_SHARE / inline.redis_cpu:,.0f} images/s at most, if disk and network keep up."
        " Large files belong in storage. For more GPUs start a second Redis with all roles of its"
        f" own: tasks share nothing.\n\n*{figures.server}"
        f" with `appendfsync always`, {figures.cores} cores ({figures.cpu}), {figures.at[:10]};"
        f" the load shares them. CPU and round trips are per image.*"
    )


def _megabits(bytes_per_second: float) -> float:
    return bytes_per_second * 8 / 1e6


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
