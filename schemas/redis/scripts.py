"""The atomic steps in `lua/`: each file has one call, which knows its keys, arguments and result.

Each step is safe to run twice. The steps of a task are methods of `TaskStore`, those of corrections
of `CorrectionStore`; all others are here.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from schemas.contract.events import Event
from schemas.redis.keys import DISPATCHER_GROUP, STRANDED_CONSUMER, WORKERS_GROUP, Keys

_INCLUDE = "--!include "


@cache
def source(name: str) -> str:
    """Return the text of a script with its includes; the shebang line stays first."""
    lines = []
    for line in (files("schemas.redis") / "lua" / f"{name}.lua").read_text().splitlines():
        included = line.removeprefix(_INCLUDE)
        lines.append(source(included) if included != line else line)
    return "\n".join(lines)


def register(redis: Redis, name: str) -> AsyncScript:
    """Return a script of `lua/` for calls with `keys` and `args`."""
    return redis.register_script(source(name))


async def ensure_group(redis: Redis, stream: str, group: str) -> None:
    """Create stream and group if missing; at `0`, since `$` would skip the entries that wait.

    A full server refuses the command XGROUP CREATE itself, even for a group that exists.
    """
    await register(redis, "ensure_group")(keys=[stream], args=[group])


class ClaimedDelivery(NamedTuple):
    """A webhook delivery as its claim found it. `attempts` counts the claimed attempt."""

    event_type: str
    task_id: str
    payload: bytes
    attempts: int
    age_ms: int
    traceparent: str


class Scripts:
    """The steps of webhook deliveries, stranded entries, consumer groups and job locks."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def deliver(
        self,
        entry: str,
        task_id: str,
        *,
        max_age_ms: int,
        ttl_ms: int,
        event: Event | None = None,
        delivery_ids: Mapping[str, str] | None = None,
        traceparent: str = "",
    ) -> int:
        """Mark an event as reported, create its deliveries and ack it.

        Args:
            delivery_ids: by kind; None for an event from which no delivery can be made.
            traceparent: the trace context that the deliveries continue.

        Returns:
            How many were created; -1 if the event is older than `max_age_ms`.
        """
        keys = [self._keys.events, self._keys.dead_deliveries, self._keys.task(task_id)]
        args: list[str | int] = [DISPATCHER_GROUP, entry, max_age_ms, ttl_ms]
        if event is not None:
            args += [event.event_id, event.type, event.task_id, event.payload, traceparent]
        for kind, delivery_id in (delivery_ids or {}).items():
            keys += [self._keys.due_deliveries(kind), self._keys.delivery(delivery_id)]
            args.append(delivery_id)
        return int(await self._run("deliver", keys, args))

    async def claim_delivery(
        self, kind: str, delivery_id: str, *, token: str, lease_ms: int
    ) -> ClaimedDelivery | None:
        """Claim a due delivery for one attempt; None if it is not due.

        Raises:
            ValueError: a field of its hash is missing.
            redis.exceptions.ResponseError: a number of its hash is missing.
        """
        keys = [self._keys.due_deliveries(kind), self._keys.delivery(delivery_id)]
        row = await self._run("claim_delivery", keys, [delivery_id, token, lease_ms])
        if row is None:
            return None
        if None in row:
            raise ValueError("a field is missing")
        event_type, task_id, payload, attempts, age_ms, traceparent = row
        return ClaimedDelivery(
            event_type.decode(), task_id.decode(), payload, attempts, age_ms, traceparent.decode()
        )

    async def settle_delivery(
        self, kind: str, delivery_id: str, *, token: str, state: str, status: str, delay_ms: int
    ) -> bool:
        """Record how an attempt ended; return False if a later attempt has begun."""
        keys = self._delivery_keys(kind, delivery_id)
        args = [delivery_id, token, state, status, delay_ms]
        return bool(await self._run("settle_delivery", keys, args) != "lost")

    async def replay_delivery(self, kind: str, delivery_id: str, task_id: str) -> str:
        """Make a dead or waiting delivery due now.

        Returns:
            `due`, the final state that forbids it, `gone` (task or results) or `missing`.
        """
        keys = [*self._delivery_keys(kind, delivery_id), self._keys.task(task_id)]
        return str(await self._run("replay_delivery", keys, [delivery_id]))

    async def purge_delivery(self, kind: str, delivery_id: str) -> str:
        """Cancel a dead or waiting delivery; return `cancelled`, its final state or `missing`."""
        keys = self._delivery_keys(kind, delivery_id)
        return str(await self._run("purge_delivery", keys, [delivery_id]))

    def _delivery_keys(self, kind: str, delivery_id: str) -> list[str]:
        keys = self._keys
        return [keys.due_deliveries(kind), keys.delivery(delivery_id), keys.dead_deliveries]

    async def adopt_entries(
        self, stream: str, *, idle_ms: int, start: str, pending_page: int, max_found: int
    ) -> tuple[str, int]:
        """Make stranded entries of a stream of workers pending again, idle for `idle_ms`.

        Returns:
            The next start, empty at the end, and how many were found.
        """
        args = [WORKERS_GROUP, STRANDED_CONSUMER, idle_ms, start, pending_page, max_found]
        next_start, found = await self._run("adopt_entries", [stream], args)
        return next_start.decode(), found

    async def adopt_events(self, *, idle_ms: int, start: str, page: int) -> tuple[str, str, int]:
        """Make stranded events pending again, idle for `idle_ms`.

        Returns:
            The next start, empty at the end; the start before which all events are reported;
            and how many were found.
        """
        args = [
            DISPATCHER_GROUP, STRANDED_CONSUMER, idle_ms, start, page, self._keys.task(""),
        ]  # fmt: skip
        next_start, reported_until, found = await self._run(
            "adopt_events", [self._keys.events], args
        )
        return next_start.decode(), reported_until.decode(), found

    async def reissue_event(self, task_id: str, *, max_age_ms: int) -> bool:
        """Publish a task's event again if it was deleted unreported; return whether it was."""
        keys = [self._keys.task(task_id), self._keys.events]
        return bool(await self._run("reissue_event", keys, [task_id, max_age_ms]))

    async def acquire_lock(self, job: str, *, hold_ms: int, extend: bool = False) -> bool:
        """Lock a recurring job for a time; with `extend`, a job that this process has locked."""
        keys = [self._keys.job_lock(job)]
        return bool(await self._run("acquire_lock", keys, [hold_ms, int(extend)]))

    async def reap(self, stream: str, group: str, *, min_idle_ms: int) -> list[str]:
        """Remove consumers that are idle and hold no entries; return their names."""
        names = await self._run("reap", [stream], [group, min_idle_ms])
        return [name.decode() for name in names]

    async def _run(self, name: str, keys: list[str], args: list[Any]) -> Any:
        result = await register(self._redis, name)(keys=keys, args=args)
        return result.decode() if isinstance(result, bytes) else result
