"""Scripts that share round trips: each call gets its own result or error."""

import asyncio
import traceback
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from schemas.redis.script_pipeliner import ScriptPipeliner
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration
ECHO = "redis.call('INCR', KEYS[1]); return ARGV[1]"
FAIL = "return redis.error_reply('NOPE ' .. ARGV[1])"


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server) as client:
        await client.script_flush()
        yield client


async def reads(redis: Redis) -> int:
    return int((await redis.info("stats"))["total_reads_processed"])


async def echoes(pipeliner: ScriptPipeliner, echo: AsyncScript, count: int) -> list[bytes]:
    return await asyncio.gather(*(pipeliner.run(echo, ["calls"], [n]) for n in range(count)))


async def test_many_calls_share_round_trips(redis: Redis) -> None:
    pipeliner, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
    assert await echoes(pipeliner, echo, 1) == [b"0"]
    before = await reads(redis)
    assert await echoes(pipeliner, echo, 50) == [str(n).encode() for n in range(50)]
    # One for the calls, one for INFO, and a spare; separate calls would need 50.
    assert await reads(redis) - before <= 3
    assert await redis.get("calls") == b"51"


async def test_calls_during_a_round_trip_go_next(redis: Redis) -> None:
    pipeliner, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
    first = asyncio.create_task(echoes(pipeliner, echo, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await echoes(pipeliner, echo, 3) == [b"0", b"1", b"2"]
    assert await first == [b"0"]


async def test_missing_scripts_are_loaded(redis: Redis) -> None:
    pipeliner, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
    assert await echoes(pipeliner, echo, 5) == [b"0", b"1", b"2", b"3", b"4"]
    assert await redis.get("calls") == b"5"


async def test_an_error_is_raised_to_its_own_caller_only(redis: Redis) -> None:
    pipeliner = ScriptPipeliner(redis)
    echo, fail = redis.register_script(ECHO), redis.register_script(FAIL)
    results = await asyncio.gather(
        pipeliner.run(echo, ["calls"], ["a"]),
        pipeliner.run(fail, [], ["this"]),
        pipeliner.run(echo, ["calls"], ["b"]),
        return_exceptions=True,
    )
    assert results[0] == b"a"
    assert results[2] == b"b"
    assert isinstance(results[1], ResponseError)
    assert "NOPE this" in str(results[1])


async def test_a_cancelled_call_is_not_sent(redis: Redis) -> None:
    pipeliner, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
    cancelled = asyncio.create_task(pipeliner.run(echo, ["calls"], ["x"]))
    kept = asyncio.create_task(pipeliner.run(echo, ["calls"], ["y"]))
    asyncio.get_running_loop().call_soon(cancelled.cancel)
    assert await kept == b"y"
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await redis.get("calls") == b"1"


async def test_a_lost_server_is_raised_to_all_callers(
    own_redis: RedisServer,
) -> None:
    retry = Retry(NoBackoff(), 0)
    async with Redis.from_url(own_redis.url, retry=retry, socket_timeout=5) as redis:
        pipeliner, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
        assert await echoes(pipeliner, echo, 2) == [b"0", b"1"]
        own_redis.kill()
        lost = await asyncio.gather(
            *(pipeliner.run(echo, ["calls"], [n]) for n in range(4)), return_exceptions=True
        )
        assert all(isinstance(error, (RedisConnectionError, OSError)) for error in lost), lost
        assert len({id(error) for error in lost}) == 4, "each caller needs its own exception"
        assert len({str(error) for error in lost}) == 1
        own_redis.start()
        assert await echoes(pipeliner, echo, 4) == [b"0", b"1", b"2", b"3"]


async def test_tracebacks_of_callers_are_separate(own_redis: RedisServer) -> None:
    retry = Retry(NoBackoff(), 0)
    async with Redis.from_url(own_redis.url, retry=retry, socket_timeout=5) as redis:
        pipeliner, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
        own_redis.kill()

        async def call(name: str) -> BaseException | None:
            try:
                await pipeliner.run(echo, [name], [1])
            except (RedisConnectionError, OSError) as error:
                try:
                    raise KeyError(name) from error
                except KeyError as mine:
                    return mine.__cause__
            return None

        errors = await asyncio.gather(*map(call, "abcd"))
    depths = [len(traceback.extract_tb(error.__traceback__)) for error in errors if error]
    assert depths == [depths[0]] * 4
    assert depths[0] <= 3
