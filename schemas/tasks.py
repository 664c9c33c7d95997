"""A task as its user sees it: status, results, errors, progress."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import ImageErrorCode


class TaskStatus(StrEnum):
    """`pending` → `processing` → `completed` or `failed`; the last two are final."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing of the task will change any more."""
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED)


class _Public(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageResult(_Public):
    """A covered image."""

    filename: str = Field(description="Name of the result")
    url: str = Field(description="Path of the result on this service, percent-encoded")


class ImageFailure(_Public):
    """An image that has no result, and why."""

    index: int = Field(ge=0, description="Place of the image in its task")
    filename: str | None = Field(description="Original name, if it was ever seen")
    code: ImageErrorCode = Field(description="What went wrong, for programs")
    detail: str = Field(description="What went wrong, for people")


class Progress(_Public):
    """How far a task is."""

    done: int = Field(ge=0, description="Images that have a result or an error")
    total: int = Field(ge=1, description="Images of the task")


class TaskState(_Public):
    """Body of task-status, of the callback, and the payload of a completion event.

    The field order is the order in which `scripts/_tasks.lua` writes the payload.
    """

    task_id: str
    status: TaskStatus
    results: list[ImageResult] = Field(description="Covered images, in index order")
    errors: list[ImageFailure] = Field(description="Images without a result, in index order")
    progress: Progress
