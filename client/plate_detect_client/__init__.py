"""Client of plate-detect: HTTP, Redis Streams, and verification of its webhooks."""

from plate_detect_client.async_client import AsyncClient
from plate_detect_client.client import Client
from plate_detect_client.errors import (
    NotFoundError,
    PlateDetectError,
    ProblemError,
    PublishError,
    RequestError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
    WaitTimeoutError,
    WebhookError,
)
from plate_detect_client.models import (
    Detection,
    ImageErrorCode,
    ImageFailure,
    ImageResult,
    Problem,
    Progress,
    TaskState,
    TaskStatus,
)
from plate_detect_client.retry import RetryPolicy
from plate_detect_client.webhooks import Upload, VerifiedImage, Webhooks

__all__ = [
    "AsyncClient",
    "Client",
    "Detection",
    "ImageErrorCode",
    "ImageFailure",
    "ImageResult",
    "NotFoundError",
    "PlateDetectError",
    "Problem",
    "ProblemError",
    "Progress",
    "PublishError",
    "RequestError",
    "RetryPolicy",
    "TaskState",
    "TaskStatus",
    "UnauthorizedError",
    "UnavailableError",
    "UnreachableError",
    "Upload",
    "VerifiedImage",
    "WaitTimeoutError",
    "WebhookError",
    "Webhooks",
]
