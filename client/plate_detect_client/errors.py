"""The exceptions of this package; all derive from `PlateDetectError`."""

from collections.abc import Mapping

from pydantic import ValidationError

from plate_detect_client.models import Problem, TaskState

_PASSING = frozenset({408, 409, 425, 429, 502, 503, 504})
"""Statuses after which a repeat may succeed. 409: the first request is still being received."""


class PlateDetectError(Exception):
    """Base class of all exceptions of this package."""


class FailedCallError(PlateDetectError):
    """A call that failed. `idempotency_key` is set if it was an upload.

    Whether the service accepted the upload may be unknown: `submit` the same files again with this
    key, and there is still only one task.
    """

    idempotency_key: str | None = None
    retry_after_seconds: float | None = None
    is_passing = False


class UnreachableError(FailedCallError):
    """No response came: no connection, a lost one, or a timeout. `__cause__` says which."""

    def __init__(self, message: str, *, is_passing: bool = True) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class ProblemError(FailedCallError):
    """The service responded with an error; `problem` is its description of it."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{problem.status} {problem.title}: {problem.detail or problem.type}")
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds


class UnauthorizedError(ProblemError):
    """401 or 403: the API key is missing or wrong."""


class NotFoundError(ProblemError):
    """404: there is no such task or result; perhaps it expired."""


class RequestError(ProblemError):
    """Another 4xx: the service refuses this request, also if it is repeated."""


class UnavailableError(ProblemError):
    """503 and the like: the service cannot do it now, and could not before the retries ended."""

    is_passing = True


class WaitTimeoutError(PlateDetectError, TimeoutError):
    """The task did not end in time; `state` is the last one seen. The task goes on."""

    def __init__(self, task_id: str, state: TaskState | None) -> None:
        super().__init__(f"task {task_id} has not ended yet")
        self.task_id = task_id
        self.state = state


class PublishError(PlateDetectError):
    """Redis failed after `published` images. To finish, publish the same files with `task_id`."""

    def __init__(self, task_id: str, published: int, total: int) -> None:
        super().__init__(f"task {task_id}: only {published} of {total} images were published")
        self.task_id = task_id
        self.published = published


class WebhookError(PlateDetectError):
    """A webhook is not what the service signed, or it is too old."""


def problem_error(
    status: int, body: bytes, headers: Mapping[str, str], retry_after_seconds: float | None
) -> ProblemError:
    """Return the exception for a response whose status is an error."""
    problem = _problem(status, body, headers.get("Content-Type", ""))
    return _kind(status)(problem, retry_after_seconds)


def _problem(status: int, body: bytes, content_type: str) -> Problem:
    unknown = Problem(status=status, title="an error that is not of plate-detect")
    if "json" not in content_type:
        return unknown
    try:
        return Problem.model_validate_json(body).model_copy(update={"status": status})
    except ValidationError:  # JSON of a proxy
        return unknown


def _kind(status: int) -> type[ProblemError]:
    if status in (401, 403):
        return UnauthorizedError
    if status in _PASSING:
        return UnavailableError
    if status == 404:
        return NotFoundError
    return RequestError if 400 <= status < 500 else ProblemError
