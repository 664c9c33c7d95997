"""`python -m producer`: the HTTP side of the service."""

import asyncio
import signal
import sys
from collections.abc import Callable

import structlog
from aiohttp import web

from producer.app import create_runner, drain
from producer.settings import ProducerSettings
from schemas.logs import configure_logging
from schemas.redis_client import refuse_cluster
from schemas.settings import SettingsError

log = structlog.get_logger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT; 2 means that the settings or the address cannot be used."""
    try:
        settings = ProducerSettings.load()
        configure_logging(
            "producer",
            level=settings.log_level,
            log_format=settings.log_format,
            filenames=settings.log_filenames,
        )
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings))
    except (SettingsError, CannotListenError) as error:
        print(f"producer: {error}", file=sys.stderr)  # noqa: T201 - for who typed the command
        return 2
    return 0


class CannotListenError(Exception):
    """The address is taken or not ours."""


async def _serve(settings: ProducerSettings) -> None:
    stop = _stop_signal()
    await refuse_cluster(settings)
    runner = create_runner(settings)
    await runner.setup()
    try:
        await _listen(runner, settings)
        log.info("listening", host=settings.host, port=settings.port)
        await stop.wait()
        log.info("stopping")
        await drain(runner)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: ProducerSettings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise CannotListenError(f"cannot listen on {where}: {error.strerror}") from None


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not built for this platform
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
