"""The review of results: the queue, acceptance, and covers that people add."""

import asyncio
import hashlib
import secrets
from typing import Annotated

import orjson
import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeFloat, ValidationError
from redis.exceptions import OutOfMemoryError, RedisError

from producer.access import CALLER
from producer.errors import (
    BacklogFullError,
    CorrectionNotMadeError,
    InvalidCoversError,
    InvalidQueryError,
    KeyReusedError,
    MalformedRequestError,
    ProducerError,
    RedisFullError,
    RedisUnavailableError,
    SlowUploadError,
    TaskNotEndedError,
    TooManyCorrectionsError,
    UnknownResultError,
    UnknownTaskError,
    UnsupportedTypeError,
)
from producer.routes.public_url import public_base, with_public_url
from producer.routes.tasks import task_id_of
from producer.services.container import SERVICES, Services, with_timeout
from producer.services.idempotency import HEADER, checked_key
from schemas.contract.corrections import (
    CORRECTION_ERROR_MEANINGS,
    CorrectionState,
    CoversToAdd,
    ReviewItem,
)
from schemas.redis.corrections import AcceptedCorrection, CorrectionRefusedError
from schemas.redis.results import CorrectionRefusal
from schemas.redis.reviews import Place
from schemas.retry import pause

WAIT_SECONDS = 8.0
"""How long a response waits for a correction to be made; most take less than a second."""

_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.1, 1.0
_CALLER_LENGTH = 12

_REFUSALS: dict[CorrectionRefusal, type[ProducerError]] = {
    CorrectionRefusal.UNKNOWN_TASK: UnknownTaskError,
    CorrectionRefusal.UNKNOWN_RESULT: UnknownResultError,
    CorrectionRefusal.OPEN: TaskNotEndedError,
    CorrectionRefusal.CONFLICT: KeyReusedError,
    CorrectionRefusal.TOO_MANY: TooManyCorrectionsError,
    CorrectionRefusal.BACKLOG: BacklogFullError,
}

log = structlog.get_logger(__name__)


class ReviewQuery(BaseModel):
    """Parameters of the queue. Others are refused: a misspelled filter would not filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 50
    max_age: Annotated[FiniteFloat, Field(gt=0)] | None = None
    min_score: Annotated[NonNegativeFloat, Field(le=1)] = 0.0
    max_score: Annotated[NonNegativeFloat, Field(le=1)] = 1.0
    cursor: str | None = None

    def admits(self, item: ReviewItem) -> bool:
        """Return whether an item has such a score; one without a score counts as any."""
        return item.score is None or self.min_score <= item.score <= self.max_score


async def reviews(request: web.Request) -> web.Response:
    """Respond with a page of the queue."""
    try:
        query = ReviewQuery.model_validate(dict(request.query))
        after = Place.from_cursor(query.cursor) if query.cursor is not None else None
    except ValueError as error:
        raise InvalidQueryError(_said(error)) from None
    page = await with_timeout(
        request.app[SERVICES].reviews.page(
            limit=query.limit, after=after, max_age_seconds=query.max_age, admits=query.admits
        )
    )
    base = public_base(request)
    items = [
        item.model_copy(update={"result": with_public_url(item.result, base)})
        for item in page.items
    ]
    return _json(page.model_copy(update={"items": items}))


async def accept_result(request: web.Request) -> web.Response:
    """Clear the mark of a result that needs review."""
    services, task_id, name = request.app[SERVICES], task_id_of(request), _file_of(request)
    try:
        result = await with_timeout(services.corrections.accept(task_id, name, _caller(request)))
    except CorrectionRefusedError as error:
        raise _REFUSALS[error.reason] from None
    services.metrics.results_accepted.inc()
    return _json(with_public_url(result, public_base(request)))


async def add_covers(request: web.Request) -> web.Response:
    """Accept covers for a result; respond with 200 once a worker has made them, else with 202."""
    services, task_id, name = request.app[SERVICES], task_id_of(request), _file_of(request)
    key = checked_key(request.headers.getall(HEADER, []))
    correction_id = _correction_id(request[CALLER], task_id, name, key)
    covers = await _covers(request, services)
    try:
        accepted = await with_timeout(
            services.corrections.add(
                task_id, name, correction_id, covers, _caller(request),
                max_backlog=services.settings.max_backlog_images,
            )
        )  # fmt: skip
    except CorrectionRefusedError as error:
        raise _REFUSALS[error.reason] from None
    except OutOfMemoryError:
        raise RedisFullError from None
    log.info("correction accepted", task_id=task_id, correction=correction_id)
    ended = await _ended(accepted, task_id, services)
    if ended.code is not None:
        raise CorrectionNotMadeError(CORRECTION_ERROR_MEANINGS[ended.code])
    base = public_base(request)
    state = CorrectionState(
        correction_id=correction_id,
        status="pending" if ended.is_waiting else "done",
        result=with_public_url(ended.result, base),
    )
    response = _json(state, status=202 if ended.is_waiting else 200)
    response.headers[hdrs.LOCATION] = f"{base}/api/v1/task-status/{task_id}"
    return response


async def _covers(request: web.Request, services: Services) -> CoversToAdd:
    """Read the body; aiohttp limits its size to 1 MiB."""
    if request.content_type != "application/json":
        raise UnsupportedTypeError("Send the covers as application/json.")
    try:
        async with asyncio.timeout(services.settings.upload_idle_timeout_seconds):
            body = await request.read()
    except TimeoutError:
        raise SlowUploadError("The body did not arrive in time.") from None
    try:
        return CoversToAdd.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise MalformedRequestError("The body is not JSON.") from None
    except ValidationError as error:
        raise InvalidCoversError(_said(error)) from None


async def _ended(
    accepted: AcceptedCorrection, task_id: str, services: Services
) -> AcceptedCorrection:
    """Wait until a correction is made or refused, but not for long; return it as it is then."""
    loop = asyncio.get_running_loop()
    deadline, seconds = loop.time() + WAIT_SECONDS, _MIN_PAUSE_SECONDS
    # Those who wait, here and for progress, are limited together.
    if not accepted.is_waiting or services.event_streams.locked():
        return accepted
    async with services.event_streams, services.completions.watch(task_id) as wakeup:
        while loop.time() < deadline and not services.stopping.is_set():
            await pause(min(seconds, max(0.0, deadline - loop.time())), wakeup)
            wakeup.clear()
            seconds = min(seconds * 1.5, _MAX_PAUSE_SECONDS)
            try:
                now = await with_timeout(services.corrections.again(task_id, accepted))
            except (RedisError, RedisUnavailableError):
                continue  # it is accepted all the same
            if now is None:
                raise UnknownResultError  # deleted meanwhile
            if not now.is_waiting:
                return now
    return accepted


def _correction_id(caller: str, task_id: str, name: str, key: str | None) -> str:
    """Return an id that is the same for each repeat with the same key, and else a new one."""
    if key is None:
        return secrets.token_hex(16)
    parts = f"{caller}\0{task_id}\0{name}\0{key}"
    return hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()[:32]


def _caller(request: web.Request) -> str:
    """Return the beginning of the digest of the API key, for the record of who did it."""
    return request[CALLER][:_CALLER_LENGTH]


def _file_of(request: web.Request) -> str:
    return request.match_info["file"]


def _said(error: ValueError) -> str:
    """Return what is wrong in one sentence, without quoting the request."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "body"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


def _json(model: BaseModel, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        text=model.model_dump_json(),
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )
