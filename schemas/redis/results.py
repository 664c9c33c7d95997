"""What the atomic steps of a task return; `TaskStore` has a method for each step."""

from enum import StrEnum


class SubmitResult(StrEnum):
    """Result of a submit.

    `exists`: an earlier call with this id was accepted. `lost`: another upload holds the
    idempotency key now.
    """

    ACCEPTED = "accepted"
    EXISTS = "exists"
    BACKLOG = "backlog"
    LOST = "lost"


class BeginResult(StrEnum):
    """Whether an image is to be processed, and if not, why.

    `output_taken`: replacing characters gave its result the name of another result.
    """

    RUN = "run"
    DUPLICATE = "duplicate"
    GONE = "gone"
    INDEX_CONFLICT = "index_conflict"
    TOTAL_CONFLICT = "total_conflict"
    TOTAL_TOO_LARGE = "total_too_large"
    INDEX_OUT_OF_RANGE = "index_out_of_range"
    OUTPUT_CONFLICT = "output_conflict"
    OUTPUT_TAKEN = "output_taken"


class FinishResult(StrEnum):
    """What writing an outcome did: counted it, ended the task, or was too late (closed, gone).

    Of a dead letter also `recorded`: no image was failed; `settled`: its entry was gone.
    """

    WRITTEN = "written"
    COMPLETED = "completed"
    FAILED = "failed"
    CLOSED = "closed"
    GONE = "gone"
    RECORDED = "recorded"
    SETTLED = "settled"


class CorrectionRefusal(StrEnum):
    """Why a correction, or the acceptance of a result, is refused.

    `conflict`: its id was used for another one; `open`: the task has not ended.
    """

    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_RESULT = "unknown_result"
    OPEN = "open"
    CONFLICT = "conflict"
    TOO_MANY = "too_many"
    BACKLOG = "backlog"


class CorrectionResult(StrEnum):
    """What finishing corrections did: a new version, or nothing, since it was too late.

    `stale`: another worker has made some of them; `gone`: the task was deleted or has expired.
    """

    WRITTEN = "written"
    STALE = "stale"
    GONE = "gone"
