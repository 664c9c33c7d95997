"""Every way in which a request can fail, and the one place that turns it into an answer."""

import asyncio
from http import HTTPStatus
from typing import ClassVar

import orjson
import structlog
from aiohttp import StreamReader, hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from schemas.storage.storage import StorageError

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:plate-detect:"
PROBLEM_KIND = web.ResponseKey("problem_kind", str)

_LINGER_BYTES = 32 << 20
_LINGER_SECONDS = 10.0
_LINGER_SILENCE_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """Body of every error: RFC 9457."""

    type: str = Field(description="Kind of the problem, for programs", examples=["about:blank"])
    title: str = Field(description="The same for every problem of this kind")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What went wrong, for people")


class ProducerError(Exception):
    """Root of what a request can fail with. The message becomes `detail`."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"
    retry_after_seconds: ClassVar[int | None] = None


class MalformedRequestError(ProducerError):
    status = 400
    kind = "malformed-request"


class ClientGoneError(ProducerError):
    status = 400
    kind = "client-gone"

    def __init__(self) -> None:
        super().__init__("The request ended before its body did.")


class NoFilesError(ProducerError):
    status = 400
    kind = "no-files"


class UnauthorizedError(ProducerError):
    status = 401
    kind = "unauthorized"

    def __init__(self) -> None:
        super().__init__("Send a valid API key as X-API-Key or as Authorization: Bearer.")


class UnknownTaskError(ProducerError):
    status = 404
    kind = "unknown-task"

    def __init__(self) -> None:
        super().__init__("There is no such task.")


class UnknownResultError(ProducerError):
    status = 404
    kind = "unknown-result"

    def __init__(self) -> None:
        super().__init__("There is no such result.")


class SlowUploadError(ProducerError):
    status = 408
    kind = "slow-upload"


class KeyInUseError(ProducerError):
    status = 409
    kind = "idempotency-key-in-use"
    retry_after_seconds = 2

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is still being received.")


class KeyReusedError(ProducerError):
    status = 422
    kind = "idempotency-key-reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for a request with other files.")


class TooManyFilesError(ProducerError):
    status = 413
    kind = "too-many-files"


class PreconditionFailedError(ProducerError):
    status = 412
    kind = "precondition-failed"

    def __init__(self) -> None:
        super().__init__("A precondition of the request's headers does not hold.")


class FileTooLargeError(ProducerError):
    status = 413
    kind = "file-too-large"


class RequestTooLargeError(ProducerError):
    status = 413
    kind = "request-too-large"


class UnsupportedTypeError(ProducerError):
    status = 415
    kind = "unsupported-type"


class BacklogFullError(ProducerError):
    status = 503
    kind = "backlog-full"
    retry_after_seconds = 15

    def __init__(self) -> None:
        super().__init__("Too many images are waiting; try again later.")


class RedisFullError(ProducerError):
    status = 503
    kind = "redis-full"
    retry_after_seconds = 30

    def __init__(self) -> None:
        super().__init__("The service has no room for new tasks; try again later.")


class RedisAwayError(ProducerError):
    status = 503
    kind = "redis-away"
    retry_after_seconds = 5

    def __init__(self) -> None:
        super().__init__("Redis cannot be reached; try again later.")


class RedisForbidsError(RedisAwayError):
    """The service's user lacks a right: only an operator can help, so nothing is waited for."""


class RedisRefusesError(RedisAwayError):
    """Redis answers, but takes no writes."""


class UnsettledSubmitError(RedisAwayError):
    """The task may have been accepted, so its files must stay."""


class StorageAwayError(ProducerError):
    status = 503
    kind = "storage-away"
    retry_after_seconds = 10

    def __init__(self) -> None:
        super().__init__("The storage is full or away; try again later.")


class TooBusyError(ProducerError):
    status = 503
    kind = "too-busy"
    retry_after_seconds = 2


class NotReadyError(ProducerError):
    status = 503
    kind = "not-ready"
    retry_after_seconds = 5


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure as a problem; what was not foreseen is logged and tells nothing."""
    try:
        return await handler(request)
    except web.HTTPException as answer:
        if answer.status < 400:
            raise
        response = _from_aiohttp(answer)
    except ProducerError as error:
        response = problem_response(error)
    except RedisError as error:
        log.warning("redis is away", error=f"{type(error).__name__}: {error}")
        response = problem_response(RedisAwayError())
    except StorageError as error:
        log.warning("storage is away", error=str(error))
        response = problem_response(StorageAwayError())
    except ConnectionError:
        response = problem_response(ClientGoneError())  # counted, if not read by anybody
    except Exception:
        log.exception("unexpected error")
        response = problem_response(ProducerError("The service failed; the cause is in its log."))
    return await _without_the_body(request, response)


def problem_response(error: ProducerError) -> web.Response:
    """The answer that belongs to an error."""
    response = _problem(error.status, f"{TYPE_PREFIX}{error.kind}", str(error))
    response[PROBLEM_KIND] = error.kind
    if error.status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="plate-detect"'
    if error.retry_after_seconds is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after_seconds)
    return response


def _from_aiohttp(answer: web.HTTPException) -> web.Response:
    response = _problem(answer.status, "about:blank", HTTPStatus(answer.status).description)
    if hdrs.ALLOW in answer.headers:
        response.headers[hdrs.ALLOW] = answer.headers[hdrs.ALLOW]
    return response


def _problem(status: int, kind: str, detail: str) -> web.Response:
    phrase = HTTPStatus(status).phrase
    body = Problem(type=kind, title=phrase, status=status, detail=detail or phrase)
    return web.Response(
        status=status, body=orjson.dumps(body.model_dump()), content_type=PROBLEM_JSON
    )


async def _without_the_body(request: web.Request, response: web.Response) -> web.Response:
    """Answer before the body has been read, then read on a little and close.

    Closing at once would reset the connection, and a client that is still sending would never
    see the answer. One that waits for `100 Continue` sends nothing more.
    """
    content = request.content
    if not request.can_read_body or content.is_eof():
        return response
    response.force_close()
    try:
        await response.prepare(request)
        await response.write_eof()
        if hdrs.EXPECT not in request.headers or content.total_bytes > 0:
            await _read_on(content)
    except (TimeoutError, OSError, web.RequestPayloadError):
        pass  # gone, or silent: it can have read the answer
    return response


async def _read_on(content: StreamReader) -> None:
    until_bytes = content.total_bytes + _LINGER_BYTES
    async with asyncio.timeout(_LINGER_SECONDS):
        while content.total_bytes < until_bytes:
            async with asyncio.timeout(_LINGER_SILENCE_SECONDS):
                if not await content.readany():
                    return
