"""Putting a task into the stream when Redis may answer late, twice or not at all."""

import asyncio
import random
from collections.abc import Sequence

import structlog
from redis.exceptions import NoPermissionError, OutOfMemoryError, RedisError

from producer.errors import (
    BacklogFullError,
    KeyInUseError,
    RedisForbidsError,
    RedisFullError,
    UnsettledSubmitError,
)
from schemas.messages import ImageMessage
from schemas.store import Binding, SubmitAnswer, TaskStore

log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class Submitter:
    """Repeats the same submit until its outcome is known or `patience_seconds` are over.

    `store` is to run on a client that repeats nothing by itself: a repeat that is hidden from
    here would also hide that an earlier call may have been accepted.
    """

    def __init__(self, store: TaskStore, *, max_backlog: int, patience_seconds: float) -> None:
        self._store = store
        self._max_backlog = max_backlog
        self._patience = patience_seconds

    async def submit(
        self, task_id: str, messages: Sequence[ImageMessage], binding: Binding | None = None
    ) -> None:
        """Accept a task, and bind it to its idempotency key if there is one.

        Raises:
            BacklogFullError, RedisFullError, RedisForbidsError, KeyInUseError: surely not
                accepted.
            UnsettledSubmitError: perhaps accepted.
        """
        unsettled = False
        pause = _FIRST_PAUSE_SECONDS
        give_up = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                answer = await self._store.submit(
                    task_id, messages, max_backlog=self._max_backlog, binding=binding
                )
            except OutOfMemoryError:
                raise (UnsettledSubmitError if unsettled else RedisFullError) from None
            except NoPermissionError as error:
                # Said before the script begins; a right that is missing within it is another error.
                log.error("redis forbids the submit", error=str(error))
                raise (UnsettledSubmitError if unsettled else RedisForbidsError) from None
            except RedisError:
                unsettled = True
                if asyncio.get_running_loop().time() + pause > give_up:
                    raise UnsettledSubmitError from None
            else:
                if answer in (SubmitAnswer.ACCEPTED, SubmitAnswer.EXISTS):
                    return
                refused = KeyInUseError if answer is SubmitAnswer.LOST else BacklogFullError
                raise UnsettledSubmitError if unsettled else refused
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
