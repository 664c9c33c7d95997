"""One set of images through the service: throughput, latency, memory, and what limits them."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from redis.asyncio import Redis

from cli.launcher import ManagedProcess
from consumer.host import usable_cpus
from schemas.redis.keys import Keys
from schemas.settings.base import Settings
from tests.bench import likeness
from tests.bench.client import Client, Outcome, publish
from tests.bench.environment import environment
from tests.bench.images import SAMPLE, ImageSet
from tests.bench.likeness import Quads, ServedImage
from tests.bench.processes import BenchError, ServiceUnderLoad

STAGES = ("decode", "inference", "cover", "encode")
STAGES_TIMEOUT_SECONDS = 600
LATENCY_TASKS = 15
SUBMITS = 60
SUBMIT_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Load:
    """What is sent: ``tasks`` of ``images`` each, ``at_once`` in flight, ``rounds`` times over."""

    tasks: int
    images: int
    at_once: int
    rounds: int


@dataclass
class ServiceFigures:
    """What one service did with one set of images. Seconds, bytes, images per second.

    ``results``: those of the first images of the set, made under load.
    """

    rate: float = 0.0
    rates: list[float] = field(default_factory=list)
    cores_used: dict[str, float] = field(default_factory=dict)
    load_cores: float = 0.0
    peak_bytes: dict[str, int] = field(default_factory=dict)
    bytes_out: int = 0
    submit_seconds: dict[str, float] = field(default_factory=dict)
    task_seconds: dict[str, float] = field(default_factory=dict)
    stage_cores: dict[str, float] = field(default_factory=dict)
    batch_size: float | None = None
    publish_rate: float | None = None
    idle_seconds: dict[str, float] = field(default_factory=dict)
    saturated_submit_seconds: dict[str, float] = field(default_factory=dict)
    ssim: float | None = None
    results: list[ServedImage] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "results"}


async def stage_costs(
    folder: Path, settings: dict[str, str]
) -> tuple[dict[str, dict[str, float]], list[Quads]]:
    """Return seconds per image by stage, on one thread with nothing else at work; and the covers.

    ``folder`` has the images in its folder `images`, and no `.env`.
    Under ``busy`` as the stages are while images wait, under ``idle`` as they are for a single one.
    Covers are those of the first images, which the service covers in the same way.
    """
    output = folder / "stages.json"
    command = [sys.executable, "-m", "tests.bench.stages", str(folder / "images"), str(output)]
    process = ManagedProcess(
        "stages", command, environment={**environment(), **settings}, folder=folder
    )
    try:
        await process.start()
        async with asyncio.timeout(STAGES_TIMEOUT_SECONDS):
            status = await process.wait()
    finally:
        await process.stop(0)
    if status:
        raise BenchError("the stages could not be measured; the reason is above")
    costs = json.loads(output.read_text(encoding="utf-8"))
    covers: list[Quads] = costs.pop("covers")
    return costs, covers


async def throughput(service: ServiceUnderLoad, images: ImageSet, load: Load) -> ServiceFigures:
    """Send the rounds over HTTP; the first task only warms up."""
    figures = ServiceFigures()
    outcomes = []
    async with Client(service.url) as client:
        await client.run(images.task(min(4, load.images)))
        counters = await client.metrics(service.metrics_url) if service.metrics_url else {}
        cpu, own, started = service.cpu_seconds(), time.process_time(), time.perf_counter()
        with service.peaks_watched():
            for _ in range(load.rounds):
                begun = time.perf_counter()
                outcomes = await _round(client, images, load)
                seconds = time.perf_counter() - begun
                figures.rates.append(load.tasks * load.images / seconds)
        wall = time.perf_counter() - started
        used = service.cpu_seconds()
        figures.cores_used = {name: (used[name] - cpu[name]) / wall for name in used}
        figures.load_cores = (time.process_time() - own) / wall
        if counters:
            _read_metrics(figures, counters, await client.metrics(service.metrics_url), wall)
        figures.bytes_out = sum(
            [len(await client.fetch(it["url"])) for done in outcomes for it in done.results]
        )
        figures.results = [
            ServedImage(await client.fetch(it["url"]), _covers(it))
            for it in outcomes[0].results[: min(SAMPLE, len(images.files))]
        ]
    figures.rate = median(figures.rates)
    figures.submit_seconds = percentiles([outcome.submit_seconds for outcome in outcomes])
    figures.task_seconds = percentiles([outcome.task_seconds for outcome in outcomes])
    figures.peak_bytes = {name: usage.peak_bytes for name, usage in service.usage.items()}
    return figures


async def _round(client: Client, images: ImageSet, load: Load) -> list[Outcome]:
    """Send all tasks, each as soon as fewer than ``at_once`` are in flight."""
    in_flight = asyncio.Semaphore(load.at_once)

    async def send(number: int) -> Outcome:
        async with in_flight:
            return await client.run(images.task(load.images, number))

    return await asyncio.gather(*(send(number) for number in range(load.tasks)))


def _covers(result: dict[str, Any]) -> Quads | None:
    detections = result.get("detections")
    return None if detections is None else [each["quad"] for each in detections]


def _read_metrics(
    figures: ServiceFigures, before: dict[str, float], after: dict[str, float], wall: float
) -> None:
    """Of the first worker: how many cores each stage kept busy, and how full batches were."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    for stage in STAGES:
        figures.stage_cores[stage] = grown(f"plate_stage_seconds_sum{{stage={stage}}}") / wall
    if batches := grown("plate_batch_size_count{}"):
        figures.batch_size = grown("plate_batch_size_sum{}") / batches


async def direct(service: ServiceUnderLoad, images: ImageSet, load: Load) -> float:
    """Return images per second of a round put straight onto the stream, inline."""
    async with Client(service.url) as client, Redis.from_url(service.redis_url) as redis:
        stream = Keys(Settings.model_fields["key_prefix"].default).images  # not the user's
        begun = time.perf_counter()
        ids = [
            await publish(redis, stream, images.task(load.images, i)) for i in range(load.at_once)
        ]
        await asyncio.gather(*(client.wait(task_id) for task_id in ids))
        return load.at_once * load.images / (time.perf_counter() - begun)


async def idle_latency(service: ServiceUnderLoad, images: ImageSet) -> dict[str, float]:
    """Return the time of tasks of one image, one after the other, from upload to completion."""
    async with Client(service.url) as client:
        seconds = [
            (await client.run_watched(images.task(1, i))).task_seconds for i in range(LATENCY_TASKS)
        ]
    return {**percentiles(seconds), "mean": fmean(seconds)}


async def saturated_submits(
    service: ServiceUnderLoad, images: ImageSet, rate: float
) -> dict[str, float]:
    """Return how long uploads of one image take while the workers have more than they can do."""
    enough = int(rate * (SUBMITS * SUBMIT_PAUSE_SECONDS + 3)) + 1
    async with Client(service.url) as client:
        ids = [
            (await client.submit(images.task(min(20, enough - done), done)))[0]
            for done in range(0, enough, 20)
        ]
        seconds = []
        for i in range(SUBMITS):
            task_id, taken = await client.submit(images.task(1, i))
            ids.append(task_id)
            seconds.append(taken)
            await asyncio.sleep(SUBMIT_PAUSE_SECONDS)
        await asyncio.gather(*(client.wait(task_id) for task_id in ids))
    return percentiles(seconds)


def note_likeness(
    figures: ServiceFigures, covers: Sequence[Quads], naive: ServiceFigures | None, images: ImageSet
) -> None:
    """Compare results with their originals and note it, where neither service covers anything.

    ``covers``: those of ``figures``' results. A baseline that does not report its own is left out:
    its covers would count as bad coding.
    """
    originals = [data for _, data in images.files[:SAMPLE]]
    ours = [ServedImage(it.image, its) for it, its in zip(figures.results, covers, strict=True)]
    services, rated = [ours], [figures]
    if naive:
        naive.ssim = None  # it may be from a comparison with other covers
        if all(it.covers is not None for it in naive.results):
            services, rated = [ours, naive.results], [figures, naive]
    for one, mean in zip(rated, likeness.compare(originals, *services) or [], strict=False):
        one.ssim = mean


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99."""
    return {f"p{share}": float(np.percentile(seconds, share)) for share in (50, 95, 99)}


def efficiency(figures: ServiceFigures, costs: dict[str, float]) -> float:
    """Return the share of the cores' time that went into the stages at their single-thread cost.

    images/s x sum of stage costs / (cores - cores that the load generator used).
    """
    return figures.rate * sum(costs.values()) / (usable_cpus() - figures.load_cores)
