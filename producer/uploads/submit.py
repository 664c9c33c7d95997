"""Putting a task into the stream when Redis may answer late, twice or not at all."""

import asyncio
import random
from collections.abc import Sequence

import structlog
from redis.exceptions import (
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from producer.errors import (
    BacklogFullError,
    KeyInUseError,
    RedisForbidsError,
    RedisFullError,
    RedisRefusesError,
    UnsettledSubmitError,
)
from schemas.contract.messages import ImageMessage
from schemas.redis.task_store import Binding, SubmitAnswer, TaskStore

log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class Submitter:
    """Repeats the same submit until its outcome is known or `timeout_seconds` are over.

    `store` is to run on a client that repeats nothing by itself: a repeat that is hidden from
    here would also hide that an earlier call may have been accepted.
    """

    def __init__(self, store: TaskStore, *, max_backlog: int, timeout_seconds: float) -> None:
        self._store = store
        self._max_backlog = max_backlog
        self._patience = timeout_seconds

    async def submit(
        self, task_id: str, messages: Sequence[ImageMessage], binding: Binding | None = None
    ) -> None:
        """Accept a task, and bind it to its idempotency key if there is one.

        Raises:
            BacklogFullError, RedisFullError, RedisForbidsError, RedisRefusesError, KeyInUseError:
                surely not accepted.
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
            except RedisError as error:
                unsettled = unsettled or not _surely_refused(error)
                if asyncio.get_running_loop().time() + pause > give_up:
                    if unsettled:
                        raise UnsettledSubmitError from None
                    log.error("redis refuses the submit", error=str(error))
                    raise RedisRefusesError from None
            else:
                if answer in (SubmitAnswer.ACCEPTED, SubmitAnswer.EXISTS):
                    return
                refused = KeyInUseError if answer is SubmitAnswer.LOST else BacklogFullError
                raise UnsettledSubmitError if unsettled else refused
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _surely_refused(error: RedisError) -> bool:
    """Whether the server said no before the script began.

    Any other error of a script may be one from its middle, and what it had written by then is
    undone only as far as the service's user may.
    """
    if isinstance(error, (ReadOnlyError, BusyLoadingError, MasterDownError)):
        return True
    # redis-py has no class for these.
    return isinstance(error, ResponseError) and str(error).startswith(
        ("NOREPLICAS ", "MISCONF ", "BUSY ")
    )
