"""What each call does, without input or output: shared by `Client` and `AsyncClient`.

A flow is a generator. It yields steps, and gets the reply to each of them; a connection that failed
is raised where it waits. So requests, repeats and waits are decided once, and run with or without
asyncio.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from plate_detect_client.errors import (
    FailedCallError,
    NotFoundError,
    PlateDetectError,
    ProblemError,
    WaitTimeoutError,
    problem_error,
)
from plate_detect_client.events import EventReader
from plate_detect_client.files import Form, SourceFile
from plate_detect_client.models import Problem, TaskAccepted, TaskState
from plate_detect_client.names import is_plain_name, is_task_id
from plate_detect_client.retry import Attempts, RetryPolicy, parse_retry_after
from plate_detect_client.steps import CONNECT_SECONDS, Call, Flow, Pause, Reply
from plate_detect_client.targets import OpenFile, PartFile
from plate_detect_client.unreachable import unreachable

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

STREAM_READ_SECONDS = 20.0
"""Longer than the service's pause between two pings of a progress stream."""

MAX_RESULT_BYTES = 1 << 30
"""Largest result that is kept in memory."""

_POLL_READ_SECONDS = 30.0
_STREAM_STEP_SECONDS = CONNECT_SECONDS + STREAM_READ_SECONDS
_POLLING = RetryPolicy(base_seconds=0.5, cap_seconds=5.0)


def submit(files: list[SourceFile], key: str, policy: RetryPolicy) -> Flow[str]:
    """Send files as a new task; return its id."""
    call = Call("POST", "/api/v1/process-task/", {"Idempotency-Key": key}, Form(files))
    try:
        return _parsed(TaskAccepted, (yield from _reliable(call, policy))).task_id
    except FailedCallError as error:
        error.idempotency_key = key
        raise


def status(task_id: str, policy: RetryPolicy) -> Flow[TaskState]:
    """Ask for the state of a task."""
    call = Call("GET", _task_path("task-status", task_id))
    return _parsed(TaskState, (yield from _reliable(call, policy)))


def delete(task_id: str, policy: RetryPolicy) -> Flow[None]:
    """Delete a task."""
    yield from _reliable(Call("DELETE", _task_path("tasks", task_id)), policy)


def fetch(task_id: str, name: str, policy: RetryPolicy) -> Flow[bytes]:
    """Return one result."""
    call = Call("GET", _result_path(task_id, name), max_bytes=MAX_RESULT_BYTES)
    return (yield from _reliable(call, policy)).body


def fetch_into(task_id: str, name: str, file: IO[bytes], policy: RetryPolicy) -> Flow[None]:
    """Write one result into an open file, each attempt from its start."""
    path = _result_path(task_id, name)
    yield from _reliable(Call("GET", path, target=lambda: OpenFile(file)), policy)


def save(task_id: str, name: str, folder: Path, policy: RetryPolicy) -> Flow[Path]:
    """Write one result into a folder; return its path."""
    target = folder / name
    path = _result_path(task_id, name)
    yield from _reliable(Call("GET", path, target=lambda: PartFile(target)), policy)
    return target


class Waiting:
    """Wait for the end of a task: with its progress stream, and by asking where that fails.

    Args:
        timeout_seconds: for the whole wait; None: without a limit.
        idle_seconds: for the time without a new state.
        on_progress: gets each new state, also the last.
        absent_ok: an unknown task is waited for, as after `publish`.
    """

    def __init__(
        self,
        task_id: str,
        timeout_seconds: float | None,
        *,
        idle_seconds: float = math.inf,
        on_progress: Callable[[TaskState], None] | None = None,
        absent_ok: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._task_id = task_id
        self._on_progress = on_progress
        self._absent_ok = absent_ok
        self._clock = clock
        self._end = math.inf if timeout_seconds is None else clock() + timeout_seconds
        self._idle_seconds = idle_seconds
        self._idle_end = clock() + idle_seconds
        self._state: TaskState | None = None
        self._streams = True
        self._rounds = 0

    def flow(self) -> Flow[TaskState]:
        """Return the final state; raises WaitTimeoutError."""
        failure: FailedCallError | None = None
        while self._left > 0:
            try:
                reply = yield self._next_call()
                failure = self._failure_of(reply)
            except httpx.TransportError as error:
                failure = unreachable(error)
                if not failure.is_passing:
                    raise failure from error
                if isinstance(error, httpx.ReadTimeout) and self._state is None:
                    self._streams = False  # not even a first event: a proxy holds the stream back
            if self._state is not None and self._state.status.is_final:
                return self._state
            self._rounds += 1
            delay = _POLLING.delay(self._rounds, failure.retry_after_seconds if failure else None)
            yield Pause(max(0.0, min(delay, self._left)))
        raise WaitTimeoutError(self._task_id, self._state) from failure

    @property
    def _left(self) -> float:
        return min(self._end, self._idle_end) - self._clock()

    def _next_call(self) -> Call:
        # A stream can only be left between two pings, so the last seconds are for asking.
        if self._streams and self._left > _STREAM_STEP_SECONDS:
            reader = EventReader(self._see)

            def listen(chunk: bytes) -> bool:
                reader.feed(chunk)
                is_final = self._state is not None and self._state.status.is_final
                return is_final or self._left <= _STREAM_STEP_SECONDS

            path = _task_path("task-events", self._task_id)
            return Call("GET", path, listen=listen, seconds=STREAM_READ_SECONDS)
        path = _task_path("task-status", self._task_id)
        return Call("GET", path, seconds=min(max(0.05, self._left / 2), _POLL_READ_SECONDS))

    def _failure_of(self, reply: Reply) -> FailedCallError | None:
        if reply.is_success:
            if reply.body:
                self._see(_parsed(TaskState, reply))
            return None
        failure = _problem(reply)
        if isinstance(failure, NotFoundError) and self._absent_ok and self._state is None:
            return failure
        if not failure.is_passing:
            raise failure
        self._streams = False  # perhaps too many are open
        return failure

    def _see(self, state: TaskState) -> None:
        if state == self._state:
            return
        self._state, self._rounds = state, 0
        self._idle_end = self._clock() + self._idle_seconds
        if self._on_progress is not None:
            self._on_progress(state)


def result_names(state: TaskState) -> list[str]:
    """Return the names of the results; raises PlateDetectError if one is no plain file name."""
    names = [result.filename for result in state.results]
    for name in names:
        if not is_plain_name(name):
            raise PlateDetectError(f"not a file name: {name!r}")
    return names


def _reliable(call: Call, policy: RetryPolicy) -> Flow[Reply]:
    """Repeat a call, which is safe to repeat, until it succeeds or is refused."""
    attempts = Attempts(policy)
    while True:
        failure: FailedCallError
        try:
            reply = yield call
            if reply.is_redirect and call.method == "GET":
                reply = yield replace(call, path=reply.headers["Location"])
            if reply.is_success:
                return reply
            failure = _problem(reply)
        except httpx.TransportError as error:
            failure = unreachable(error)
        delay = attempts.next_delay(failure.retry_after_seconds) if failure.is_passing else None
        if delay is None:
            raise failure
        yield Pause(delay)


def _problem(reply: Reply) -> ProblemError:
    seconds = parse_retry_after(reply.headers.get("Retry-After"))
    return problem_error(reply.status, reply.body, reply.headers, seconds)


def _parsed(model: type[Model], reply: Reply) -> Model:
    try:
        return model.model_validate_json(reply.body)
    except ValidationError as error:
        title = "a response that is not of plate-detect"
        raise ProblemError(Problem(status=reply.status, title=title)) from error


def _task_path(call: str, task_id: str) -> str:
    if not is_task_id(task_id):
        raise ValueError(f"not a task id: {task_id!r}")
    return f"/api/v1/{call}/{task_id}"


def _result_path(task_id: str, name: str) -> str:
    # Not the URL of the result: it may begin with a PUBLIC_URL, and the API key must go nowhere
    # but to the address of this client.
    return f"/tasks_storage/{task_id}/output/{quote(name, safe='')}"
