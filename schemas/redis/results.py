"""Whether a task lists a result, at a cost that does not grow with the task."""

from typing import cast

from redis.asyncio import Redis

from schemas.contract.tasks import ImageResult
from schemas.redis.keys import Keys


async def lists_result(redis: Redis, keys: Keys, task_id: str, name: str) -> bool:
    """Whether `name` is the file name of one of the task's results; two round trips.

    `TaskStore.state` tells the same, but reads and parses every result of the task.
    """
    task = keys.task(task_id)
    # A name out of a URL may be no text that UTF-8 can write.
    output = b"output:" + name.encode(errors="surrogatepass")
    # Each output name is reserved for one image before it has a result.
    index = cast(bytes | None, await redis.hget(task, output))
    if index is None:
        return False
    result = cast(bytes | None, await redis.hget(task, f"result:{int(index)}"))
    return result is not None and ImageResult.model_validate_json(result).filename == name
