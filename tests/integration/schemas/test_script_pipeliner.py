"""Scripts that share round trips, against a real server: each gets its own answer or error."""

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


async def echoes(bundle: ScriptPipeliner, echo: AsyncScript, count: int) -> list[bytes]:
    return await asyncio.gather(*(bundle.run(echo, ["calls"], [n]) for n in range(count)))


async def test_many_calls_share_round_trips_and_each_gets_its_answer(redis: Redis) -> None:
    bundle, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
    assert await echoes(bundle, echo, 1) == [b"0"]
    before = await reads(redis)
    assert await echoes(bundle, echo, 50) == [str(n).encode() for n in range(50)]
    # One for the calls, one for this look, and a spare: 50 calls alone would be 50.
    assert await reads(redis) - before <= 3
    assert await redis.get("calls") == b"51"


async def test_what_is_asked_meanwhile_goes_next(redis: Redis) -> None:
    bundle, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
    first = asyncio.create_task(echoes(bundle, echo, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await echoes(bundle, echo, 3) == [b"0", b"1", b"2"]
    assert await first == [b"0"]


async def test_a_server_without_the_scripts_is_taught_them(redis: Redis) -> None:
    bundle, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
    assert await echoes(bundle, echo, 5) == [b"0", b"1", b"2", b"3", b"4"]
    assert await redis.get("calls") == b"5"


async def test_an_error_is_only_its_own_callers(redis: Redis) -> None:
    bundle = ScriptPipeliner(redis)
    echo, fail = redis.register_script(ECHO), redis.register_script(FAIL)
    answers = await asyncio.gather(
        bundle.run(echo, ["calls"], ["a"]),
        bundle.run(fail, [], ["this"]),
        bundle.run(echo, ["calls"], ["b"]),
        return_exceptions=True,
    )
    assert answers[0] == b"a"
    assert answers[2] == b"b"
    assert isinstance(answers[1], ResponseError)
    assert "NOPE this" in str(answers[1])


async def test_a_call_that_was_given_up_is_not_sent(redis: Redis) -> None:
    bundle, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
    given_up = asyncio.create_task(bundle.run(echo, ["calls"], ["x"]))
    kept = asyncio.create_task(bundle.run(echo, ["calls"], ["y"]))
    asyncio.get_running_loop().call_soon(given_up.cancel)
    assert await kept == b"y"
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert await redis.get("calls") == b"1"


async def test_a_lost_server_is_everyones_error_and_the_next_calls_work(
    own_redis: RedisServer,
) -> None:
    retry = Retry(NoBackoff(), 0)
    async with Redis.from_url(own_redis.url, retry=retry, socket_timeout=5) as redis:
        bundle, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
        assert await echoes(bundle, echo, 2) == [b"0", b"1"]
        own_redis.kill()
        lost = await asyncio.gather(
            *(bundle.run(echo, ["calls"], [n]) for n in range(4)), return_exceptions=True
        )
        assert all(isinstance(error, (RedisConnectionError, OSError)) for error in lost), lost
        assert len({id(error) for error in lost}) == 4, "or each raise adds to all their tracebacks"
        assert len({str(error) for error in lost}) == 1
        own_redis.start()
        assert await echoes(bundle, echo, 4) == [b"0", b"1", b"2", b"3"]


async def test_raising_one_callers_error_leaves_the_others_alone(own_redis: RedisServer) -> None:
    retry = Retry(NoBackoff(), 0)
    async with Redis.from_url(own_redis.url, retry=retry, socket_timeout=5) as redis:
        bundle, echo = ScriptPipeliner(redis), redis.register_script(ECHO)
        own_redis.kill()

        async def call(name: str) -> BaseException | None:
            try:
                await bundle.run(echo, [name], [1])
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
