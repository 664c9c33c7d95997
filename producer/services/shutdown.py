"""What a stopping process waits for: requests in flight, and clean-ups that outlive theirs."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from schemas.retry import pause

_TIMEOUT_SECONDS = 30.0


class RequestsInFlight:
    """Counts the requests that are being handled: `with in_flight: …`."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def none_within(self, seconds: float) -> bool:
        """Wait until there is none; return False if that takes too long."""
        return await pause(seconds, self._none)


class ShieldedTasks:
    """Clean-ups that go on when the request that they belong to is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, cleanup: Coroutine[Any, Any, None]) -> None:
        """Wait for a clean-up, which goes on if the caller is cancelled."""
        task = asyncio.create_task(cleanup)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Wait until all have ended, for a limited time: the sweeper and leases do the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_TIMEOUT_SECONDS)
