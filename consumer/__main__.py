"""`python -m consumer worker` and `python -m consumer dispatcher`."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import structlog
from prometheus_client import CollectorRegistry

from consumer.errors import ConsumerError
from consumer.health import EXIT_STATUS, Health, guarded
from consumer.monitor import serve_monitor
from consumer.settings import ConsumerSettings, DispatcherSettings, WorkerSettings
from consumer.shutdown import leave, stopping
from schemas import process, tracing
from schemas.redis.client import check_kind
from schemas.settings.base import SettingsError

if TYPE_CHECKING:
    from consumer.vision.networks import Networks

log = structlog.get_logger()


async def worker(settings: WorkerSettings, networks: "Networks | None" = None) -> None:
    """Run a worker and its monitor; `networks` are used in place of the settings' models."""
    # Imported here: the dispatcher needs neither OpenVINO nor OpenCV.
    from consumer.host import keep_large_blocks
    from consumer.metrics import WorkerMetrics
    from consumer.worker.process import run_worker

    keep_large_blocks()
    registry, health = CollectorRegistry(), Health()
    async with _observed("worker", settings, registry, health) as stop:
        await run_worker(settings, WorkerMetrics(registry), health, stop, networks)


RunWorker = Callable[[WorkerSettings], Coroutine[object, object, None]]


def main(run_worker: RunWorker = worker) -> int:
    """Read the settings, run the role until SIGTERM or SIGINT; return 0 after a clean stop."""
    role = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        match role:
            case "worker":
                process.run(run_worker(WorkerSettings.load()))
            case "dispatcher":
                # Not on uvloop: see ResponseKeepingSocket.
                asyncio.run(dispatcher(DispatcherSettings.load()))
            case _:
                return _report("usage: python -m consumer worker|dispatcher")
    except (SettingsError, ConsumerError, OSError) as error:
        return _report(str(error))
    except BaseExceptionGroup as group:
        # From the sibling loops; a defect keeps its traceback.
        known, unknown = group.split(ConsumerError)
        if known is None or unknown is not None:
            raise
        log.critical("ended", reasons=list(_reasons(known)))
        return EXIT_STATUS
    finally:
        tracing.end()
    return 0


def _reasons(error: BaseException) -> Iterator[str]:
    if not isinstance(error, BaseExceptionGroup):
        yield str(error)
        return
    for one in error.exceptions:
        yield from _reasons(one)


async def dispatcher(settings: DispatcherSettings) -> None:
    """Run a dispatcher and its monitor."""
    from consumer.dispatcher.process import run_dispatcher
    from consumer.metrics import DispatcherMetrics

    registry, health = CollectorRegistry(), Health()
    async with _observed("dispatcher", settings, registry, health) as stop:
        await run_dispatcher(settings, DispatcherMetrics(registry), health, stop)


@asynccontextmanager
async def _observed(
    role: str, settings: ConsumerSettings, registry: CollectorRegistry, health: Health
) -> AsyncIterator[asyncio.Event]:
    """Serve the health of the process, and end it if it hangs; yield the event that a stop sets."""
    process.begin(role, settings)
    await check_kind(settings)
    stop = asyncio.Event()
    async with (
        guarded(health),
        stopping(health, settings.drain_seconds) as begin_stop,
        serve_monitor(registry, settings.metrics_port, health),
    ):

        def on_signal() -> None:
            begin_stop()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        yield stop


def _report(line: str) -> int:
    print(f"plate-detect: {line}", file=sys.stderr)  # noqa: T201 - before logging is set up
    return 2


def run(run_worker: RunWorker = worker) -> NoReturn:
    """Run `main` as a process; report a defect as Python does, but without its wait for threads."""
    try:
        status = main(run_worker)
    except Exception:  # noqa: BLE001 - whatever it was, a thread that hangs must not keep it here
        sys.excepthook(*sys.exc_info())
        status = 1
    leave(status)


if __name__ == "__main__":
    run()
