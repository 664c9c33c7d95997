"""The Redis server: whether it can be reached, what it is, and whether it forgets."""

import time
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from cli.doctor.findings import Finding, Installation, ok, problem, skipped, warning
from cli.embedded import with_embedded_server
from cli.output import OperatorError
from schemas.logs import described, is_of_cluster
from schemas.redis.client import connect
from schemas.redis.cluster import NoClusterError
from schemas.redis.keys import Keys

OLDEST = (7, 0)
_ALMOST_FULL = 0.9
_CLOCK_SECONDS = 30
_RIGHTS = "give the user the rights that docs/operating.md lists (TLS and an own user)"


async def check_redis(installation: Installation) -> AsyncIterator[Finding]:
    """Check the server that the settings name, or the embedded one of this folder."""
    try:
        settings = with_embedded_server(installation.producer)
    except OperatorError as error:
        yield problem(str(error), "start `plate-detect run` in this folder")
        return
    place = settings.redis_place
    async with connect(settings) as redis:
        try:
            await redis.xlen(Keys(settings.key_prefix).images)
        except RedisError as error:
            yield _not_usable(error, place)
            return
        except OSError as error:
            yield problem(f"{place} cannot be reached: {described(error)}", _REACH)
            return
        try:
            info: dict[str, Any] = await redis.info()
        except NoPermissionError:
            yield ok(f"{place} responds")
            yield skipped("the user may not run INFO: version, persistence, memory")
        else:
            for finding in _about(info, place):
                yield finding
        async for finding in _configuration(redis):
            yield finding
        yield _clock(await redis.time())


_REACH = "start the server, or set REDIS_HOST or REDIS_URL; `plate-detect run` starts its own"


def _not_usable(error: RedisError, place: str) -> Finding:
    if is_of_cluster(error):
        return problem(described(error), "name some of its nodes in REDIS_CLUSTER_NODES")
    if isinstance(error, NoClusterError):
        return problem(str(error), "remove REDIS_CLUSTER_NODES, and set REDIS_URL or REDIS_HOST")
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return problem(
            f"{place}: {error}", "set REDIS_PASSWORD, and REDIS_USERNAME if it needs one"
        )
    if isinstance(error, NoPermissionError):
        return problem(f"{place}: {error}", _RIGHTS)
    if isinstance(error, ResponseError):
        return problem(f"{place} refuses a command: {error}", "use Redis 7.0 or newer, or Valkey")
    # Not its text, which may quote an address.
    return problem(f"{place} cannot be reached: {type(error).__name__}", _REACH)


def _about(info: dict[str, Any], place: str) -> list[Finding]:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version", "?"))
    compatible = str(info.get("redis_version", version)).split(".")[:2]
    is_new = tuple(int(part) for part in compatible if part.isdigit()) >= OLDEST
    server = f"{name} {version} at {place}"
    found = [ok(server) if is_new else problem(f"{server} is too old", "use Redis 7.0 or newer")]
    if info.get("role") == "slave":
        mend = "name the primary, or set REDIS_SENTINELS"
        found.append(problem("it is a replica, which takes no writes", mend))
    if info.get("loading"):
        found.append(warning("it is still loading its data", "wait"))
    if not info.get("aof_enabled"):
        found.append(warning(
            "persistence: appendonly is off, so a restart loses accepted tasks",
            "`appendonly yes` in its configuration",
        ))  # fmt: skip
    elif info.get("aof_last_write_status") != "ok":
        found.append(problem("persistence: its last write failed", "make room on its disk"))
    else:
        found.append(ok("persistence: append-only file"))
    return [*found, *_memory(info)]


def _memory(info: dict[str, Any]) -> list[Finding]:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    policy = str(info.get("maxmemory_policy", "?"))
    found = []
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: a full server forgets tasks"
        kind = problem if limit else warning
        found.append(kind(text, "`maxmemory-policy noeviction` in its configuration"))
    of_limit = f"{used >> 20} of {limit >> 20} MiB" if limit else f"{used >> 20} MiB, no limit"
    if limit and used > _ALMOST_FULL * limit:
        text = f"memory: {of_limit}; a full server refuses new tasks (503)"
        found.append(warning(text, "raise `maxmemory`, or start more workers"))
    else:
        found.append(ok(f"memory: {of_limit}, {policy}"))
    return found


async def _configuration(redis: Redis) -> AsyncIterator[Finding]:
    try:
        reply: dict[Any, Any] = await redis.config_get("appendfsync")
    except ResponseError:  # no right, or a managed server without the command
        yield skipped("the user may not run CONFIG: appendfsync")
        return
    value = reply.get("appendfsync", "?")
    if value == "always":
        yield ok("appendfsync always")
    else:
        yield warning(
            f"appendfsync is {value}: a power failure may lose the tasks accepted last",
            "`appendfsync always` in its configuration",
        )


def _clock(server: tuple[int, int]) -> Finding:
    apart = abs(time.time() - server[0])
    if apart <= _CLOCK_SECONDS:
        return ok("its clock agrees with this machine's")
    return warning(
        f"its clock and this machine's are {apart:.0f} s apart: receivers may refuse webhooks",
        "synchronize both clocks (NTP)",
    )
