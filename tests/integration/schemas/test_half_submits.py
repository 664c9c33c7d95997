"""A submit that fails half-way leaves nothing, so a repeated submit never finds half a task."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import SubmitResult
from schemas.redis.task_store import Binding, EarlierUse, KeyBusyError, TaskStore
from tests.integration.schemas.steps import KEYS, TTL_MS, messages, take

pytestmark = pytest.mark.integration

LAST_ID = 2**64 - 1
Restricted = Callable[..., AbstractAsyncContextManager[TaskStore]]


@pytest.fixture
def restricted(redis: Redis, redis_server: str) -> Restricted:
    """A task store for a user without the rights to some commands."""

    @asynccontextmanager
    async def user_without(*commands: str) -> AsyncIterator[TaskStore]:
        name = f"user-{secrets.token_hex(4)}"
        rules = ["on", ">password", "~*", "&*", "+@all", *(f"-{command}" for command in commands)]
        await redis.execute_command("ACL", "SETUSER", name, *rules)
        try:
            async with Redis.from_url(redis_server, username=name, password="password") as client:
                yield TaskStore(client, KEYS, task_ttl_ms=TTL_MS)
        finally:
            await redis.execute_command("ACL", "DELUSER", name)

    return user_without


async def leftovers(redis: Redis) -> dict[str, Any]:
    return {
        "hash": await redis.exists(KEYS.task("t1")),
        "open": await redis.zcard(KEYS.open_tasks),
        "tasks queued": [fields[b"task_id"] for _, fields in await redis.xrange(KEYS.images)
                         if b"task_id" in fields],
    }  # fmt: skip


NOTHING: dict[str, Any] = {"hash": 0, "open": 0, "tasks queued": []}


@pytest.mark.parametrize("missing", ["xadd", "hset", "zadd", "pexpire"])
async def test_submit_without_a_right_leaves_nothing(
    redis: Redis, store: TaskStore, restricted: Restricted, missing: str
) -> None:
    await store.reserve("k", "one", lease_ms=60_000)
    binding = Binding("k", "one", "d")
    async with restricted(missing) as weak:
        for _ in range(2):
            with pytest.raises(ResponseError, match=r"permission|can't run"):
                await weak.submit("t1", messages("t1", 3), max_backlog=9, binding=binding)
            assert await leftovers(redis) == NOTHING
    with pytest.raises(KeyBusyError):
        await store.reserve("k", "two", lease_ms=60_000)
    outcome = await store.submit("t1", messages("t1", 3), max_backlog=9, binding=binding)
    assert outcome is SubmitResult.ACCEPTED
    assert await store.reserve("k", "two", lease_ms=60_000) == EarlierUse("t1", "d")
    assert [message for _, message in await take(redis)] == messages("t1", 3)


@pytest.mark.parametrize("ids_left", [0, 2])
async def test_stream_that_runs_out_of_ids_takes_no_part_of_a_task(
    redis: Redis, store: TaskStore, ids_left: int
) -> None:
    await redis.xadd(KEYS.images, {"a": "b"}, id=f"{LAST_ID}-{LAST_ID - ids_left}")
    for _ in range(2):
        with pytest.raises(ResponseError):
            await store.submit("t1", messages("t1", 3), max_backlog=9)
        assert await leftovers(redis) == NOTHING
    await redis.delete(KEYS.images)
    await redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    assert await store.submit("t1", messages("t1", 3), max_backlog=9) is SubmitResult.ACCEPTED
    assert await store.submit("t1", messages("t1", 3), max_backlog=9) is SubmitResult.EXISTS
    assert await store.backlog() == 3
