"""Creating, reading and deleting tasks."""

import re

import structlog
from aiohttp import hdrs, web

from producer.access import CALLER
from producer.errors import BacklogFullError, TooBusyError, UnknownTaskError
from producer.metrics import Metrics
from producer.routes.public_url import public_base, with_public_urls
from producer.services.container import SERVICES, Services, with_timeout
from producer.services.form import UploadForm, check_headers
from producer.services.idempotency import HEADER, KeyClaim, checked_key
from producer.services.uploads import ReceivedUpload, TaskAccepted
from schemas import tracing
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.contract.tasks import TaskState
from schemas.storage.layout import task_prefix

_CONTINUE = "100-continue"

log = structlog.get_logger(__name__)


async def process_task(request: web.Request) -> web.Response:
    """Receive one multipart upload as a new task."""
    services = request.app[SERVICES]
    if request.headers.get(hdrs.EXPECT, _CONTINUE).lower() != _CONTINUE:
        raise web.HTTPExpectationFailed
    check_headers(request, services.settings)
    key = checked_key(request.headers.getall(HEADER, []))
    if services.stopping.is_set():
        raise TooBusyError("The service is shutting down; try again.")
    form = UploadForm(request, services.settings)
    async with services.idempotency.claim(request[CALLER], key) as claim:
        if claim is None or claim.earlier is None:
            await _check_backlog(services)
        upload = await _receive(form, request, services, claim)
    tracing.annotate({tracing.TASK_ID: upload.task_id})
    _count(services.metrics, upload)
    accepted = TaskAccepted(task_id=upload.task_id, ignored_fields=form.ignored_fields)
    return web.Response(
        status=202,
        text=accepted.model_dump_json(exclude_defaults=True),
        content_type="application/json",
        headers={hdrs.LOCATION: f"{public_base(request)}/api/v1/task-status/{upload.task_id}"},
    )


async def defer_continue(_: web.Request) -> None:
    """Do nothing: `process_task` sends `100 Continue` itself, once it wants the body.

    aiohttp calls this outside the middlewares: a refusal from here would be no problem document.
    """


async def _check_backlog(services: Services) -> None:
    # Before the body: a client should not send 50 photos that are then refused.
    if await with_timeout(services.store.backlog()) >= services.settings.max_backlog_images:
        raise BacklogFullError


async def _receive(
    form: UploadForm, request: web.Request, services: Services, claim: KeyClaim | None
) -> ReceivedUpload:
    async with services.uploads.slot():
        with services.metrics.uploads.track_inprogress():
            if hdrs.EXPECT in request.headers:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # as aiohttp does: not part of the response
            return await services.uploads.receive(form, claim)


def _count(metrics: Metrics, upload: ReceivedUpload) -> None:
    total_bytes = sum(file.size for file in upload.files)
    metrics.upload_bytes.inc(total_bytes)
    if upload.repeated:
        metrics.tasks_repeated.inc()
        log.info("upload repeated", task_id=upload.task_id)
        return
    metrics.tasks_accepted.inc()
    metrics.images_accepted.inc(len(upload.files))
    log.info(
        "task accepted", task_id=upload.task_id, images=len(upload.files), bytes=total_bytes,
        filenames=tuple(file.filename for file in upload.files),
    )  # fmt: skip


async def task_status(request: web.Request) -> web.Response:
    """Respond with the state of a task."""
    state = with_public_urls(await state_of(request), request)
    return web.Response(
        text=state.model_dump_json(),
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


async def delete_task(request: web.Request) -> web.Response:
    """Make a task a tombstone, then delete its files. A repeat finishes what failed half-way."""
    services = request.app[SERVICES]
    task_id = task_id_of(request)
    if not await with_timeout(services.store.delete(task_id)):
        raise UnknownTaskError
    await services.storage.delete_prefix(task_prefix(task_id))
    log.info("task deleted", task_id=task_id)
    return web.Response(status=204)


def task_id_of(request: web.Request) -> str:
    """Return the task id of the path; an impossible one is unknown without asking Redis."""
    task_id = request.match_info["task_id"]
    if re.fullmatch(TASK_ID_PATTERN, task_id) is None:
        raise UnknownTaskError
    return task_id


async def state_of(request: web.Request) -> TaskState:
    """Return the state of the task of the path."""
    state = await with_timeout(request.app[SERVICES].store.state(task_id_of(request)))
    if state is None:
        raise UnknownTaskError
    return state
