"""Webhooks in Flask: the functions raise 401 (werkzeug's Unauthorized) for what is not genuine."""

from typing import BinaryIO, cast

from flask import Request
from werkzeug.exceptions import Unauthorized

from plate_detect_client.errors import WebhookError
from plate_detect_client.models import TaskState
from plate_detect_client.webhooks import Upload, Webhooks, check_headers


def verified_callback(request: Request, secret: str) -> TaskState:
    """Return the task of a callback."""
    headers = dict(request.headers)
    try:
        check_headers(headers)
        return Webhooks(secret).callback(headers, request.get_data())
    except WebhookError as error:
        raise Unauthorized(str(error)) from error


def verified_upload(request: Request, secret: str, *, field: str = "images") -> Upload:
    """Return the images of an upload. Flask closes their files after the response.

    Args:
        field: the service's WEBHOOK_IMAGES_FIELD.
    """
    headers = dict(request.headers)
    try:
        check_headers(headers)
        files = request.files.getlist(field)
        images = [(file.filename or "", cast(BinaryIO, file.stream)) for file in files]
        return Webhooks(secret).upload(headers, request.form.get("task_id", ""), images)
    except WebhookError as error:
        raise Unauthorized(str(error)) from error
