"""Cleaning up that must go on when the request it belongs to is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any

_TIMEOUT_SECONDS = 30.0


class ShieldedTasks:
    """Clean-ups under way, each a task of its own."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, cleanup: Coroutine[Any, Any, None]) -> None:
        """Wait for a clean-up, which goes on if the caller is cancelled."""
        task = asyncio.create_task(cleanup)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for all of them, but not for ever."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_TIMEOUT_SECONDS)
