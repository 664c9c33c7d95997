"""Webhooks in aiohttp: the functions raise HTTPUnauthorized for what is not genuine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, cast

from aiohttp import web

from plate_detect_client.async_upload import AsyncUpload
from plate_detect_client.errors import WebhookError
from plate_detect_client.models import TaskState
from plate_detect_client.webhooks import Webhooks, check_headers

MAX_BYTES = 1 << 30
"""Largest request that is read, whatever `client_max_size` of the application is."""


async def verified_callback(
    request: web.Request, secret: str, *, max_bytes: int = MAX_BYTES
) -> TaskState:
    """Return the task of a callback."""
    try:
        check_headers(request.headers)
        body = await request.clone(client_max_size=max_bytes).read()
        return Webhooks(secret).callback(request.headers, body)
    except WebhookError as error:
        raise web.HTTPUnauthorized(text=str(error)) from error


@asynccontextmanager
async def verified_upload(
    request: web.Request, secret: str, *, field: str = "images", max_bytes: int = MAX_BYTES
) -> AsyncIterator[AsyncUpload]:
    """Give the images of an upload within the block; its end closes their files.

    Args:
        field: the service's WEBHOOK_IMAGES_FIELD.
    """
    try:
        check_headers(request.headers)
    except WebhookError as error:
        raise web.HTTPUnauthorized(text=str(error)) from error
    form = await request.clone(client_max_size=max_bytes).post()
    files = [file for file in form.getall(field, []) if isinstance(file, web.FileField)]
    images = [(file.filename, cast(BinaryIO, file.file)) for file in files]
    try:
        task_id = str(form.get("task_id", ""))
        try:
            upload = await asyncio.to_thread(
                Webhooks(secret).upload, request.headers, task_id, images
            )
        except WebhookError as error:
            raise web.HTTPUnauthorized(text=str(error)) from error
        yield AsyncUpload(upload)
    finally:
        for _, file in images:
            file.close()
