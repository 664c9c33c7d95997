"""The client without asyncio."""

import math
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import httpx

from plate_detect_client import flows, steps
from plate_detect_client.files import FileInput, source_files
from plate_detect_client.models import TaskState
from plate_detect_client.retry import RetryPolicy

T = TypeVar("T")


class Client:
    """Calls one plate-detect service. Use it as a context manager, or call `close`.

    Each call is repeated, with growing waits, while the service is unavailable or responds with
    503. A `Retry-After` is respected.

    Args:
        base_url: of the service, with a proxy's path prefix.
        api_key: sent as `X-API-Key`, and to this address only.
        timeout_seconds: for each wait for the network, not for a whole call.
        retry: how long calls are repeated.
        http: your own client, for other certificates than the system's, and for proxies. It is not
            closed.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        retry: RetryPolicy | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {} if api_key is None else {"X-API-Key": api_key}
        self._timeout_seconds = timeout_seconds
        self._retry = retry or RetryPolicy()
        self._http = http or httpx.Client(verify=ssl.create_default_context())
        self._owns_http = http is None

    def submit(self, files: Iterable[FileInput], *, idempotency_key: str | None = None) -> str:
        """Send images as one task, and return its id. Files are read from disk while they are sent.

        Repeats carry the same `Idempotency-Key`, so a lost response makes no second task.

        Args:
            files: paths, or pairs of a file name and bytes or a path.
            idempotency_key: by default a new one.

        Raises:
            RequestError: the service refuses the files; `problem` says why.
            UnavailableError, UnreachableError: not accepted, or no response. Both have the
                `idempotency_key`, with which the same files can be sent again later.
            OSError: a file, its `filename`, cannot be read, or has changed while it was sent.
        """
        key = idempotency_key or str(uuid.uuid4())
        return self._run(flows.submit(source_files(files), key, self._retry))

    def status(self, task_id: str) -> TaskState:
        """Return the state of a task; raises NotFoundError."""
        return self._run(flows.status(task_id, self._retry))

    def wait(
        self,
        task_id: str,
        *,
        timeout_seconds: float | None = 300.0,
        idle_seconds: float = math.inf,
        on_progress: Callable[[TaskState], None] | None = None,
        absent_ok: bool = False,
    ) -> TaskState:
        """Wait until a task has ended, and return its state: `completed` or `failed`.

        Args:
            timeout_seconds: for the whole wait; None: without a limit.
            idle_seconds: for the time without a new state.
            on_progress: gets each new state.
            absent_ok: wait for a task that does not exist yet, as after `publish`.

        Raises:
            WaitTimeoutError: it has not ended; it goes on, and can be waited for again.
            NotFoundError: there is no such task.
        """
        waiting = flows.Waiting(
            task_id, timeout_seconds, idle_seconds=idle_seconds,
            on_progress=on_progress, absent_ok=absent_ok,
        )  # fmt: skip
        return self._run(waiting.flow())

    def results(self, task: str | TaskState) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of each result, one at a time in memory."""
        state = self._state(task)
        for name in flows.result_names(state):
            yield name, self._run(flows.fetch(state.task_id, name, self._retry))

    def fetch_into(self, task_id: str, name: str, file: IO[bytes]) -> None:
        """Write one result, with its name in the state, into an open file, from the file's start.

        Raises:
            NotFoundError: there is no such result.
            OSError: the file cannot be written.
        """
        self._run(flows.fetch_into(task_id, name, file, self._retry))

    def save_results(self, task: str | TaskState, folder: str | Path) -> list[Path]:
        """Write all results into a folder, and return their paths.

        A file of the same name is replaced, and never seen half-written.
        """
        state = self._state(task)
        return [
            self._run(flows.save(state.task_id, name, Path(folder), self._retry))
            for name in flows.result_names(state)
        ]

    def delete(self, task_id: str) -> None:
        """Delete the files of a task at once, and cancel its images that are not done."""
        self._run(flows.delete(task_id, self._retry))

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _state(self, task: str | TaskState) -> TaskState:
        return task if isinstance(task, TaskState) else self.status(task)

    def _run(self, flow: steps.Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    reply = self._do(step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            value: T = end.value
            return value

    def _do(self, step: steps.Call | steps.Pause) -> steps.Reply:
        if isinstance(step, steps.Pause):
            time.sleep(step.seconds)
            return steps.NO_REPLY
        with self._http.stream(
            step.method,
            steps.address_of(step, self._base_url),
            content=step.form,
            headers=steps.request_headers(step, self._headers),
            timeout=steps.timeout_of(step, self._timeout_seconds),
        ) as response:
            body = step.new_body()
            if response.is_success and step.target is not None:
                with step.target() as target:
                    for chunk in response.iter_bytes():
                        target.write(chunk)
                    target.complete()
            elif response.is_success and step.listen is not None:
                for chunk in response.iter_bytes():
                    if step.listen(chunk):
                        break
            else:
                for chunk in response.iter_bytes():
                    body.add(chunk)
            return steps.Reply(response.status_code, response.headers, body.content)
