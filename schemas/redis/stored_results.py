"""The JSON of one result in its task's hash.

The index of its image is in the name of the hash's field, and not in the JSON.
"""

from schemas.contract.tasks import ImageResult


def to_stored(result: ImageResult) -> str:
    """Return the JSON that is stored."""
    return result.model_dump_json(exclude={"index"})


def from_stored(stored: bytes, index: int) -> ImageResult:
    """Return the result of an image as users see it; so does `payload` in `lua/_tasks.lua`."""
    return ImageResult.model_validate_json(stored).model_copy(update={"index": index})
