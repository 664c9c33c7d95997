"""Script calls that share round trips: calls made while others are under way go together.

So a busy server, whose answers take longer, gets fewer requests for the same work.
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
    answer: "asyncio.Future[Any]"


class ScriptPipeliner:
    """Runs scripts, one pipeline at a time. Only for scripts that are safe to run twice."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    async def run(self, script: AsyncScript, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer; raises what a call of its own would raise.

        A lost connection is raised to everyone who was in the same round trip.
        """
        call = _Call(script, keys, args, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await call.answer

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                calls = [call for call in self._waiting if not call.answer.done()]
                self._waiting.clear()
                for call, answer in zip(calls, await self._ask(calls), strict=True):
                    _settle(call, answer)
        finally:
            self._sender = None

    async def _ask(self, calls: list[_Call]) -> list[Any]:
        """Answers, or the exceptions instead of them."""
        if len(calls) == 1:
            return [await _alone(calls[0])]
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            return [_own(error) for _ in calls]
        # A server that was started again has forgotten the scripts; a call of its own loads it.
        return [
            await _alone(call) if isinstance(answer, NoScriptError) else answer
            for call, answer in zip(calls, answers, strict=True)
        ]


async def _alone(call: _Call) -> Any:
    try:
        return await call.script(keys=call.keys, args=call.args)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
        return error


def _own(error: Exception) -> Exception:
    """An exception for one caller: raising adds to its traceback and sets its context."""
    try:
        own = copy(error)
    except Exception:  # noqa: BLE001 - one that cannot be copied, of a library that we do not know
        own = RedisError(f"{type(error).__name__}: {error}")
    own.__cause__ = error
    return own.with_traceback(None)


def _settle(call: _Call, answer: Any) -> None:
    if call.answer.done():
        return  # its caller waits no longer
    if isinstance(answer, Exception):
        call.answer.set_exception(answer)
    else:
        call.answer.set_result(answer)
