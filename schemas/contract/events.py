"""Events: one at the end of each task, and one for each new version of a result."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from schemas.contract.messages import TaskId
from schemas.contract.tasks import TaskState

RESULT_UPDATED = "result.updated"


class Event(BaseModel):
    """Entry of the event stream. `payload` is the JSON of task-status at that moment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,80}$", description="Same for every delivery of this event"
    )
    type: str
    task_id: TaskId
    payload: str = Field(description="JSON of TaskState")
    traceparent: str = Field("", description="W3C trace context; absent if there is none")

    @property
    def state(self) -> TaskState:
        """State of the finished task."""
        return TaskState.model_validate_json(self.payload)

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read an entry as Redis returns it; raise pydantic's ValidationError if it is invalid."""
        return cls.model_validate({k.decode(): v.decode() for k, v in fields.items()})


class CompletionEvent(Event):
    """Entry of the event stream. `payload` is the JSON of task-status at that moment."""

    model_config = ConfigDict(title="CompletionEvent v1")

    type: Literal["task.completed", "task.failed"]


class ResultUpdatedEvent(Event):
    """Entry of the event stream: covers were added to a result, so its file has changed.

    `payload` is the JSON of task-status at that moment, with `updated`: the name of the result.
    """

    model_config = ConfigDict(title="ResultUpdatedEvent v1")

    type: Literal["result.updated"]
    filename: str = Field(description="Name of the result")
    version: int = Field(ge=1, description="How many corrections are in the result")


def parse_event(fields: Mapping[bytes, bytes]) -> Event:
    """Read an entry of a known type; raise pydantic's ValidationError if it is invalid."""
    is_update = fields.get(b"type") == RESULT_UPDATED.encode()
    return (ResultUpdatedEvent if is_update else CompletionEvent).from_fields(fields)
