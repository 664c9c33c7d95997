"""Script calls that share round trips: calls that are made during a round trip go together next.

So a busy server, which responds more slowly, gets fewer requests for the same work.
"""

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, RedisError


@dataclass(slots=True)
class _Call:
    script: AsyncScript
    keys: Sequence[str]
    args: Sequence[Any]
    result: "asyncio.Future[Any]"


class ScriptPipeliner:
    """Runs scripts that are safe to run twice, one pipeline at a time."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    async def run(self, script: AsyncScript, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Return the script's result; raise what a separate call would raise.

        A lost connection is raised to all callers of the same round trip.
        """
        call = _Call(script, keys, args, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await call.result

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                calls = [call for call in self._waiting if not call.result.done()]
                self._waiting.clear()
                for call, result in zip(calls, await self._send(calls), strict=True):
                    _set_result(call, result)
        finally:
            self._sender = None

    async def _send(self, calls: list[_Call]) -> list[Any]:
        """Return the result or the exception of each call."""
        if len(calls) == 1:
            return [await _send_one(calls[0])]
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
        try:
            results = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - each caller gets it
            return [_copied(error) for _ in calls]
        # A restarted server does not have the scripts; a separate call loads them.
        return [
            await _send_one(call) if isinstance(result, NoScriptError) else result
            for call, result in zip(calls, results, strict=True)
        ]


async def _send_one(call: _Call) -> Any:
    try:
        return await call.script(keys=call.keys, args=call.args)
    except Exception as error:  # noqa: BLE001 - its caller gets it
        return error


def _copied(error: Exception) -> Exception:
    """Copy an exception for one caller, since raising changes its traceback and context."""
    try:
        copied = copy(error)
    except Exception:  # noqa: BLE001 - some exceptions of other libraries cannot be copied
        copied = RedisError(f"{type(error).__name__}: {error}")
    copied.__cause__ = error
    return copied.with_traceback(None)


def _set_result(call: _Call, result: Any) -> None:
    if call.result.done():
        return  # its caller has been cancelled
    if isinstance(result, Exception):
        call.result.set_exception(result)
    else:
        call.result.set_result(result)
