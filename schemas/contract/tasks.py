"""A task as its user sees it: status, results, errors, progress."""

import operator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from schemas.contract.errors import ImageErrorCode

MAX_REPORTED_COVERS = 100
"""Maximum number of reported covers of one image, so that a task's hash stays small."""

MODEL_DIGITS = 12
"""How much of the networks' SHA-256 a result names, and the worker's log."""


class TaskStatus(StrEnum):
    """`pending` → `processing` → `completed` or `failed`; the last two are final."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the task will not change any more."""
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED)


class _Public(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Detection(_Public):
    """A detected plate, which was covered together with a margin around it."""

    quad: Annotated[tuple[tuple[float, float], ...], Field(min_length=4, max_length=4)] = Field(
        description="Corners x, y in pixels of the result, clockwise from the plate's top left; "
        "they may lie outside the image"
    )
    score: float = Field(ge=0, le=1, description="Probability that it is a plate")


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


def _is_none(value: object) -> bool:
    return value is None


class ImageResult(_Public):
    """A covered image. Results of older versions lack the fields that have a default."""

    index: Annotated[int, Field(ge=0)] | SkipJsonSchema[None] = Field(
        None,
        exclude_if=_is_none,
        json_schema_extra=_without_default,
        description="Place of the image in its task, from 0: in an upload, that of its file",
    )
    filename: str = Field(description="Name of the result")
    url: str = Field(
        description="Address of the result, percent-encoded: a path on this service, or with "
        "PUBLIC_URL a whole URL"
    )
    needs_review: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="Reported only when true: a cover's score is below REVIEW_CONFIDENCE, or "
        "something that may be a plate is not covered",
    )
    detections: list[Detection] | SkipJsonSchema[None] = Field(
        None,
        exclude_if=_is_none,
        json_schema_extra=_without_default,
        description="With DETECTIONS only: the covered plates, highest score first; of more than "
        f"{MAX_REPORTED_COVERS}, those with the lowest scores",
    )
    model: str | SkipJsonSchema[None] = Field(
        None,
        exclude_if=_is_none,
        json_schema_extra=_without_default,
        description="Which detector and second stage found the plates: the first "
        f"{MODEL_DIGITS} hexadecimal digits of a SHA-256 of their files, as the worker logs them",
    )
    version: int = Field(
        default=0,
        ge=0,
        exclude_if=operator.not_,
        description="Reported only for a corrected result: how many corrections are in it",
    )


class ImageFailure(_Public):
    """An image that has no result, and the reason."""

    index: int = Field(ge=0, description="Place of the image in its task")
    filename: str | None = Field(description="Original name, if it is known")
    code: ImageErrorCode = Field(description="What went wrong, for programs")
    detail: str = Field(description="What went wrong, for people")


class Progress(_Public):
    """How far a task is."""

    done: int = Field(ge=0, description="Images that have a result or an error")
    total: int = Field(ge=1, description="Images of the task")


class TaskState(_Public):
    """Body of task-status, of the callback, and the payload of a completion event.

    `redis/lua/_tasks.lua` writes the payload in the same order of fields.
    """

    task_id: str
    status: TaskStatus
    results: list[ImageResult] = Field(description="Covered images, in index order")
    errors: list[ImageFailure] = Field(description="Images without a result, in index order")
    progress: Progress
    needs_review: bool = Field(default=False, description="Whether any of the results needs review")
    updated: str | SkipJsonSchema[None] = Field(
        None,
        exclude_if=_is_none,
        json_schema_extra=_without_default,
        description="Only in the event and callback of a corrected result: its `filename`",
    )
