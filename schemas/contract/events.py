"""Completion events: each is published once, by the step that finishes its task."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from schemas.contract.messages import TaskId
from schemas.contract.tasks import TaskState


class CompletionEvent(BaseModel):
    """Entry of the event stream. `payload` is the JSON of task-status at that moment."""

    model_config = ConfigDict(frozen=True, extra="ignore", title="CompletionEvent v1")

    event_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,80}$", description="Same for every delivery of this event"
    )
    type: Literal["task.completed", "task.failed"]
    task_id: TaskId
    payload: str = Field(description="JSON of TaskState")

    @property
    def state(self) -> TaskState:
        """State of the finished task."""
        return TaskState.model_validate_json(self.payload)

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read an entry as Redis returns it; raise pydantic's ValidationError if it is invalid."""
        return cls.model_validate({k.decode(): v.decode() for k, v in fields.items()})
