"""Corrections: covers that a person adds to a result, and the review of doubtful results."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from schemas.contract.messages import ContractError, error_target
from schemas.contract.tasks import ImageResult

MAX_COVERS = 50
"""Maximum number of covers of one correction."""

MAX_CORRECTIONS = 50
"""Maximum number of corrections of one result, so that a task's hash stays small."""

_MAX_COORDINATE = 100_000
_DECIMALS = 1
_SMALLEST_CORNER = 1.0  # square pixels, twice the area of the triangle at each corner

_Coordinate = Annotated[
    FiniteFloat,
    Field(ge=-_MAX_COORDINATE, le=_MAX_COORDINATE),
    AfterValidator(lambda value: round(value, _DECIMALS) + 0.0),
]
_Corner = tuple[_Coordinate, _Coordinate]
_Corners = tuple[_Corner, _Corner, _Corner, _Corner]


def _clockwise(quad: _Corners) -> _Corners:
    """Return a convex quad with its corners clockwise on screen, the first one unchanged."""
    turns = [_turn(quad[n - 2], quad[n - 1], quad[n]) for n in range(4)]
    if min(turns) >= _SMALLEST_CORNER:
        return quad
    if max(turns) <= -_SMALLEST_CORNER:
        return (quad[0], quad[3], quad[2], quad[1])
    raise ValueError("the four corners must form a convex quad, in the order around it")


def _turn(before: _Corner, corner: _Corner, after: _Corner) -> float:
    (x0, y0), (x1, y1), (x2, y2) = before, corner, after
    return (x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1)


Quad = Annotated[_Corners, AfterValidator(_clockwise)]


class CoversToAdd(BaseModel):
    """What a person found uncovered in a result."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    covers: Annotated[tuple[Quad, ...], Field(min_length=1, max_length=MAX_COVERS)] = Field(
        description="Convex quads: four corners x, y in pixels of the result, in the order around "
        "the plate from its top left. The service adds its margin, as to a detected plate"
    )


class CorrectionErrorCode(StrEnum):
    """Why an accepted correction could not be made."""

    OUTSIDE_IMAGE = "outside_image"
    RESULT_UNREADABLE = "result_unreadable"
    TOO_MANY_DELIVERIES = "too_many_deliveries"
    INTERNAL_ERROR = "internal_error"


CORRECTION_ERROR_MEANINGS: dict[CorrectionErrorCode, str] = {
    CorrectionErrorCode.OUTSIDE_IMAGE: "A cover lies outside the image.",
    CorrectionErrorCode.RESULT_UNREADABLE: "The result is no longer in storage, or damaged.",
    CorrectionErrorCode.TOO_MANY_DELIVERIES: "The correction was given up after some tries.",
    CorrectionErrorCode.INTERNAL_ERROR: "The service failed on this result; it is unchanged.",
}


class CorrectionState(BaseModel):
    """A correction that was accepted, and the result that it belongs to."""

    correction_id: str = Field(description="The same for each repeat of the request")
    status: Literal["pending", "done"] = Field(description="`done`: the covers are in the result")
    result: ImageResult = Field(description="The result as it is now")


class ReviewItem(BaseModel):
    """A result that a person should look at."""

    task_id: str
    result: ImageResult
    finished_at: datetime = Field(description="When its task ended")
    reason: Literal["uncertain_cover", "not_covered"] | None = Field(
        description="`uncertain_cover`: `score` is the lowest one of a cover. `not_covered`: it is "
        "the highest one of what was not covered. `null`: made by an earlier version"
    )
    score: float | None = Field(description="The score that makes it doubtful")


class ReviewPage(BaseModel):
    """A part of the queue, oldest first."""

    total: int = Field(ge=0, description="Results in the queue, whatever the filter")
    items: list[ReviewItem]
    next: str | None = Field(
        description="`cursor` of the next page; `null` at the end. A page may have fewer items "
        "than asked for, or none, and still not be the last"
    )


@dataclass(frozen=True, slots=True)
class CorrectionMessage:
    """Entry of the stream of corrections: a result that has corrections to be made.

    Only the service itself publishes there. The covers are in the task's hash.
    """

    task_id: str
    index: int

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read an entry as Redis returns it; raises ContractError."""
        target = error_target(fields)
        if target is None:
            raise ContractError("names no result")
        return cls(target.task_id, target.index)

    @property
    def attempts_name(self) -> str:
        """Name under which the task counts its failed attempts."""
        return f"correction:{self.index}"
