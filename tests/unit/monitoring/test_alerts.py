"""Each alert fires at its fault, not before and not otherwise: Prometheus itself decides."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.programs import needed_program
from tests.support.prometheus import MONITORING
from tests.support.promql import RULES, rules
from tests.unit.monitoring.series import (
    END_MINUTE,
    FAULT_MINUTE,
    GIB,
    Series,
    becomes,
    begins,
    changed,
    counts,
    healthy,
    idle,
    stops,
    without,
)

GOOD = healthy()
UPLOADED = {"kind": "upload", "outcome": "delivered"}
REFUSED = {"kind": "upload", "outcome": "retry"}


@dataclass(frozen=True)
class Fault:
    """A fault that begins at minute 30, and the one alert that it causes.

    The alert fires at minute `by` and not yet at minute `before`.
    """

    series: Series
    before: int
    by: int


def fault(
    before: int,
    by: int,
    metric: str,
    values: str,
    labels: dict[str, str] | None = None,
    base: Series = GOOD,
) -> Fault:
    return Fault(changed(base, metric, values, **(labels or {})), before, by)


FAULTS: dict[str, Fault] = {
    "PlateNoProducer": Fault(without("producer"), 32, 34),
    "PlateNoWorker": Fault(without("worker"), 34, 36),
    "PlateNoDispatcher": Fault(without("dispatcher"), 34, 36),
    "PlateUnhealthy": fault(
        34, 36, "plate_health_problems", becomes(0, 1), {"instance": "dispatcher-0"}
    ),
    "PlateNoProgress": fault(
        40, 46, "plate_images_total", stops(200), {"outcome": "covered"}
    ),
    "PlateBacklogOld": fault(34, 36, "plate_backlog_age_seconds", becomes(4, 1000)),
    "PlateRequestsFailing": fault(
        39, 46, "plate_http_requests_total", begins(20), {"route": "/api/v1/process-task/",
                                                          "status": "503"},
    ),
    "PlateImagesFailing": fault(
        39, 50, "plate_images_total", begins(20), {"outcome": "internal_error"}
    ),
    "PlateImagesRefused": fault(
        59, 85, "plate_images_total", begins(200), {"outcome": "corrupt_image"}
    ),
    "PlateDeadLetters": fault(
        30, 32, "plate_dead_letters_total", begins(1, 1),
        {"instance": "worker-0", "reason": "too_many_deliveries"},
    ),
    "PlateWebhooksFailing": fault(
        39, 75, "plate_deliveries_total", begins(50), REFUSED,
        base=changed(GOOD, "plate_deliveries_total", stops(50), **UPLOADED),
    ),
    "PlateWebhooksFailing, though attempts are rare": fault(
        39, 75, "plate_deliveries_total", counts(0), REFUSED,
        base=changed(GOOD, "plate_deliveries_total", stops(50), **UPLOADED),
    ),
    "PlateWebhooksGivenUp": fault(
        30, 32, "plate_deliveries_total", begins(1, 1), {"kind": "callback", "outcome": "dead"}
    ),
    "PlateSweepFailing": fault(59, 62, "plate_sweep_failures_total", begins(1)),
    "PlateStorageFilling": fault(
        34, 36, "plate_storage_free_bytes", becomes(400 * GIB, 90 * GIB)
    ),
    "PlateRedisMemory": fault(
        34, 36, "plate_redis_memory_used_bytes", becomes(GIB / 4, GIB * 0.9)
    ),
    "PlateProcessMemory": fault(
        39, 41, "process_resident_memory_bytes", becomes(GIB, GIB * 1.9),
        {"instance": "worker-1"},
    ),
}  # fmt: skip

CALM: dict[str, Series] = {
    "healthy": GOOD,
    "at night, workers scaled to zero": idle(),
    "Redis is away for two minutes": changed(
        changed(GOOD, "plate_health_problems", becomes(0, 1, 2)),
        "plate_http_requests_total", begins(100, 2), status="503",
    ),
    "producers start again": without("producer", minutes=2),
    "workers start again": without("worker", minutes=2),
    "the dispatcher starts again": without("dispatcher", minutes=2),
    "results in a bucket": changed(
        changed(GOOD, "plate_storage_free_bytes", "NaN+0x90"),
        "plate_storage_size_bytes", "NaN+0x90",
    ),
}  # fmt: skip

# The sick service beside a healthy one, each with a namespace: what the healthy one has, workers or
# images that are finished, does not hide what the sick one lacks.
BESIDE = {
    "PlateNoWorker": without("worker", healthy("sick")),
    "PlateNoDispatcher": without("dispatcher", healthy("sick")),
    "PlateNoProgress": changed(
        healthy("sick"), "plate_images_total", stops(200), outcome="covered"
    ),
}


def expectation(minute: int, alerts: Iterable[str], *, ever: bool = False) -> dict[str, Any]:
    """Expect exactly these alerts to fire at a minute, or to have fired at any minute until it."""
    selected = 'ALERTS{alertstate="firing"}'
    if ever:
        selected = f"max_over_time({selected}[{minute}m])"
    return {
        "expr": f"group by (alertname) ({selected})",
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts],
    }


def unit_test(name: str, series: Series, *expectations: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": list(expectations),
    }


def promtool(folder: Path, tests: list[dict[str, Any]], path_of_rules: Path = RULES) -> str:
    """Run unit tests of the rules; return what fails, nothing if all pass."""
    path = folder / "tests.yml"
    path.write_text(
        yaml.safe_dump(
            {"rule_files": [str(path_of_rules)], "evaluation_interval": "1m", "tests": tests}
        )
    )
    done = subprocess.run(
        [needed_program("promtool"), "test", "rules", str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr


def alert_of(case: str) -> str:
    return case.partition(",")[0]


def fault_tests() -> list[dict[str, Any]]:
    return [
        unit_test(
            case, it.series,
            expectation(FAULT_MINUTE - 1, []),
            expectation(it.before, []),
            expectation(it.by, [alert_of(case)]),
        )
        for case, it in FAULTS.items()
    ]  # fmt: skip


def test_each_fault_causes_its_alert_and_no_other(tmp_path: Path) -> None:
    assert promtool(tmp_path, fault_tests()) == ""


def test_a_service_that_works_causes_no_alert(tmp_path: Path) -> None:
    tests = [
        unit_test(case, series, expectation(END_MINUTE, [], ever=True))
        for case, series in CALM.items()
    ]
    assert promtool(tmp_path, tests) == ""


def test_a_healthy_service_does_not_hide_a_sick_one(tmp_path: Path) -> None:
    tests = [
        unit_test(alert, series | healthy("well"), expectation(50, [alert]))
        for alert, series in BESIDE.items()
    ]
    assert promtool(tmp_path, tests) == ""


def test_each_alert_is_tested() -> None:
    assert {rule["alert"] for rule in rules()} == {alert_of(case) for case in FAULTS}


def test_the_tests_of_faults_fail_without_the_alerts(tmp_path: Path) -> None:
    no_rules = tmp_path / "rules.yml"
    no_rules.write_text(yaml.safe_dump({"groups": [{"name": "plate-detect", "rules": []}]}))
    failures = promtool(tmp_path, fault_tests(), no_rules)
    assert failures.count("got: nil") == len(FAULTS)


def test_each_alert_names_what_to_do() -> None:
    readme = (MONITORING / "README.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("### ") for line in readme.splitlines() if line[:4] == "### "]
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        link = f"deploy/monitoring/README.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook"] == link
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize(
    "arguments", [["check", "rules", "rules.yml"], ["check", "config", "prometheus.yml"]]
)
def test_prometheus_accepts_the_file(arguments: list[str]) -> None:
    done = subprocess.run(
        [needed_program("promtool"), *arguments], cwd=MONITORING,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
