"""`python -m producer`: the HTTP side of the service."""

import asyncio
import signal
import sys

import structlog

from producer.app import create_runner, drain, listen
from producer.settings import ProducerSettings
from schemas import tracing
from schemas.listening import bound_sockets
from schemas.process import begin, run
from schemas.redis.client import check_kind
from schemas.settings.addresses import in_url
from schemas.settings.base import SettingsError

log = structlog.get_logger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT; 2 means that the settings or the address cannot be used."""
    try:
        settings = ProducerSettings.load()
        begin("producer", settings)
        run(_serve(settings))
    except SettingsError as error:
        print(f"producer: {error}", file=sys.stderr)  # noqa: T201 - read by the operator
        return 2
    finally:
        tracing.end()
    return 0


async def _serve(settings: ProducerSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await check_kind(settings)
    runner = create_runner(settings)
    await runner.setup()
    try:
        try:
            sockets = await asyncio.to_thread(bound_sockets, settings.host, settings.port)
            await listen(runner, sockets, settings)
        except OSError as error:
            where = f"{in_url(settings.host)}:{settings.port}"
            raise SettingsError(f"cannot listen on {where}: {error.strerror}") from None
        keys = len(settings.api_keys)  # 0: open to all
        log.info("listening", host=settings.host, port=settings.port, api_keys=keys)
        await stop.wait()
        log.info("stopping")
        await drain(runner)
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
