"""What `wait` asks for, and when; time passes only where the test says so."""

import ssl
from collections.abc import Callable

import httpx
import pytest

from plate_detect_client.errors import (
    NotFoundError,
    UnauthorizedError,
    UnreachableError,
    WaitTimeoutError,
)
from plate_detect_client.flows import Waiting, status
from plate_detect_client.models import Progress, TaskState, TaskStatus
from plate_detect_client.retry import RetryPolicy
from plate_detect_client.steps import Call, Flow, Pause, Reply


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def state(now: TaskStatus) -> bytes:
    progress = Progress(done=0, total=1)
    found = TaskState(task_id="t", status=now, results=[], errors=[], progress=progress)
    return found.model_dump_json().encode()


def problem(code: int, **headers: str) -> Reply:
    named = {"Content-Type": "application/problem+json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return Reply(code, named, b'{"detail": "Because."}')


def call(flow: Flow[TaskState], reply: Reply | None = None) -> Call:
    step = next(flow) if reply is None else flow.send(reply)
    assert isinstance(step, Call)
    return step


def pause(flow: Flow[TaskState], reply: Reply) -> float:
    step = flow.send(reply)
    assert isinstance(step, Pause)
    return step.seconds


def ok(now: TaskStatus) -> Reply:
    return Reply(200, {}, state(now))


def test_a_stream_that_breaks_is_opened_again() -> None:
    flow = Waiting("t", 100, clock=Clock()).flow()
    assert call(flow).path == "/api/v1/task-events/t"
    assert isinstance(flow.throw(httpx.ReadError("")), Pause)
    again = call(flow, Reply(0, {}, b""))
    assert again.path == "/api/v1/task-events/t"
    assert again.listen is not None
    assert again.listen(b"event: end\ndata: " + state(TaskStatus.FAILED) + b"\n\n")
    with pytest.raises(StopIteration) as end:
        flow.send(Reply(200, {}, b""))
    assert end.value.value.status is TaskStatus.FAILED


def test_where_no_stream_is_free_the_status_is_asked_for() -> None:
    flow = Waiting("t", 100, clock=Clock()).flow()
    call(flow)
    assert 2 <= pause(flow, problem(503, Retry_After="2")) <= 2.5
    assert call(flow, Reply(0, {}, b"")).path == "/api/v1/task-status/t"
    delays = []
    for _ in range(8):
        delays.append(pause(flow, ok(TaskStatus.PENDING)))
        assert call(flow, Reply(0, {}, b"")).path == "/api/v1/task-status/t"
    assert delays[0] < 1
    assert all(2.5 <= delay <= 5 for delay in delays[-2:])
    with pytest.raises(StopIteration):
        flow.send(ok(TaskStatus.COMPLETED))


def test_the_wait_ends_in_time_and_says_what_was_seen() -> None:
    clock = Clock()
    flow = Waiting("t", 100, clock=clock).flow()
    stream = call(flow)
    assert stream.listen is not None
    assert not stream.listen(b"event: progress\ndata: " + state(TaskStatus.PENDING) + b"\n\n")
    clock.now = 75  # the next ping might come after the end
    assert stream.listen(b": ping\n\n")
    pause(flow, Reply(200, {}, b""))
    polled = call(flow, Reply(0, {}, b""))
    assert polled.path == "/api/v1/task-status/t"
    assert polled.seconds == 12.5
    clock.now = 99.9
    assert 0 < pause(flow, problem(502)) <= 0.1 + 1e-9
    clock.now = 100
    with pytest.raises(WaitTimeoutError) as late:
        flow.send(Reply(0, {}, b""))
    assert late.value.state is not None
    assert late.value.state.status is TaskStatus.PENDING
    assert "502" in str(late.value.__cause__)


def test_a_stream_that_is_held_back_by_a_proxy_is_not_waited_for_again() -> None:
    flow = Waiting("t", 100, clock=Clock()).flow()
    assert call(flow).path == "/api/v1/task-events/t"
    assert isinstance(flow.throw(httpx.ReadTimeout("")), Pause)
    assert call(flow, Reply(0, {}, b"")).path == "/api/v1/task-status/t"


def test_the_wait_can_be_limited_by_the_time_without_a_new_state() -> None:
    clock = Clock()
    flow = Waiting("t", None, idle_seconds=10, clock=clock).flow()
    assert call(flow).path == "/api/v1/task-status/t"
    for now in (TaskStatus.PENDING, TaskStatus.PROCESSING):
        clock.now += 9
        pause(flow, ok(now))
        call(flow, Reply(0, {}, b""))
    clock.now += 10
    pause(flow, ok(TaskStatus.PROCESSING))  # the same as before
    with pytest.raises(WaitTimeoutError):
        flow.send(Reply(0, {}, b""))


def test_an_unknown_task_ends_the_wait_unless_it_may_come() -> None:
    flow = Waiting("t", 20, clock=Clock()).flow()
    call(flow)
    with pytest.raises(NotFoundError, match="Because"):
        flow.send(problem(404))

    flow = Waiting("t", 20, clock=Clock(), absent_ok=True).flow()
    call(flow)
    pause(flow, problem(404))
    call(flow, Reply(0, {}, b""))
    pause(flow, ok(TaskStatus.PENDING))
    call(flow, Reply(0, {}, b""))
    with pytest.raises(NotFoundError):  # it was there: now it has expired
        flow.send(problem(404))


def test_a_refused_key_ends_the_wait() -> None:
    flow = Waiting("t", 20, clock=Clock()).flow()
    call(flow)
    with pytest.raises(UnauthorizedError):
        flow.send(problem(401))


def test_each_new_state_is_reported_once() -> None:
    seen: list[TaskStatus] = []
    waiting = Waiting("t", 20, on_progress=lambda it: seen.append(it.status), clock=Clock())
    flow = waiting.flow()
    call(flow)
    for now in (TaskStatus.PENDING, TaskStatus.PENDING, TaskStatus.PROCESSING):
        pause(flow, ok(now))
        call(flow, Reply(0, {}, b""))
    with pytest.raises(StopIteration):
        flow.send(ok(TaskStatus.COMPLETED))
    assert seen == ["pending", "processing", "completed"]


@pytest.mark.parametrize(
    "start", [lambda: Waiting("t", 20).flow(), lambda: status("t", RetryPolicy(total_seconds=60))]
)
def test_a_foreign_certificate_is_no_passing_failure(start: Callable[[], Flow[TaskState]]) -> None:
    flow = start()
    call(flow)
    failure = httpx.ConnectError("")
    failure.__cause__ = ssl.SSLCertVerificationError()
    with pytest.raises(UnreachableError):
        flow.throw(failure)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (OSError(111, "Connection refused"), "no response: Connection refused"),
        (ExceptionGroup("", [OSError(113, "No route to host")]), "no response: No route to host"),
        (ssl.SSLError(1, "[SSL] wrong"), "no response: TLS: "),
        (None, "no response: ConnectError: all attempts failed"),
    ],
)
def test_why_there_is_no_response(cause: BaseException | None, said: str) -> None:
    flow = status("t", RetryPolicy(total_seconds=0))
    next(flow)
    failure = httpx.ConnectError("all attempts failed")
    failure.__cause__ = cause
    with pytest.raises(UnreachableError) as unreachable:
        flow.throw(failure)
    assert str(unreachable.value).startswith(said)


@pytest.mark.parametrize("task_id", ["", "../t", "a/b", "t\n", "x" * 65])
def test_what_is_no_task_id_is_not_sent(task_id: str) -> None:
    with pytest.raises(ValueError, match="not a task id"):
        next(Waiting(task_id, 20).flow())
