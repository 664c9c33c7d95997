"""A lowered MAX_FILES_PER_REQUEST limits new tasks; tasks that were accepted before go on."""

import pytest

from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import TaskStatus
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import scene_file

pytestmark = pytest.mark.integration

OUTSIDE = "other/input/0"


def messages(task_id: str) -> list[ImageMessage]:
    return [
        ImageMessage(task_id=task_id, index=index, total=3, object=f"{task_id}/input/{index}")
        for index in range(3)
    ]


async def test_a_lowered_limit_applies_to_new_tasks_only(bench: Bench, worker: Start) -> None:
    await bench.store.submit("broken", messages("broken"), max_backlog=9)
    await bench.redis.xtrim(KEYS.images, maxlen=0, approximate=False)
    for index in range(3):
        await bench.publish(task_id="broken", index=index, total=3, object=OUTSIDE)
    for message in messages("whole"):
        await bench.storage.put(str(message.object), scene_file(message.index))
    await bench.store.submit("whole", messages("whole"), max_backlog=9)
    await bench.publish(task_id="new", index=1, total=3, object=OUTSIDE)
    await bench.publish(task_id="new", index=0, total=3, image=b"x")

    async with worker(max_files_per_request=2):
        whole, broken = await bench.final("whole"), await bench.final("broken")
        await bench.until_settled()

    assert (whole.status, len(whole.results)) == (TaskStatus.COMPLETED, 3)
    assert [error.code for error in broken.errors] == [ImageErrorCode.INVALID_MESSAGE] * 3
    assert await bench.store.state("new") is None
    letters = [letter for _, letter in await bench.redis.xrange(KEYS.dead_letters)]
    assert {letter[b"reason"] for letter in letters} == {b"invalid_message"}
    assert sorted(letter[b"detail"].decode() for letter in letters) == [
        *["message: object must be a file directly under <task_id>/input/"] * 4,
        "total: more than 2",
    ]
