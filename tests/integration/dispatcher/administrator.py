"""Commands that an administrator may type, which strand entries of a stream's group."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.integration.dispatcher.conftest import World

FAR = "9999999999999-0"
"""An id that the clock reaches in the year 2286."""

Command = Callable[[World, str, str], Awaitable[Any]]


async def delete_consumer(world: World, stream: str, group: str) -> None:
    await world.redis.xgroup_delconsumer(stream, group, "ghost")


async def acknowledge(world: World, stream: str, group: str) -> None:
    rows = await world.redis.xrange(stream)
    await world.redis.xack(stream, group, *[entry for entry, _ in rows])


async def set_id_forward(world: World, stream: str, group: str) -> None:
    await world.redis.xgroup_setid(stream, group, "$")


async def set_id_far_forward(world: World, stream: str, group: str) -> None:
    await world.redis.xgroup_setid(stream, group, FAR)


async def set_id_back(world: World, stream: str, group: str) -> None:
    await world.redis.xgroup_setid(stream, group, "0")


async def claim_with_last_id(world: World, stream: str, group: str) -> None:
    [(entry, _), *_] = await world.redis.xrange(stream)
    await world.redis.execute_command(
        "XCLAIM", stream, group, "foreign", 0, entry, "LASTID", FAR, "JUSTID", parse_justid=True
    )


async def make_group_at_the_end(world: World, stream: str, group: str) -> None:
    await world.redis.xgroup_destroy(stream, group)
    await world.redis.xgroup_create(stream, group, "$")


async def destroy_group(world: World, stream: str, group: str) -> None:
    await world.redis.xgroup_destroy(stream, group)
    await world.redis.xgroup_create(stream, group, "0")


COMMANDS = [
    delete_consumer, acknowledge, set_id_forward, set_id_far_forward, set_id_back,
    claim_with_last_id, make_group_at_the_end, destroy_group,
]  # fmt: skip
