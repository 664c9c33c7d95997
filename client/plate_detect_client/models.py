"""What the service responds with. Fields and codes of newer services are accepted, and ignored."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class TaskStatus(StrEnum):
    """`pending` → `processing` → `completed` or `failed`; the last two are final."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended."""
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED)


class ImageErrorCode(StrEnum):
    """The codes of `ImageFailure` at the time of this release; newer services may have more."""

    UNSUPPORTED_FORMAT = "unsupported_format"
    CORRUPT_IMAGE = "corrupt_image"
    ANIMATED_IMAGE = "animated_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    SIDE_TOO_LONG = "side_too_long"
    FILE_TOO_LARGE = "file_too_large"
    INPUT_MISSING = "input_missing"
    INVALID_MESSAGE = "invalid_message"
    INTERNAL_ERROR = "internal_error"
    TOO_MANY_DELIVERIES = "too_many_deliveries"
    TIMED_OUT = "timed_out"
    DELETED = "deleted"


class _Public(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Detection(_Public):
    """A covered plate: corners x, y in pixels, clockwise from its top left, and a score 0 to 1."""

    quad: tuple[tuple[float, float], ...] = Field(min_length=4, max_length=4)
    score: float


class ImageResult(_Public):
    """A covered image. `detections` is None unless the service reports them.

    `index`: place of the image among the files of `submit`, from 0; None: the service is older.
    `model`: which networks found the plates; None: the service is older.
    `version`: how many corrections are in it.
    """

    index: int | None = None
    filename: str
    url: str
    needs_review: bool = False
    detections: list[Detection] | None = None
    model: str | None = None
    version: int = 0


class ImageFailure(_Public):
    """An image that has no result. Compare `code` with members of `ImageErrorCode`."""

    index: int
    filename: str | None
    code: str
    detail: str


class Progress(_Public):
    """How many images of the task have a result or an error."""

    done: int
    total: int


class TaskState(_Public):
    """A task: body of task-status and of the callback.

    `updated`: only in the callback of a corrected result, its file name.
    """

    task_id: str
    status: TaskStatus
    results: list[ImageResult]
    errors: list[ImageFailure]
    progress: Progress
    needs_review: bool = False
    updated: str | None = None


class TaskAccepted(_Public):
    """Response to an upload."""

    task_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")


class Problem(_Public):
    """Body of an error (RFC 9457). A proxy's own error has only a status and a title."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
