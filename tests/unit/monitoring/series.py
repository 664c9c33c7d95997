"""Made-up series of a service for tests of the alerts: 90 minutes, with a fault from minute 30 on.

Values are in the notation of `promtool test rules`: `0+6x60` is 0, 6, 12, … in 61 samples.
"""

from consumer.metrics import DEAD_LETTER_REASONS, OUTCOMES

FAULT_MINUTE = 30
END_MINUTE = 90
_AFTER = END_MINUTE - FAULT_MINUTE

Series = dict[str, str]

GIB = 1 << 30


def steady(value: float) -> str:
    """Return a gauge that does not change."""
    return f"{value:.0f}+0x{END_MINUTE}"


def becomes(before: float, after: float, minutes: int = _AFTER) -> str:
    """Return a gauge that changes at the fault, and changes back after some minutes."""
    rest = f" {before:.0f}+0x{_AFTER - minutes}" if minutes < _AFTER else ""
    return f"{before:.0f}+0x{FAULT_MINUTE - 1} {after:.0f}+0x{minutes}{rest}"


def vanishes(values: str, minutes: int = _AFTER) -> str:
    """Return a series whose process ends at the fault and starts again after some minutes."""
    first, step = values.partition("x")[0].split("+")
    rest = f" _x{minutes} {first}+{step}x{_AFTER - minutes}" if minutes < _AFTER else ""
    return f"{first}+{step}x{FAULT_MINUTE - 1} stale{rest}"


def counts(per_minute: float) -> str:
    """Return a counter that always rises."""
    return f"0+{per_minute:g}x{END_MINUTE}"


def stops(per_minute: float) -> str:
    """Return a counter that rises until the fault."""
    total = per_minute * (FAULT_MINUTE - 1)
    return f"0+{per_minute:g}x{FAULT_MINUTE - 1} {total:g}+0x{_AFTER}"


def begins(per_minute: float, minutes: int = _AFTER) -> str:
    """Return a counter that rises from the fault on, for some minutes."""
    total = per_minute * minutes
    rest = f" {total:g}+0x{_AFTER - minutes}" if minutes < _AFTER else ""
    return f"0+0x{FAULT_MINUTE - 1} 0+{per_minute:g}x{minutes}{rest}"


def name(metric: str, **labels: str) -> str:
    """Return a series' name with labels in the order of the alphabet; empty ones are left out."""
    pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if value)
    return f"{metric}{{{pairs}}}"


def healthy(namespace: str = "") -> Series:
    """Return the series of two producers, two workers and a dispatcher under load."""
    found: Series = {}
    for role, count in (("producer", 2), ("worker", 2), ("dispatcher", 1)):
        for number in range(count):
            target = target_of(role, number, namespace)
            found |= {
                name("plate_health_problems", **target): steady(0),
                name("process_resident_memory_bytes", **target): steady(GIB),
                name("plate_memory_limit_bytes", **target): steady(2 * GIB),
            }
            found |= {name(metric, **(target | labels)): values
                      for metric, labels, values in _OF_ROLE[role]}  # fmt: skip
    return found


def idle() -> Series:
    """Return the series at night: no request, no image, and no worker."""
    zeros = ("plate_backlog_images", "plate_open_tasks", "plate_deliveries_due")
    return {
        key: steady(0) if key.startswith(zeros) or "_total{" in key else values
        for key, values in healthy().items()
        if 'job="plate-detect-worker"' not in key
    }


def target_of(role: str, number: int = 0, namespace: str = "") -> dict[str, str]:
    """Return the labels that Prometheus adds to the series of a process."""
    return {"job": f"plate-detect-{role}", "instance": f"{role}-{number}", "namespace": namespace}


def changed(series: Series, metric: str, values: str, **labels: str) -> Series:
    """Return the series with new values for those of a metric that have these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    found = [
        key for key in series
        if key.startswith(f"{metric}{{") and all(one in key for one in wanted)
    ]  # fmt: skip
    assert found, f"no series of {metric} with {wanted}"
    return series | dict.fromkeys(found, values)


def without(role: str, series: Series | None = None, minutes: int = _AFTER) -> Series:
    """Return the series with all processes of a role ended at the fault, for some minutes."""
    job = f'job="plate-detect-{role}"'
    return {
        key: vanishes(values, minutes) if job in key else values
        for key, values in (healthy() if series is None else series).items()
    }


_UPLOAD = "/api/v1/process-task/"
_OF_ROLE: dict[str, list[tuple[str, dict[str, str], str]]] = {
    "producer": [
        ("plate_open_tasks", {}, steady(3)),
        ("plate_backlog_images", {}, steady(12)),
        ("plate_backlog_age_seconds", {}, steady(4)),
        ("plate_storage_free_bytes", {}, steady(400 * GIB)),
        ("plate_storage_size_bytes", {}, steady(1000 * GIB)),
        ("plate_redis_memory_used_bytes", {}, steady(GIB / 4)),
        ("plate_redis_memory_limit_bytes", {}, steady(GIB)),
        ("plate_http_requests_total", {"route": _UPLOAD, "status": "202"}, counts(100)),
        ("plate_http_requests_total", {"route": _UPLOAD, "status": "503"}, counts(1)),
        ("plate_http_requests_total", {"route": "/ready", "status": "503"}, counts(60)),
    ],
    "worker": [
        ("plate_backlog_images", {}, steady(12)),
        ("plate_images_in_flight", {}, steady(4)),
        *(
            ("plate_images_total", {"outcome": str(outcome)}, counts(0))
            for outcome in OUTCOMES if outcome != "covered"
        ),
        ("plate_images_total", {"outcome": "covered"}, counts(200)),
        *(
            ("plate_dead_letters_total", {"reason": str(reason)}, counts(0))
            for reason in DEAD_LETTER_REASONS
        ),
    ],
    "dispatcher": [
        ("plate_expired_tasks_total", {}, counts(0)),
        ("plate_sweep_failures_total", {"exported_job": "expire"}, counts(0)),
        *(
            item
            for kind in ("upload", "callback")
            for item in (
                ("plate_deliveries_due", {"kind": kind}, steady(2)),
                ("plate_deliveries_total", {"kind": kind, "outcome": "delivered"}, counts(50)),
                ("plate_deliveries_total", {"kind": kind, "outcome": "retry"}, counts(5)),
                ("plate_deliveries_total", {"kind": kind, "outcome": "dead"}, counts(0)),
            )
        ),
    ],
}  # fmt: skip
