"""Putting a task into the stream when Redis may respond late, twice or not at all."""

import asyncio
from collections.abc import Sequence

import structlog
from redis.exceptions import (
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)

from producer.errors import (
    BacklogFullError,
    KeyInUseError,
    RedisFullError,
    RedisRefusesError,
    UnsettledSubmitError,
)
from schemas.contract.messages import ImageMessage
from schemas.logs import described
from schemas.redis.results import SubmitResult
from schemas.redis.task_store import Binding, TaskStore
from schemas.retry import Backoff, is_passing

log = structlog.get_logger(__name__)

# With these Redis refuses a script before it begins. Any other error may come from its middle, and
# what it had written by then is undone only as far as the service's user may.
_REFUSALS = (
    OutOfMemoryError, NoPermissionError, ReadOnlyError, BusyLoadingError, MasterDownError,
)  # fmt: skip
_REFUSAL_TEXTS = ("NOREPLICAS ", "MISCONF ", "BUSY ")  # redis-py has no class for these
_NOT_RETRIED = (OutOfMemoryError, NoPermissionError)  # they last longer than a client waits


class Submitter:
    """Repeats the same submit until its outcome is known or `timeout_seconds` are over.

    `store` is to run on a client that repeats nothing by itself: a repeat that is hidden from
    here would also hide that an earlier call may have been accepted.
    """

    def __init__(self, store: TaskStore, *, max_backlog: int, timeout_seconds: float) -> None:
        self._store = store
        self._max_backlog = max_backlog
        self._timeout_seconds = timeout_seconds

    async def submit(
        self, task_id: str, messages: Sequence[ImageMessage], binding: Binding | None = None
    ) -> None:
        """Accept a task, and bind it to its idempotency key if there is one.

        Raises:
            BacklogFullError, RedisFullError, RedisRefusesError, KeyInUseError: surely not
                accepted.
            UnsettledSubmitError: perhaps accepted.
        """
        loop, backoff, unsettled = asyncio.get_running_loop(), Backoff(), False
        deadline = loop.time() + self._timeout_seconds
        while True:
            try:
                result = await self._store.submit(
                    task_id, messages, max_backlog=self._max_backlog, binding=binding
                )
                break
            except RedisError as error:
                unsettled = unsettled or not _is_refusal(error)
                delay = backoff.next_delay()
                is_final = isinstance(error, _NOT_RETRIED) or not is_passing(error)
                if is_final or loop.time() + delay > deadline:
                    log.error("submit failed", error=described(error), may_be_accepted=unsettled)
                    if unsettled:
                        raise UnsettledSubmitError from None
                    is_full = isinstance(error, OutOfMemoryError)
                    raise (RedisFullError if is_full else RedisRefusesError) from None
            await asyncio.sleep(delay)
        if result in (SubmitResult.ACCEPTED, SubmitResult.EXISTS):
            return
        if unsettled:
            raise UnsettledSubmitError
        raise KeyInUseError if result is SubmitResult.LOST else BacklogFullError


def _is_refusal(error: RedisError) -> bool:
    """Return whether Redis has surely written nothing."""
    return isinstance(error, _REFUSALS) or str(error).startswith(_REFUSAL_TEXTS)
