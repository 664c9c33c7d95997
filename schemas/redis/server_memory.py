"""How much memory the Redis server uses, and how much it may use."""

from typing import NamedTuple

from redis.asyncio import Redis


class ServerMemory(NamedTuple):
    """Memory of the server in bytes."""

    used: int
    limit: int


async def server_memory(redis: Redis) -> ServerMemory:
    """Return the memory of the server. Without `maxmemory` its limit is that of its machine.

    Raises:
        redis.exceptions.NoPermissionError: the user may not call INFO.
    """
    info = await redis.info("memory")
    return ServerMemory(info["used_memory"], info["maxmemory"] or info["total_system_memory"])
