"""`python -m consumer worker` and `python -m consumer dispatcher`."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from consumer.errors import ConsumerError
from consumer.monitor import serve_monitor
from consumer.settings import ConsumerSettings, DispatcherSettings, WorkerSettings
from schemas.logs import configure_logging
from schemas.settings import SettingsError

log = structlog.get_logger()

Run = Callable[[asyncio.Event], Awaitable[None]]
STUCK_AFTER_SECONDS = 30.0


def main() -> int:
    """Read the settings once, run the role until SIGTERM or SIGINT; 0 after a clean stop."""
    roles = {"worker": (WorkerSettings, worker), "dispatcher": (DispatcherSettings, dispatcher)}
    if len(sys.argv) != 2 or sys.argv[1] not in roles:
        return _complain("usage: python -m consumer worker|dispatcher")
    settings_class, role = roles[sys.argv[1]]
    try:
        settings = settings_class.load()
        configure_logging(sys.argv[1], level=settings.log_level, log_format=settings.log_format)
        uvloop.run(role(settings))
    except (SettingsError, ConsumerError, OSError) as error:
        return _complain(str(error))
    return 0


async def worker(settings: WorkerSettings) -> None:
    """Run a worker and its monitor."""
    # Imported here: the dispatcher needs neither torch nor OpenCV.
    from consumer.metrics import WorkerMetrics
    from consumer.worker import run_worker

    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)

    def healthy() -> bool:
        return metrics.seconds_since_beat < STUCK_AFTER_SECONDS

    async with serve_monitor(registry, settings.metrics_port, healthy):
        await run_worker(settings, metrics, _stop_on_signal())


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _complain(line: str) -> int:
    print(f"plate-detect: {line}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
