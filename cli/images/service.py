"""A service over HTTP: uploads, states and results of tasks, repeated while it is busy or away."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import IO, Any, TypeVar
from urllib.parse import quote

import orjson
from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    hdrs,
)
from pydantic import ValidationError
from yarl import URL

from cli.images.sources import Source
from cli.images.upload import IDLE_SECONDS, Upload
from consumer.dispatcher.schedule import parse_retry_after
from schemas.contract.formats import accepted_format
from schemas.contract.tasks import TaskState
from schemas.retry import Backoff

T = TypeVar("T")

MAX_RETRY_AFTER_SECONDS = 120.0

_CHUNK_BYTES = 262_144
_MAX_JSON_BYTES = 32 << 20
# The service is busy or restarts, a proxy does not reach it, or the first of two equal requests is
# still in progress.
_PASSING = (408, 409, 425, 429, 502, 503, 504)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ServiceError(Exception):
    """The service cannot be used. The message is one line, without any secret."""


class RefusedError(Exception):
    """The service refuses a request because of its content. ``code`` names the kind of problem."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class LocalFileError(Exception):
    """A result cannot be written here."""


class _PassingError(Exception):
    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Service:
    """One service. Each call is repeated for ``patience`` seconds while the service is unavailable.

    Every method raises ServiceError if it cannot be used, and RefusedError if it refuses a request.
    """

    def __init__(self, session: ClientSession, address: str, patience: float) -> None:
        self._session = session
        self._base = address
        self._patience = patience
        self.name = shown(address)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, address: str, api_key: str | None, patience: float
    ) -> AsyncIterator["Service"]:
        """Open a service at an address that `checked_address` has returned."""
        headers = {"User-Agent": "plate-detect"} | ({"X-API-Key": api_key} if api_key else {})
        timeout = ClientTimeout(total=None, sock_connect=10, sock_read=IDLE_SECONDS)
        async with ClientSession(
            headers=headers, timeout=timeout, cookie_jar=DummyCookieJar(),
            trust_env=URL(address).host not in _LOOPBACK,
        ) as session:  # fmt: skip
            yield cls(session, address, patience)

    async def submit(self, sources: Sequence[Source], key: str) -> str:
        """Upload images as one task, whatever its response; return the task's id.

        Args:
            key: the Idempotency-Key, so that a repeated upload is the same task.

        Raises:
            UnreadableError: a file cannot be read.
        """

        async def attempt() -> str:
            upload = Upload(sources)
            form = await asyncio.to_thread(upload.form)
            try:
                async with asyncio.timeout(IDLE_SECONDS) as limit:
                    upload.limit = limit
                    async with self._session.post(
                        self._url("/api/v1/process-task/"), data=form,
                        headers={"Idempotency-Key": key}, allow_redirects=False,
                    ) as response:  # fmt: skip
                        body = await self._json(response, 202)
            except (ClientError, OSError):
                if upload.failure is not None:  # which aiohttp reports as a broken connection
                    raise upload.failure from None
                raise
            return str(body["task_id"])

        return await self._retried(attempt)

    async def state(self, task_id: str) -> TaskState:
        """Return the state of a task."""

        async def attempt() -> TaskState:
            url = self._url(f"/api/v1/task-status/{task_id}")
            async with self._session.get(url, allow_redirects=False) as response:
                return TaskState.model_validate(await self._json(response, 200))

        return await self._retried(attempt)

    async def download(self, task_id: str, filename: str, file: IO[bytes]) -> None:
        """Write a result into a file, from its start; raises LocalFileError too."""
        # Not the `url` of the result: behind a proxy it may lead elsewhere, and the key with it.
        url = self._url(f"/tasks_storage/{task_id}/output/{quote(filename, safe='')}")

        async def attempt() -> None:
            await _in_file(_empty, file)
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    await self._json(response, 200)
                head = b""
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    head = head or chunk
                    await _in_file(file.write, chunk)
                if accepted_format(head) != "WEBP":
                    raise ServiceError(f"{self.name} did not send an image as a result")

        await self._retried(attempt)

    def _url(self, path: str) -> URL:
        return URL(self._base + path, encoded=True)

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call while the service is unavailable, not before it asks for that."""
        now = asyncio.get_running_loop().time
        backoff, deadline = Backoff(base=0.5, cap=30), float("inf")
        while True:
            asked: float | None = None
            try:
                return await attempt()
            except _PassingError as error:
                reason, asked = str(error), error.retry_after
            except TimeoutError:
                reason = "no response in time"
            except (ValidationError, KeyError, TypeError):
                raise ServiceError(f"{self.name} is not a plate-detect service") from None
            except (ClientError, OSError) as error:
                reason = _connection_fault(error)
            deadline = min(deadline, now() + self._patience)
            wait = backoff.next_delay()
            if asked is not None:  # and not all clients at the same moment
                wait = max(wait, min(asked, MAX_RETRY_AFTER_SECONDS) * random.uniform(1, 1.3))  # noqa: S311
            if now() + wait > deadline:
                raise ServiceError(f"{self.name} cannot be used: {reason}")
            await asyncio.sleep(wait)

    async def _json(self, response: ClientResponse, expected: int) -> Any:
        """Return the body of an expected response; raise what another one means."""
        data = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            data += chunk
            if len(data) > _MAX_JSON_BYTES:
                raise ServiceError(f"{self.name} sends too long a response")
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            body = None
        if response.status == expected:
            return body
        problem = body if isinstance(body, dict) else {}
        detail = " ".join(str(problem.get("detail") or response.reason or "").split())[:500]
        said = f"{response.status} {detail}"
        if response.status in _PASSING:
            asked = parse_retry_after(response.headers.get(hdrs.RETRY_AFTER), datetime.now(UTC))
            raise _PassingError(said, asked)
        if response.status in (400, 404, 413, 415, 422) and "type" in problem:
            kind = str(problem["type"]).rpartition(":")[2]
            raise RefusedError(kind.replace("-", "_"), detail)
        if 300 <= response.status < 400:
            said += ": it redirects; use the address that it redirects to as --url"
        raise ServiceError(f"{self.name} responds with {said}")


def checked_address(text: str) -> str:
    """Return the address of a service without a slash at its end; raise ValueError."""
    try:
        url = URL(text.strip(), encoded=True)
    except ValueError:
        raise ValueError("must be http(s)://host[:port][/path]") from None
    if url.scheme not in ("http", "https") or not url.host or url.query_string or url.fragment:
        raise ValueError("must be http(s)://host[:port][/path]")
    return str(url).rstrip("/")


def shown(address: str) -> str:
    """Return an address for messages: without user and password."""
    return str(URL(address, encoded=True).with_user(None))


def _connection_fault(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {cause.reason or type(cause).__name__}"
    return getattr(cause, "strerror", None) or type(cause).__name__


async def _in_file(call: Callable[[T], object], argument: T) -> None:
    """Make a call that writes to a file; its errors are not those of the connection."""
    try:
        await asyncio.to_thread(call, argument)
    except OSError as error:
        raise LocalFileError(error.strerror or str(error)) from None


def _empty(file: IO[bytes]) -> None:
    file.seek(0)
    file.truncate()
