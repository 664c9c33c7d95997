"""Creating, looking at and deleting tasks."""

import re

import structlog
from aiohttp import hdrs, web

from producer.access import CALLER
from producer.errors import BacklogFullError, TooBusyError, UnknownTaskError
from producer.handlers.bodies import TaskAccepted
from producer.handlers.public import located, public_base
from producer.handlers.services import SERVICES, Services, ask_redis
from producer.metrics import Metrics
from producer.uploads.form import UploadForm, check_headers
from producer.uploads.idempotency import HEADER, Claim, checked_key
from producer.uploads.upload_service import AcceptedTask
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.contract.tasks import TaskState
from schemas.storage.layout import task_prefix

_CONTINUE = "100-continue"

log = structlog.get_logger(__name__)


async def process_task(request: web.Request) -> web.Response:
    """Take in one multipart upload as a new task."""
    services = request.app[SERVICES]
    if request.headers.get(hdrs.EXPECT, _CONTINUE).lower() != _CONTINUE:
        raise web.HTTPExpectationFailed
    check_headers(request, services.intake.limits)
    key = checked_key(request.headers.getall(HEADER, []))
    if services.stopping.is_set():
        raise TooBusyError("The service is shutting down; try again.")
    async with services.idempotency.claim(request[CALLER], key) as claim:
        if claim is None or claim.earlier is None:
            await _check_room(services)
        task = await _receive(request, services, claim)
    _count(services.metrics, task)
    accepted = TaskAccepted(task_id=task.task_id, ignored_fields=task.ignored_fields)
    return web.Response(
        status=202,
        text=accepted.model_dump_json(exclude_defaults=True),
        content_type="application/json",
        headers={hdrs.LOCATION: f"{public_base(request)}/api/v1/task-status/{task.task_id}"},
    )


async def _receive(request: web.Request, services: Services, claim: Claim | None) -> AcceptedTask:
    intake = services.intake
    async with intake.slot():
        with services.metrics.uploads.track_inprogress():
            await _send_continue(request)
            form = UploadForm(request, intake.limits, hashing=claim is not None)
            return await intake.take(form, claim)


def _count(metrics: Metrics, task: AcceptedTask) -> None:
    metrics.upload_bytes.inc(task.total_bytes)
    if task.repeated:
        metrics.tasks_repeated.inc()
        log.info("task asked for again", task_id=task.task_id)
        return
    metrics.tasks_accepted.inc()
    metrics.images_accepted.inc(len(task.filenames))
    log.info(
        "task accepted", task_id=task.task_id, images=len(task.filenames), bytes=task.total_bytes,
        filenames=task.filenames,
    )  # fmt: skip


async def task_status(request: web.Request) -> web.Response:
    """The state of a task."""
    state = located(await state_of(request), public_base(request))
    return web.Response(
        text=state.model_dump_json(),
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


async def delete_task(request: web.Request) -> web.Response:
    """Make a task a tombstone, then delete its files. A repeat finishes what failed half-way."""
    services = request.app[SERVICES]
    task_id = task_id_of(request)
    if not await ask_redis(services.store.delete(task_id)):
        raise UnknownTaskError
    await services.storage.delete_prefix(task_prefix(task_id))
    log.info("task deleted", task_id=task_id)
    return web.Response(status=204)


def task_id_of(request: web.Request) -> str:
    """The task id of the path; one that cannot exist is unknown without asking Redis."""
    task_id = request.match_info["task_id"]
    if re.fullmatch(TASK_ID_PATTERN, task_id) is None:
        raise UnknownTaskError
    return task_id


async def state_of(request: web.Request) -> TaskState:
    """The state of the task of the path."""
    state = await ask_redis(request.app[SERVICES].store.state(task_id_of(request)))
    if state is None:
        raise UnknownTaskError
    return state


async def defer_continue(_: web.Request) -> None:
    """Expect handler that leaves it to the upload's: `100 Continue` only when it is wanted.

    It runs outside the middlewares, so a refusal from here would be no problem document.
    """


async def _send_continue(request: web.Request) -> None:
    if hdrs.EXPECT in request.headers:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp does: this was not part of the answer


async def _check_room(services: Services) -> None:
    # Before the body: nobody should send 50 photos to learn that they are not wanted.
    if await ask_redis(services.store.backlog()) >= services.settings.max_backlog_images:
        raise BacklogFullError
