"""A result that people can review, and the path of its calls."""

from schemas.contract.names import result_url
from schemas.contract.tasks import ImageResult
from tests.integration.producer.conftest import JPEG, RunningProducer

NAME = "covered_a.webp"


async def completed(producer: RunningProducer, *, needs_review: bool = False) -> str:
    """Upload and finish a task of one image; return the path of its result's calls."""
    _, body = await producer.upload(("a.jpg", JPEG))
    task_id = body["task_id"]
    entry, message = (await producer.messages())[-1]
    await producer.store.begin(entry, message)
    await producer.storage.put(f"{task_id}/output/{NAME}", b"first")
    result = ImageResult(filename=NAME, url=result_url(task_id, NAME), needs_review=needs_review)
    doubt = {"doubt": {"reason": "not_covered", "score": 0.6}}
    await producer.store.finish(entry, message, result, doubt)
    return f"/api/v1/tasks/{task_id}/results/{NAME}"


def task_of(path: str) -> str:
    return path.split("/")[4]
