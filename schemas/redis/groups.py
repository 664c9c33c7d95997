"""Consumer groups of the streams."""

from redis.asyncio import Redis

from schemas.redis import scripts


async def ensure_group(redis: Redis, stream: str, group: str) -> None:
    """Create stream and group if missing; at `0`, since `$` would skip what waits there.

    A script, since a full server refuses the command itself, even for a group that exists.
    """
    await redis.register_script(scripts.source("ensure_group"))(keys=[stream], args=[group])
