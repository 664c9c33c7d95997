"""Answers that only the producer gives; those about a task are in `schemas`."""

from typing import Literal

from pydantic import BaseModel, Field


class TaskAccepted(BaseModel):
    """The task that an upload became."""

    task_id: str = Field(examples=["a1b2c3d4-e5f6-7890-1234-567890abcdef"])
    ignored_fields: tuple[str, ...] = Field(
        default=(),
        description="Names of the form's text fields, which are not used; left out if there are "
        "none",
        examples=[["comment"]],
    )


class ServiceStatus(BaseModel):
    """The service about itself."""

    status: Literal["alive", "ready"]
