"""Webhooks in FastAPI, Starlette: the functions raise HTTPException 401 for what is not genuine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from plate_detect_client.async_upload import AsyncUpload
from plate_detect_client.errors import WebhookError
from plate_detect_client.models import TaskState
from plate_detect_client.webhooks import Webhooks, check_headers


async def verified_callback(request: Request, secret: str) -> TaskState:
    """Return the task of a callback."""
    try:
        check_headers(request.headers)
        return Webhooks(secret).callback(request.headers, await request.body())
    except WebhookError as error:
        raise HTTPException(401, str(error)) from error


@asynccontextmanager
async def verified_upload(
    request: Request, secret: str, *, field: str = "images"
) -> AsyncIterator[AsyncUpload]:
    """Give the images of an upload within the block; its end closes their files.

    Args:
        field: the service's WEBHOOK_IMAGES_FIELD.
    """
    try:
        check_headers(request.headers)
    except WebhookError as error:
        raise HTTPException(401, str(error)) from error
    async with request.form() as form:
        files = [file for file in form.getlist(field) if isinstance(file, UploadFile)]
        images = [(file.filename or "", file.file) for file in files]
        task_id = str(form.get("task_id", ""))
        try:
            upload = await asyncio.to_thread(
                Webhooks(secret).upload, request.headers, task_id, images
            )
        except WebhookError as error:
            raise HTTPException(401, str(error)) from error
        yield AsyncUpload(upload)
