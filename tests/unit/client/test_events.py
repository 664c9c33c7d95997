"""The progress stream, however it is cut into chunks."""

import pytest

from plate_detect_client.errors import PlateDetectError
from plate_detect_client.events import MAX_EVENT_BYTES, EventReader
from plate_detect_client.models import Progress, TaskState, TaskStatus


def state(status: TaskStatus, done: int) -> TaskState:
    return TaskState(
        task_id="t", status=status, results=[], errors=[], progress=Progress(done=done, total=2)
    )


STATES = [state(TaskStatus.PROCESSING, 1), state(TaskStatus.COMPLETED, 2)]
STREAM = (
    f": ping\r\n\r\nevent: progress\r\ndata: {STATES[0].model_dump_json()}\r\n\r\n"
    'event: result.updated\ndata: {"file": "новый"}\n\nid: 7\nretry: 9\n'
    f"event:end\ndata: {STATES[1].model_dump_json(indent=1)}".replace("\n ", "\ndata:  ").replace(
        "\n}", "\ndata: }"
    )
    + "\n\n"
).encode()


@pytest.mark.parametrize("size", [1, 7, 64, len(STREAM)])
def test_states_are_read_and_other_events_ignored(size: int) -> None:
    seen: list[TaskState] = []
    reader = EventReader(seen.append)
    for at in range(0, len(STREAM), size):
        reader.feed(STREAM[at : at + size])
    assert seen == STATES


@pytest.mark.parametrize("data", [b"data: {}", b"data: \xff", b"data: <html>"])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(PlateDetectError, match="not a progress stream"):
        EventReader(lambda _: None).feed(b"event: end\n" + data + b"\n\n")


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(PlateDetectError, match="too long"):
        EventReader(lambda _: None).feed(bytes(MAX_EVENT_BYTES + 1))
