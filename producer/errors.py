"""The errors of a request, and the one place that turns them into responses (RFC 9457)."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import ClassVar

import orjson
import structlog
from aiohttp import StreamReader, hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from schemas.contract.corrections import MAX_CORRECTIONS
from schemas.logs import described
from schemas.storage.storage import StorageError

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:plate-detect:"
PROBLEM_KIND = web.ResponseKey("problem_kind", str)

_LINGER_BYTES = 32 << 20
_LINGER_SECONDS = 10.0
_LINGER_IDLE_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """Body of every error: RFC 9457."""

    type: str = Field(description="Kind of the problem, for programs", examples=["about:blank"])
    title: str = Field(description="The same for every problem of this kind")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What went wrong, for people")


class ProducerError(Exception):
    """Base class of the errors of a request. The message, or else ``default``, is the detail.

    Each direct subclass is one kind of problem in the OpenAPI document.
    """

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"
    default: ClassVar[str] = "The service failed; the cause is in its log."
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.default)


class MalformedRequestError(ProducerError):
    status, kind = 400, "malformed-request"


class ClientGoneError(ProducerError):
    status, kind = 400, "client-gone"
    default = "The request ended before its body did."


class NoFilesError(ProducerError):
    status, kind = 400, "no-files"


class UnauthorizedError(ProducerError):
    status, kind = 401, "unauthorized"
    default = "Send a valid API key as X-API-Key or as Authorization: Bearer."


class UnknownTaskError(ProducerError):
    status, kind = 404, "unknown-task"
    default = "There is no such task."


class UnknownResultError(ProducerError):
    status, kind = 404, "unknown-result"
    default = "There is no such result."


class SlowUploadError(ProducerError):
    status, kind = 408, "slow-upload"


class KeyInUseError(ProducerError):
    status, kind, retry_after_seconds = 409, "idempotency-key-in-use", 2
    default = "A request with this Idempotency-Key is still being received."


class TaskNotEndedError(ProducerError):
    status, kind, retry_after_seconds = 409, "task-not-ended", 2
    default = "The task has not ended yet."


class TooManyCorrectionsError(ProducerError):
    status, kind = 409, "too-many-corrections"
    default = f"This result has {MAX_CORRECTIONS} corrections already."


class PreconditionFailedError(ProducerError):
    status, kind = 412, "precondition-failed"
    default = "A precondition of the request's headers does not hold."


class TooManyFilesError(ProducerError):
    status, kind = 413, "too-many-files"


class FileTooLargeError(ProducerError):
    status, kind = 413, "file-too-large"


class RequestTooLargeError(ProducerError):
    status, kind = 413, "request-too-large"


class UnsupportedTypeError(ProducerError):
    status, kind = 415, "unsupported-type"


class KeyReusedError(ProducerError):
    status, kind = 422, "idempotency-key-reused"
    default = "This Idempotency-Key was used for a request with another content."


class InvalidCoversError(ProducerError):
    status, kind = 422, "invalid-covers"


class CorrectionNotMadeError(ProducerError):
    status, kind = 422, "correction-not-made"


class InvalidQueryError(ProducerError):
    status, kind = 422, "invalid-query"


class BacklogFullError(ProducerError):
    status, kind, retry_after_seconds = 503, "backlog-full", 15
    default = "Too many images are waiting; try again later."


class RedisFullError(ProducerError):
    status, kind, retry_after_seconds = 503, "redis-full", 30
    default = "The service has no room for new tasks; try again later."


class RedisUnavailableError(ProducerError):
    status, kind, retry_after_seconds = 503, "redis-away", 5
    default = "Redis cannot be reached; try again later."


class RedisRefusesError(RedisUnavailableError):
    """Redis responds, but refuses the write: surely nothing was written."""


class UnsettledSubmitError(RedisUnavailableError):
    """The task may have been accepted, so its files must stay."""


class StorageUnavailableError(ProducerError):
    status, kind, retry_after_seconds = 503, "storage-away", 10
    default = "The storage is full or cannot be reached; try again later."


class TooBusyError(ProducerError):
    status, kind, retry_after_seconds = 503, "too-busy", 2


class NotReadyError(ProducerError):
    status, kind, retry_after_seconds = 503, "not-ready", 5


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into a problem. An unforeseen error is logged and not shown."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _problem(error.status, "about:blank", HTTPStatus(error.status).description)
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    except ProducerError as error:
        response = _response_to(error)
    except RedisError as error:
        log.warning("server is unavailable", server="redis", error=described(error))
        response = _response_to(RedisUnavailableError())
    except StorageError as error:
        log.warning("server is unavailable", server="storage", error=described(error))
        response = _response_to(StorageUnavailableError())
    except ConnectionError:
        response = _response_to(ClientGoneError())  # not sent, but counted
    except Exception:
        log.exception("unexpected error")
        response = _response_to(ProducerError())
    return await _sent_before_the_body(request, response)


def _response_to(error: ProducerError) -> web.Response:
    response = _problem(error.status, f"{TYPE_PREFIX}{error.kind}", str(error))
    response[PROBLEM_KIND] = error.kind
    if error.status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="plate-detect"'
    if error.retry_after_seconds is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after_seconds)
    return response


def _problem(status: int, kind: str, detail: str) -> web.Response:
    phrase = HTTPStatus(status).phrase
    body = Problem(type=kind, title=phrase, status=status, detail=detail or phrase)
    return web.Response(
        status=status, body=orjson.dumps(body.model_dump()), content_type=PROBLEM_JSON
    )


async def _sent_before_the_body(request: web.Request, response: web.Response) -> web.Response:
    """Send a response before the request's body is read, then read on a little and close.

    Closing at once would reset the connection, and a client that is still sending would never
    see the response. One that waits for `100 Continue` sends nothing more.
    """
    content = request.content
    if not request.can_read_body or content.is_eof():
        return response
    response.force_close()
    # A client that is gone or idle needs nothing more.
    with suppress(TimeoutError, OSError, web.RequestPayloadError):
        await response.prepare(request)
        await response.write_eof()
        if hdrs.EXPECT not in request.headers or content.total_bytes > 0:
            await _read_on(content)
    return response


async def _read_on(content: StreamReader) -> None:
    until_bytes = content.total_bytes + _LINGER_BYTES
    async with asyncio.timeout(_LINGER_SECONDS):
        while content.total_bytes < until_bytes:
            async with asyncio.timeout(_LINGER_IDLE_SECONDS):
                if not await content.readany():
                    return
