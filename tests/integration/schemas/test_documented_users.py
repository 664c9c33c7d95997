"""Accepted tasks survive a restart of a server with the documented users."""

from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from schemas.redis.results import SubmitResult
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, TTL_MS, messages
from tests.support.access import PASSWORD, USER, documented_rules
from tests.support.redis_server import RedisServer, server_binaries

pytestmark = pytest.mark.integration


class GuardedServer(RedisServer):
    """A server where only the documented user may log in."""

    @property
    def url(self) -> str:
        return f"redis://{USER}:{PASSWORD}@127.0.0.1:{self.port}/0"


@pytest.mark.parametrize("kind", sorted(server_binaries()))
async def test_an_accepted_task_survives_a_restart(kind: str, tmp_path: Path) -> None:
    rules = [word for rule in documented_rules().values() for word in ("--user", *rule)]
    server = GuardedServer(server_binaries()[kind], tmp_path, *rules)
    server.start()
    try:
        async with Redis.from_url(server.url) as redis:
            store = TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)
            accepted = await store.submit("t1", messages("t1", 2), max_backlog=10)
            assert accepted is SubmitResult.ACCEPTED
        server.kill()
        server.start()
        async with Redis.from_url(server.url) as redis:
            state = await TaskStore(redis, KEYS, task_ttl_ms=TTL_MS).state("t1")
            assert state is not None
            assert await redis.xlen(KEYS.images) == 2
        async with Redis.from_url(f"redis://127.0.0.1:{server.port}/0") as default_user:
            with pytest.raises((AuthenticationError, NoPermissionError)):
                await default_user.ping()
    finally:
        server.stop()
