"""The panels of the Grafana dashboard, one row per role. dashboard.py writes them as JSON."""

from dataclasses import dataclass, field

API = 'route=~"/api/.*"'


@dataclass(frozen=True)
class Panel:
    """A panel: expressions by their legends. `METRIC{LABELS}` also gets the chosen namespace."""

    title: str
    description: str
    unit: str
    series: dict[str, str]
    width: int = 8
    stacked: bool = False
    maximum: float | None = None
    limits: dict[str, float] = field(default_factory=dict)
    """From which value on the panel is orange or red: as in rules.yml."""

    is_stat: bool = False


def rate(metric: str, *by: str, labels: str = "") -> str:
    """Return a sum of rates, by labels."""
    return f"sum{grouping(by)} (rate({chosen(metric, labels)}[$__rate_interval]))"


def total(function: str, metric: str, *by: str, labels: str = "") -> str:
    """Return a gauge of all processes, put together by `sum`, `max` or `count`."""
    return f"{function}{grouping(by)} ({chosen(metric, labels)})"


def quantile(share: float, metric: str, *by: str, labels: str = "") -> str:
    """Return a quantile of a histogram, by labels."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le', *by, labels=labels)})"


def grouping(by: tuple[str, ...]) -> str:
    """Return the clause of an aggregation."""
    return f" by ({', '.join(by)})" if by else ""


def chosen(metric: str, labels: str = "") -> str:
    """Return a metric of the chosen service; a label that is missing matches `.*`."""
    return f'{metric}{{namespace=~"$namespace"{"," if labels else ""}{labels}}}'


def share(part: str, whole: str) -> str:
    """Return a share, 0 where nothing happens."""
    return f"({part}) / ({whole} > 0) or 0 * ({whole})"


BACKLOG = total("max", "plate_backlog_images")
AGE = total("max", "plate_backlog_age_seconds")
REQUESTS = rate("plate_http_requests_total", labels=API)
FAILED_REQUESTS = rate("plate_http_requests_total", labels=f'{API},status=~"5.."')
IMAGES = rate("plate_images_total")
IMAGES_WITHOUT_RESULT = rate(
    "plate_images_total", labels='outcome!~"covered|superseded|duplicate|gone"'
)
STORAGE_USED = (
    f"1 - min ({chosen('plate_storage_free_bytes')} / {chosen('plate_storage_size_bytes')})"
)
REDIS_USED = (
    f"max ({chosen('plate_redis_memory_used_bytes')} / {chosen('plate_redis_memory_limit_bytes')})"
)


def of_role(metric: str, role: str, *, as_rate: bool = False) -> str:
    """Return a metric of each process of a role: of those that have the role's own metric."""
    of_each = chosen(metric)
    if as_rate:
        of_each = f"rate({of_each}[$__rate_interval])"
    return f"{of_each} and on (job, instance) {chosen(role)}"


PRODUCER, WORKER, DISPATCHER = (
    "plate_open_tasks", "plate_images_in_flight", "plate_expired_tasks_total",
)  # fmt: skip


def process_panels(role: str) -> list[Panel]:
    """Return the panels that each role has."""
    return [
        Panel(
            "Memory", "Resident memory of each process, as a share of what it may use.",
            "percentunit",
            {"{{instance}}": f"({of_role('process_resident_memory_bytes', role)})"
                             f" / on (job, instance) {chosen('plate_memory_limit_bytes')}"},
            maximum=1, limits={"red": 0.9},
        ),
        Panel(
            "CPU", "CPU seconds of each process in a second: 1 is one core.", "none",
            {"{{instance}}": of_role("process_cpu_seconds_total", role, as_rate=True)},
        ),
        Panel(
            "Problems", "Reasons for which a process is not ready or not healthy. 0 is good.",
            "none", {"{{instance}}": of_role("plate_health_problems", role)},
            limits={"red": 1},
        ),
    ]  # fmt: skip


ROWS: dict[str, list[Panel]] = {
    "Service": [
        Panel("Images waiting or in work", "Entries of the work stream.", "short",
              {"": BACKLOG}, 4, is_stat=True),
        Panel("Oldest image", "How long the oldest image has waited. Alert: 15 minutes.", "s",
              {"": AGE}, 4, limits={"orange": 300, "red": 900}, is_stat=True),
        Panel("Images per second", "Images that got a result or an error.", "short",
              {"": IMAGES}, 4, is_stat=True),
        Panel("Requests answered with 5xx", "Share of the requests to /api/. Alert: 5 %.",
              "percentunit", {"": share(FAILED_REQUESTS, REQUESTS)}, 4,
              limits={"orange": 0.01, "red": 0.05}, is_stat=True),
        Panel("Storage in use", "Share of the storage folder's disk; no value for a bucket. "
              "Alert: 90 %.", "percentunit", {"": STORAGE_USED}, 4,
              limits={"orange": 0.8, "red": 0.9}, is_stat=True),
        Panel("Redis memory in use", "Share of `maxmemory`, or of the memory of its machine. "
              "Alert: 85 %.", "percentunit", {"": REDIS_USED}, 4,
              limits={"orange": 0.7, "red": 0.85}, is_stat=True),
        Panel("Processes", "Processes that respond to Prometheus, by role.", "none", {
            "producers": total("count", PRODUCER),
            "workers": total("count", WORKER),
            "dispatchers": total("count", DISPATCHER)}),
        Panel("Backlog", "Images that wait or are in work, and corrections.", "short", {
            "images": BACKLOG, "corrections": total("max", "plate_backlog_corrections")}),
        Panel("Age of the oldest image", "Rises if workers are too few, or do not work.", "s",
              {"oldest image": AGE}, limits={"red": 900}),
        Panel("Open tasks and reviews", "Tasks that are not finished, and results that a person "
              "should check.", "short", {
                  "open tasks": total("max", "plate_open_tasks"),
                  "results that need review": total("max", "plate_reviews_waiting")}),
        Panel("Storage", "Free space of the storage folder's disk; no value for a bucket.",
              "bytes", {"free": total("min", "plate_storage_free_bytes"),
                        "size": total("max", "plate_storage_size_bytes")}),
        Panel("Redis memory", "If it is full, new tasks get 503.", "bytes", {
            "used": total("max", "plate_redis_memory_used_bytes"),
            "limit": total("max", "plate_redis_memory_limit_bytes")}),
    ],
    "Producer": [
        Panel("Requests", "Requests to /api/, by status. `aborted`: the client has gone.", "reqps",
              {"{{status}}": rate("plate_http_requests_total", "status", labels=API)},
              stacked=True),
        Panel("Time until a request is answered", "An upload includes the time in which the "
              "client sends; progress streams are left out.", "s", {
                  f"{{{{route}}}} {int(q * 100)} %": quantile(
                      q, "plate_http_request_seconds", "route",
                      labels='route=~"/api/.*",route!~".*task-events.*"')
                  for q in (0.5, 0.99)}),
        Panel("Refused uploads", "By the `type` of the problem that the client got.", "reqps",
              {"{{reason}}": rate("plate_tasks_refused_total", "reason")}, stacked=True),
        Panel("Accepted", "Tasks and images put into the stream; uploads that were repeated with "
              "the same Idempotency-Key.", "short", {
                  "tasks": rate("plate_tasks_accepted_total"),
                  "images": rate("plate_images_accepted_total"),
                  "repeated uploads": rate("plate_tasks_repeated_total")}),
        Panel("Received bytes", "Bytes of image files.", "Bps",
              {"upload": rate("plate_upload_bytes_total")}),
        Panel("Open connections", "Uploads that are being received, and open progress streams.",
              "short", {"uploads": total("sum", "plate_uploads_in_progress"),
                        "progress streams": total("sum", "plate_event_streams")}),
        *process_panels(PRODUCER),
    ],
    "Worker": [
        Panel("Images by outcome", "`covered`, or why an image has no result.", "short",
              {"{{outcome}}": rate("plate_images_total", "outcome")}, stacked=True),
        Panel("Images without a result", "Share of all images. Alert: 25 % for half an hour.",
              "percentunit", {"without a result": share(IMAGES_WITHOUT_RESULT, IMAGES)},
              limits={"red": 0.25}),
        Panel("Images per second of each worker", "Shows a worker that is slower than the others.",
              "short", {"{{instance}}": rate("plate_images_total", "instance")}),
        Panel("Time in the stream", "From the upload until a worker begins.", "s", {
            f"{int(q * 100)} %": quantile(q, "plate_stage_seconds", labels='stage="queue"')
            for q in (0.5, 0.99)}),
        Panel("Mean time of each stage", "Of one image; inference and corners: of one forward "
              "pass.", "s", {"{{stage}}": "{} / {}".format(*(
                  rate(f"plate_stage_seconds_{part}", "stage", labels='stage!="queue"')
                  for part in ("sum", "count")))}),
        Panel("Images in flight", "Images that each worker holds.", "short",
              {"{{instance}}": chosen("plate_images_in_flight")}),
        Panel("Mean size of a batch", "Inputs in one forward pass of the detector.", "short", {
            "inputs": f"{rate('plate_batch_size_sum')} / {rate('plate_batch_size_count')}"}),
        Panel("Redeliveries and dead letters", "Redeliveries follow when a worker ends; dead "
              "letters need an operator.", "short", {
                  "redeliveries": rate("plate_redeliveries_total"),
                  "dead letters: {{reason}}": rate("plate_dead_letters_total", "reason")}),
        Panel("Plates and reviews", "Covered plates, results that a person should check, and "
              "corrections.", "short", {
                  "plates": rate("plate_plates_covered_total"),
                  "results that need review": rate("plate_results_needing_review_total"),
                  "accepted by a person": rate("plate_results_accepted_total"),
                  "corrections: {{outcome}}": rate("plate_corrections_total", "outcome")}),
        *process_panels(WORKER),
    ],
    "Dispatcher": [
        Panel("Webhooks due", "Webhooks that wait for an attempt or are in flight.", "short",
              {"{{kind}}": total("max", "plate_deliveries_due", "kind")}),
        Panel("Attempts of webhooks", "By outcome. `retry`: it will be repeated. `dead`: it was "
              "given up.", "short",
              {"{{kind}} {{outcome}}": rate("plate_deliveries_total", "kind", "outcome")},
              stacked=True),
        Panel("Time of an attempt", "How long the receiver takes.", "s", {
            f"{{{{kind}}}} {int(q * 100)} %": quantile(q, "plate_delivery_seconds", "kind")
            for q in (0.5, 0.99)}),
        Panel("Events", "Events read from the stream, by type.", "short",
              {"{{type}}": rate("plate_events_total", "type")}),
        Panel("Deleted files and expired tasks", "What the sweep deletes.", "short", {
            "files": rate("plate_swept_objects_total"),
            "expired tasks": rate("plate_expired_tasks_total")}),
        Panel("Repairs and failures of the sweep", "Repairs follow when Redis has lost something, "
              "or when an administrator has deleted it.", "short", {
                  "restored images": rate("plate_restored_images_total"),
                  "stranded entries": rate("plate_stranded_entries_total"),
                  "forgotten work": rate("plate_forgotten_work_total"),
                  "failed: {{exported_job}}": rate("plate_sweep_failures_total", "exported_job")}),
        *process_panels(DISPATCHER),
    ],
}  # fmt: skip
