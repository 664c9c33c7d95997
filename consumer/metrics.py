"""Metrics of the consumer processes, in base units; every label has few values."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consumer.vision.steps import NetworkName
from schemas import tracing
from schemas.contract.errors import ImageErrorCode
from schemas.redis.results import BeginResult

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

# A counter starts at 0 only if its labels are known. Prometheus does not count the first increment
# of one that starts at 1, so a single dead letter would go unnoticed.
OUTCOMES = ("covered", "superseded", "dead_letter", *ImageErrorCode)
DEAD_LETTER_REASONS = (
    ImageErrorCode.INVALID_MESSAGE,
    ImageErrorCode.TOO_MANY_DELIVERIES,
    BeginResult.INDEX_CONFLICT,
    BeginResult.TOTAL_CONFLICT,
    BeginResult.INDEX_OUT_OF_RANGE,
    BeginResult.OUTPUT_CONFLICT,
)


class WorkerMetrics:
    """Metrics of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.images = counter(
            "plate_images", "Images by outcome: covered or a per-image error code", ["outcome"]
        )
        self.plates = counter("plate_plates_covered", "Plates covered")
        self.needing_review = counter(
            "plate_results_needing_review", "Results that have `needs_review`"
        )
        self.corrections = counter(
            "plate_corrections",
            "Corrections by outcome: done, superseded by another worker, or why they were refused",
            ["outcome"],
        )
        self.batch_size = histogram(
            "plate_batch_size",
            "Inputs passed to the detector at once, which some CPUs process one after the other",
            buckets=_SIZES,
        )
        self.stage_seconds = histogram(
            "plate_stage_seconds", "Time of one image in one stage (inference: of one batch)",
            ["stage"], buckets=_SECONDS,
        )  # fmt: skip
        self.backlog = gauge(
            "plate_backlog_images", "Entries of the work stream: waiting and in flight"
        )
        self.in_flight = gauge("plate_images_in_flight", "Images in flight in this worker")
        self.redeliveries = counter("plate_redeliveries", "Images taken over after a lease ran out")
        self.dead_letters = counter("plate_dead_letters", "Dead-lettered entries", ["reason"])
        for outcome in OUTCOMES:
            self.images.labels(outcome)
        for outcome in ("done", "superseded"):
            self.corrections.labels(outcome)
        for reason in DEAD_LETTER_REASONS:
            self.dead_letters.labels(reason)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as one image's stage."""
        started = time.perf_counter()
        with tracing.span(name):
            yield
        self.observe_stage(name, time.perf_counter() - started)

    def observe_stage(self, name: str, seconds: float) -> None:
        """Record a stage that was timed elsewhere."""
        self.stage_seconds.labels(name).observe(seconds)

    def observe_batch(self, network: NetworkName, size: int, seconds: float) -> None:
        """Record a forward pass of a network."""
        if network == "detector":
            self.batch_size.observe(size)
        self.observe_stage("inference" if network == "detector" else network, seconds)


class DispatcherMetrics:
    """Metrics of one dispatcher."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.events = counter("plate_events", "Completion events read, by type", ["type"])
        self.deliveries = counter(
            "plate_deliveries", "Attempts of webhooks by outcome: delivered, retry, dead, …",
            ["kind", "outcome"],
        )  # fmt: skip
        self.delivery_seconds = Histogram(
            "plate_delivery_seconds", "Time of one attempt of a webhook",
            ["kind"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.due = gauge(
            "plate_deliveries_due", "Webhooks that wait for an attempt or are in flight", ["kind"]
        )
        self.swept_objects = counter("plate_swept_objects", "Files that the sweeper deleted")
        self.expired_tasks = counter("plate_expired_tasks", "Tasks whose missing images timed out")
        self.restored_images = counter(
            "plate_restored_images", "Images that the stream had lost and that were added again"
        )
        self.stranded_entries = counter(
            "plate_stranded_entries",
            "Delivered entries that no consumer held, and that are delivered again",
        )
        self.forgotten_work = counter(
            "plate_forgotten_work",
            "Open tasks, corrections, due webhooks and unread events that had been removed and put "
            "back",
        )
        self.sweep_failures = counter(
            "plate_sweep_failures", "Items or whole jobs that failed in a sweep", ["job"]
        )
