"""The producer's Prometheus metrics: base units, bounded labels, a registry of their own."""

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.process_metrics import add_process_metrics

_SECONDS_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


class Metrics:
    """Holds all metrics of one producer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        add_process_metrics(self.registry)
        self.requests = self._counter(
            "plate_http_requests", "Answered requests", "method", "route", "status"
        )
        self.request_seconds = Histogram(
            "plate_http_request_seconds",
            "Time until a request was answered",
            ("method", "route"),
            registry=self.registry,
            buckets=_SECONDS_BUCKETS,
        )
        self.upload_bytes = self._counter("plate_upload_bytes", "Bytes of received image files")
        self.tasks_accepted = self._counter("plate_tasks_accepted", "Tasks put into the stream")
        self.tasks_repeated = self._counter(
            "plate_tasks_repeated", "Uploads answered with the task of their idempotency key"
        )
        self.images_accepted = self._counter("plate_images_accepted", "Images put into the stream")
        self.tasks_refused = self._counter(
            "plate_tasks_refused", "Uploads answered with an error", "reason"
        )
        self.results_accepted = self._counter(
            "plate_results_accepted", "Results that a person has accepted in the review"
        )
        self.reviews = self._gauge("plate_reviews_waiting", "Results that need review")
        self.corrections = self._gauge(
            "plate_backlog_corrections", "Corrections waiting or in work"
        )
        self.uploads = self._gauge("plate_uploads_in_progress", "Uploads being received")
        self.event_streams = self._gauge("plate_event_streams", "Open progress streams")
        self.backlog = self._gauge("plate_backlog_images", "Images waiting or in work")
        self.backlog_age = self._gauge(
            "plate_backlog_age_seconds", "Age of the oldest image that is waiting or in work"
        )
        self.open_tasks = self._gauge("plate_open_tasks", "Tasks that are not finished")
        self.problems = self._gauge(
            "plate_health_problems", "Reasons why /ready responds with 503; 0: it does not"
        )
        self.storage_free = self._gauge(
            "plate_storage_free_bytes", "Free space of the storage folder; NaN for a bucket"
        )
        self.storage_size = self._gauge(
            "plate_storage_size_bytes", "Size of the storage folder's file system"
        )
        self.redis_used = self._gauge("plate_redis_memory_used_bytes", "Memory that Redis uses")
        self.redis_limit = self._gauge(
            "plate_redis_memory_limit_bytes", "`maxmemory` of Redis, or the memory of its machine"
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry)


def method_of(request: web.Request) -> str:
    """Return the request's method, or `other`: clients may send any, labels are bounded."""
    return request.method if request.method in hdrs.METH_ALL else "other"


def route_of(request: web.Request) -> str:
    """Return the template of the matched route, which is bounded, unlike the path."""
    resource = request.match_info.route.resource
    return "unmatched" if resource is None else resource.canonical
