"""Progress of a task as Server-Sent Events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import hdrs, web
from aiohttp_sse import sse_response
from redis.exceptions import RedisError

from producer.errors import RedisUnavailableError, TooBusyError
from producer.routes.public_url import with_public_urls
from producer.routes.tasks import state_of
from producer.services.container import SERVICES, with_timeout
from schemas.contract.tasks import TaskState
from schemas.retry import pause

MIN_PAUSE_SECONDS = 0.25  # between two reads of the progress; the end of a task is signalled
MAX_PAUSE_SECONDS = 2.0
_PING_SECONDS = 15.0
_SEND_SECONDS = 30.0
_MAX_STREAM_SECONDS = 3600.0


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
            return await _stream(request, state)


async def _stream(request: web.Request, first: TaskState) -> web.StreamResponse:
    async with sse_response(
        request, ping_interval=_PING_SECONDS, send_timeout=_SEND_SECONDS
    ) as stream:
        # After its time, or if the client is gone, the stream ends: EventSource connects again.
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_MAX_STREAM_SECONDS):
                async for state in _changes(request, first):
                    kind = "end" if state.status.is_final else "progress"
                    data = with_public_urls(state, request).model_dump_json()
                    await stream.send(data, event=kind)
    return stream


async def _changes(request: web.Request, state: TaskState) -> AsyncIterator[TaskState]:
    """Yield the given state, then each different one until the final; end without a client."""
    services = request.app[SERVICES]
    seconds = 0.0  # the task may have ended before the watch began
    yield state
    async with services.completions.watch(state.task_id) as wakeup:
        while not state.status.is_final and request.transport is not None:
            await pause(seconds, wakeup)
            wakeup.clear()
            if services.stopping.is_set():
                return
            seconds = min(max(seconds * 1.5, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
            try:
                latest = await with_timeout(services.store.state(state.task_id))
            except (RedisError, RedisUnavailableError):
                continue  # a stream outlives a restart of Redis
            if latest is None:
                return  # expired
            if latest != state:
                state, seconds = latest, MIN_PAUSE_SECONDS
                yield state
