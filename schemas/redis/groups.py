"""Consumer groups of the streams, and the names of their members."""

import os
import secrets
import socket

from redis.asyncio import Redis

from schemas.redis import scripts


async def ensure_group(redis: Redis, stream: str, group: str) -> None:
    """Create stream and group if missing; at `0`, since `$` would skip what waits there.

    A script, since a full server refuses the command itself, even for a group that exists.
    """
    await redis.register_script(scripts.source("ensure_group"))(keys=[stream], args=[group])


def consumer_name() -> str:
    """Return a new name: a restarted process must not inherit entries that it does not hold."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
