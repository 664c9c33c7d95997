"""The connections of a command to Redis and storage, and its end if one of them fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cli.embedded import with_embedded_server
from cli.output import OperatorError, fail
from producer.settings import ProducerSettings
from schemas.logs import described
from schemas.redis.client import connect
from schemas.redis.keys import Keys
from schemas.settings.base import SettingsError
from schemas.storage.storage import Storage, StorageError


@dataclass(frozen=True)
class AdminContext:
    """Connections of one command."""

    settings: ProducerSettings
    redis: Redis
    keys: Keys
    storage: Storage


def run_connected(work: Callable[[AdminContext], Coroutine[Any, Any, None]]) -> None:
    """Run a command's work with its connections; whatever fails is one line and status 1."""

    async def run() -> None:
        async with _open_context() as context:
            await work(context)

    try:
        asyncio.run(run())
    except StorageError as error:
        fail(f"storage: {error}")
    except RedisError as error:
        fail(f"Redis refused a command: {described(error)}")
    except (SettingsError, OperatorError, OSError) as error:
        fail(str(error))


@asynccontextmanager
async def _open_context() -> AsyncIterator[AdminContext]:
    settings = with_embedded_server(ProducerSettings.load())
    async with connect(settings) as redis:
        try:
            yield AdminContext(
                settings, redis, Keys(settings.key_prefix), Storage.open(settings.storage_url)
            )
        except AuthenticationError as error:
            raise OperatorError(f"Redis at {settings.redis_place}: {error}") from None
        except (RedisConnectionError, RedisTimeoutError):
            # Never the address as it is: it may carry a password.
            raise OperatorError(f"Redis cannot be reached at {settings.redis_place}") from None
