"""Progress of a task as Server-Sent Events."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import hdrs, web
from aiohttp_sse import sse_response
from redis.exceptions import RedisError

from producer.errors import RedisAwayError, TooBusyError
from producer.handlers.public import located, public_base
from producer.handlers.services import SERVICES, Services, ask_redis
from producer.handlers.tasks import state_of
from schemas.contract.tasks import TaskState

_PING_SECONDS = 15.0
_SEND_TIMEOUT_SECONDS = 30.0
_LONGEST_STREAM_SECONDS = 3600.0
_SHORTEST_PAUSE_SECONDS = 0.25  # of progress; the end of a task is signalled
_LONGEST_PAUSE_SECONDS = 2.0


async def task_events(request: web.Request) -> web.StreamResponse:
    """Send `progress` at each change and `end` with the final state, then close."""
    services = request.app[SERVICES]
    state = await state_of(request)
    if request.method == hdrs.METH_HEAD:
        return web.StreamResponse(
            headers={hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-cache"}
        )
    if services.event_streams.locked():
        raise TooBusyError("Too many progress streams are open; ask for task-status instead.")
    async with services.event_streams:
        with services.metrics.event_streams.track_inprogress():
            return await _stream(request, services, state)


async def _stream(request: web.Request, services: Services, first: TaskState) -> web.StreamResponse:
    base = public_base(request)
    async with sse_response(
        request, ping_interval=_PING_SECONDS, send_timeout=_SEND_TIMEOUT_SECONDS
    ) as stream:
        try:
            async with asyncio.timeout(_LONGEST_STREAM_SECONDS):
                async for state in _changes(request, services, first):
                    kind = "end" if state.status.is_final else "progress"
                    await stream.send(located(state, base).model_dump_json(), event=kind)
        except (TimeoutError, ConnectionError):
            pass  # over time or client gone; EventSource asks again by itself
    return stream


async def _changes(
    request: web.Request, services: Services, state: TaskState
) -> AsyncIterator[TaskState]:
    """The given state, then each different one until the final; ends when nobody listens."""
    pause = 0.0  # the task may have ended before the watch began
    yield state
    async with services.completions.watch(state.task_id) as ended:
        while not state.status.is_final and request.transport is not None:
            await _pause(pause, ended, services.stopping)
            ended.clear()
            if services.stopping.is_set():
                return
            pause = min(max(pause * 1.5, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
            try:
                latest = await ask_redis(services.store.state(state.task_id))
            except (RedisError, RedisAwayError):
                continue  # a stream outlives a restart of Redis
            if latest is None:
                return  # expired
            if latest != state:
                state, pause = latest, _SHORTEST_PAUSE_SECONDS
                yield state


async def _pause(seconds: float, *events: asyncio.Event) -> None:
    """Wait, but no longer than until one of the events; each counts once."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events if not event.is_set()]
    try:
        if len(waiting) == len(events):
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
