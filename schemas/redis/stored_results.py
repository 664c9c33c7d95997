"""A task as its hash stores it, and the JSON of one result in it.

The index of a result's image is in the name of the hash's field, and not in the JSON.
"""

from schemas.contract.tasks import ImageFailure, ImageResult, Progress, TaskState, TaskStatus


def to_stored(result: ImageResult) -> str:
    """Return the JSON that is stored."""
    return result.model_dump_json(exclude={"index"})


def from_stored(stored: bytes, index: int) -> ImageResult:
    """Return the result of an image as users see it; so does `payload` in `lua/_tasks.lua`."""
    return ImageResult.model_validate_json(stored).model_copy(update={"index": index})


def task_state(task_id: str, fields: dict[bytes, bytes]) -> TaskState:
    """Return a task as its user sees it, from the fields of its hash."""
    total = int(fields[b"total"])
    results, errors = [], []
    for index in range(total):
        if (result := fields.get(b"result:%d" % index)) is not None:
            results.append(from_stored(result, index))
        if (failure := fields.get(b"error:%d" % index)) is not None:
            errors.append(ImageFailure.model_validate_json(failure))
    return TaskState(
        task_id=task_id,
        status=TaskStatus(fields[b"status"].decode()),
        results=results,
        errors=errors,
        progress=Progress(done=int(fields[b"done"]), total=total),
        needs_review=any(result.needs_review for result in results),
    )
